"""Neighbours of an SMTP session for tests: a policy, a door and an authenticator that live in memory.

The policy judges by local part, as the sandbox does: 550@ is refused, 451@ deferred, anything
else taken; a sender 550@ is refused at MAIL, hello.bad at HELO.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.envelope.envelope import Client, Envelope, Notify
from posthouse.envelope.verdict import DUNNO, Action, Evidence, Verdict
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.net.stream import TlsInfo
from posthouse.policy.milter.chain import Chain

EVIDENCE = (Evidence("smtpd_recipient_restrictions", "default", "by_local_part"),)


def by_local_part(address: str, what: str) -> Verdict:
    """550@ and 451@ are refused, everybody else is welcome."""
    local_part = address.partition("@")[0]
    if local_part == "550":
        return Verdict(Action.REJECT, 550, "5.1.1", f"<{address}>: {what} address rejected: User unknown", EVIDENCE)
    if local_part == "451":
        return Verdict(Action.DEFER, 451, "4.3.0", f"<{address}>: Temporary lookup failure", EVIDENCE)
    return DUNNO


@dataclass(slots=True)
class MemoryFacts:
    """What a session tells its policy besides the commands."""

    helo: str = ""
    esmtp: bool = False
    queue_id: str = ""
    pipelined: bool = False
    accepted: int = 0


@dataclass(slots=True)
class MemoryStageSession:
    """One connection's policy."""

    client: Client
    log: Callable[[str, str, str], None]
    told: list[str] = field(default_factory=list)
    handling: Handling = field(default_factory=Handling)
    facts: MemoryFacts = field(default_factory=MemoryFacts)

    async def connect(self, stage_word: str = "CONNECT") -> Verdict:
        """10.0.0.1 is refused."""
        if self.client.address == "10.0.0.1":
            return Verdict(Action.REJECT, 554, "5.7.1", "<unknown[10.0.0.1]>: Client host rejected: Access denied")
        return DUNNO

    async def helo(self, name: str, esmtp: bool) -> Verdict:
        """hello.bad is refused."""
        if name == "hello.bad":
            return Verdict(Action.REJECT, 550, "5.7.1", "<hello.bad>: Helo command rejected: Access denied")
        return DUNNO

    async def mail(self, sender: str, *, size: int, body: str, smtputf8: bool) -> Verdict:
        """By local part; warn@ only warns."""
        if sender.startswith("warn@"):
            self.log("reject_warning", "MAIL", f"554 5.7.1 <{sender}>: Sender address rejected: Access denied")
        return by_local_part(sender, "Sender")

    async def rcpt(self, address: str, *, notify: Notify, orcpt: str) -> Verdict:
        """By local part."""
        return by_local_part(address, "Recipient")

    async def data(self) -> Verdict:
        """Everybody may."""
        return DUNNO

    async def end_of_data(self, size: int) -> Verdict:
        """A message of exactly 666 bytes is refused."""
        if size == 666:
            return Verdict(Action.REJECT, 554, "5.7.1", "<END-OF-MESSAGE>: End-of-data rejected: Access denied")
        return DUNNO

    async def vrfy(self, address: str) -> Verdict:
        """As RCPT."""
        return by_local_part(address, "Recipient")

    async def etrn(self, domain: str) -> Verdict:
        """Everybody may."""
        return DUNNO

    def authenticated(self, login: str, method: str, sender: str) -> None:
        """Note it."""
        self.told.append(f"authenticated {login} by {method}")

    def tls(self, info: TlsInfo | None) -> None:
        """Note it."""
        self.told.append("tls")

    def reset(self) -> None:
        """Note it."""
        self.told.append("reset")


class MemoryStages:
    """Policy of one listener."""

    def __init__(self) -> None:
        self.sessions: list[MemoryStageSession] = []

    def begin(
        self, client: Client, server_address: str, server_port: int, *, log: Callable[[str, str, str], None]
    ) -> MemoryStageSession:
        """A new connection."""
        session = MemoryStageSession(client, log)
        self.sessions.append(session)
        return session


@dataclass(slots=True)
class MemoryMessage:
    """One message on its way into the list of its door."""

    door: "MemoryIntake"
    queue_id: str
    content: list[bytes] = field(default_factory=list)
    envelope: Envelope | None = None
    received: bytes = b""
    handling: Handling = field(default_factory=Handling)
    aborted: bool = False
    milters: Chain | None = None

    async def write(self, chunk: bytes) -> None:
        """Keep it."""
        self.content.append(chunk)

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: Chain | None = None
    ) -> Accepted | Refused:
        """Keep it; a Subject of "refuse me" is refused. Milters are noted, not asked."""
        self.milters = milters
        self.envelope, self.received, self.handling = envelope, received, handling
        if b"Subject: refuse me" in self.data:
            return Refused(550, "5.7.1", "message content rejected")
        self.door.messages.append(self)
        return Accepted(self.queue_id)

    def too_large(self) -> None:
        """Forget it."""
        self.abort()

    def abort(self) -> None:
        """Forget it."""
        self.aborted = True

    @property
    def data(self) -> bytes:
        """The content."""
        return b"".join(self.content)


class MemoryIntake:
    """A door that keeps messages in a list."""

    def __init__(self) -> None:
        self.messages: list[MemoryMessage] = []
        self.begun: list[MemoryMessage] = []
        self._numbers = itertools.count(1)

    def begin(self) -> MemoryMessage:
        """A new transaction."""
        message = MemoryMessage(self, f"4XyZ{next(self._numbers):06X}")
        self.begun.append(message)
        return message


class MemoryAuthenticator:
    """Passwords in a dict."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = passwords

    async def authenticate(self, login: str, password: str) -> str | None:
        """The login when the password fits."""
        return login if self._passwords.get(login) == password else None
