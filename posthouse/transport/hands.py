"""The seam between a delivery agent and the hands that work under another identity.

An errand says for whom, never what: no command, no path, no uid travels. The hands derive
those from their own configuration (aliases, master.cf, the user's home), so that a mail worker
which was taken over can have mail delivered, and nothing else. Content travels as a
descriptor.

Implementations: service/keeper.py (one child per identity), and hands of our own identity
where the system runs without root.
"""

from dataclasses import dataclass, field
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.outcome import Dsn, Fate

UNAVAILABLE = Dsn("4.3.0", "mail transport unavailable")


@dataclass(frozen=True, slots=True)
class Errand:
    """One piece of work for one identity."""

    operation: str
    """"user" (.forward and mailbox of a login), "forward" and "mailbox" (only one of them), "spool" (the login's spool
    file), "alias" (the commands and files of an alias), "include" (one include file of an alias: its name, and which of
    its include files), "virtual" (virtual(8)), "pipe" (pipe(8))."""
    service: str
    """master.cf service name."""
    names: tuple[str, ...]
    """The login, the alias, or the recipients that share the errand."""
    queue_id: str
    sender: str
    recipient: str
    """For RECIPIENT: the address that the alias led to, or the queued one."""
    original_recipient: str
    """For X-Original-To; "" when there is none."""
    arrival_time: float
    size: int
    extension: str = ""
    nexthop: str = ""
    client_name: str = ""
    client_address: str = ""
    client_helo: str = ""
    client_port: str = ""
    client_protocol: str = ""
    sasl_method: str = ""
    sasl_sender: str = ""
    sasl_username: str = ""
    originals: tuple[str, ...] = field(default=())
    """pipe: the original recipient of each name."""
    delivered_to: str = ""
    """For Delivered-To: the queued address; "" when it is `recipient`."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part of an errand."""

    index: int
    """Which of the errand's names."""
    fate: Fate
    dsn: Dsn
    relay: str = "local"


@dataclass(frozen=True, slots=True)
class Report:
    """What the hands bring back."""

    results: tuple[Result, ...] = ()
    forwards: tuple[str, ...] = ()
    """Addresses that the expansion named, with a backslash in front where it had one: the agent sees to them."""
    spool: bool = False
    """"user", "mailbox": the message is still to be put into the login's spool file."""
    forwarded: bool = False
    """"user", "forward": there was a .forward."""


class Hands(Protocol):
    """Runs errands. Never raises for what the world does: what fails is a Result."""

    async def run(self, errand: Errand, content: Content) -> Report:
        """Do it; durable when this returns."""


def single(
    fate: Fate, status: str, reason: str, *, diagnostic: str = "", relay: str = "local", index: int = 0
) -> Report:
    """A report of one result."""
    kind = "x-unix" if diagnostic else "X-Postfix"
    return Report((Result(index, fate, Dsn(status, reason, diagnostic_type=kind, diagnostic=diagnostic), relay),))


def done(reason: str, index: int = 0) -> Report:
    """Delivered."""
    return single(Fate.DELIVERED, "2.0.0", reason, index=index)


def deferred(status: str, reason: str, index: int = 0) -> Report:
    """Not now."""
    return single(Fate.DEFERRED, status, reason, index=index)


def bounced(status: str, reason: str, index: int = 0) -> Report:
    """Never."""
    return single(Fate.BOUNCED, status, reason, index=index)


def joined(reports: list[Report]) -> Report:
    """Several reports as one."""
    return Report(
        tuple(result for report in reports for result in report.results),
        tuple(dict.fromkeys(address for report in reports for address in report.forwards)),
        any(report.spool for report in reports),
        any(report.forwarded for report in reports),
    )
