"""What became of one recipient at one delivery attempt.

Standards: RFC 3463 (status codes); RFC 3464 section 2.3 (the fields a notice needs).
"""

from enum import Enum

from posthouse.envelope.value import value


class Fate(Enum):
    """How an attempt ended for a recipient."""

    DELIVERED = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


@value
class Dsn:
    """Why, in the terms of RFC 3464."""

    status: str
    """RFC 3463 code, e.g. "5.1.1"."""
    reason: str
    """The text in parentheses of the log line and in notices."""
    action: str = ""
    """RFC 3464 section 2.3.3: "" means by fate; "relayed", "expanded" where the agent knows better."""
    diagnostic_type: str = "X-Postfix"
    """RFC 3464 section 2.3.6: "smtp" when diagnostic is a remote server's reply, "x-unix", or "X-Postfix"."""
    diagnostic: str = ""
    """The remote's words, or "" (then reason is used)."""
    remote_mta_type: str = "dns"
    remote_mta: str = ""
    """RFC 3464 section 2.3.5: the host that spoke, or ""."""


@value
class Outcome:
    """The outcome of one recipient of a DeliveryRequest."""

    index: int
    """The recipient's number in the queued message (QueuedRecipient.index)."""
    fate: Fate
    dsn: Dsn
    relay: str
    """For the log: "host[address]:port", "local", "virtual", a pipe service's name, or "none"."""
    setup_time: float = 0.0
    """Seconds of connection set-up (c in delays=a/b/c/d)."""
    transmit_time: float = 0.0
    """Seconds of transmission (d)."""
    connection_uses: int = 0
    """How many messages this connection carried, this one included; logged as conn_use= above 1."""
    destination_failed: bool = False
    """The destination as a whole did not answer (connect, greeting, TLS, login): concurrency feedback is negative
    and other messages for it wait. A refused recipient is no such failure."""
    log_recipient: str = ""
    """The address to log and report instead of the queued one (generic, local expansion), or ""."""
    parts: "tuple[Outcome, ...]" = ()
    """What the recipient was expanded to, each logged in a line of its own; the fate of the whole is this one's."""
    owner: str = ""
    """Who is told of a failure in the sender's place: the owner of the alias that the address came from."""
    expanded: str = ""
    """The action of a success notice, "expanded" or (a list with an owner) "delivered", where that is told at the alias
    already; "" where each delivery tells for itself."""
    transport: str = ""
    """Whose agent delivered it, where that is not the one asked (mailbox_transport): the log line is that one's."""
