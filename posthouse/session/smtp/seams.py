"""What an SMTP session asks of others: policy by stage, authentication, and a few lists.

Policy's own classes fit the Protocols without knowing them; tests and `posthouse explain` bring
theirs.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from posthouse.envelope.envelope import Client, Envelope, Notify
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Verdict
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.net.stream import TlsInfo
from posthouse.policy.milter.chain import Chain
from posthouse.wire.smtp.reply import Reply


class Notices(Protocol):
    """Tells postmaster of sessions with errors (notify_classes)."""

    def wanted(self, errors: Collection[str]) -> bool:
        """Whether one of these classes is to be told."""

    async def tell(self, client: str, said: Sequence[tuple[str, str]], reason: str) -> None:
        """`said`: "In" or "Out", and a line; `reason`: why the session broke off, or ""."""


LogEvent = Callable[[str, str, str], None]
"""log(log_class, stage_word, text): a line that changes nothing, such as reject_warning."""


class StageFacts(Protocol):
    """What policy servers and restrictions want to know besides the commands."""

    helo: str
    """What the client called itself; set by the session when XCLIENT tells."""
    esmtp: bool
    queue_id: str
    """Set by the session once a transaction has one; "" before."""
    pipelined: bool
    """Set by the session before each command: whether more bytes wait behind it."""
    accepted: int
    """Recipients accepted in this transaction; the session takes one back that milters refuse."""


class StageSession(Protocol):
    """What policy knows of one connection. DUNNO and PERMIT go on; REJECT and DEFER carry the reply."""

    @property
    def facts(self) -> StageFacts:
        """What the session tells by setting it."""

    async def connect(self, stage_word: str = "CONNECT") -> Verdict:
        """smtpd_client_restrictions."""

    async def helo(self, name: str, esmtp: bool) -> Verdict:
        """smtpd_helo_restrictions."""

    async def mail(self, sender: str, *, size: int, body: str, smtputf8: bool) -> Verdict:
        """smtpd_sender_restrictions. Begins a transaction."""

    async def rcpt(self, address: str, *, notify: Notify, orcpt: str) -> Verdict:
        """Relay and recipient restrictions, and with smtpd_delay_reject all before."""

    async def data(self) -> Verdict:
        """smtpd_data_restrictions."""

    async def end_of_data(self, size: int) -> Verdict:
        """smtpd_end_of_data_restrictions."""

    async def vrfy(self, address: str) -> Verdict:
        """What RCPT would say of the address."""

    async def etrn(self, domain: str) -> Verdict:
        """smtpd_etrn_restrictions."""

    def authenticated(self, login: str, method: str, sender: str) -> None:
        """The client logged in."""

    def tls(self, info: TlsInfo | None) -> None:
        """The connection is encrypted now."""

    def reset(self) -> None:
        """Drop the transaction."""

    @property
    def handling(self) -> Handling:
        """What was gathered for the message so far."""


class Stages(Protocol):
    """The restriction lists of one listener."""

    def begin(self, client: Client, server_address: str, server_port: int, *, log: LogEvent) -> StageSession:
        """A new connection."""


@value
class PerRecipient:
    """LMTP: what became of each accepted recipient, in the order of the envelope (RFC 2033 section 4.2)."""

    replies: tuple[Reply, ...]


class MilterTalk(Protocol):
    """The milters of a session (milters.py). A Reply refuses."""

    async def connect(self) -> Reply | None:
        """What takes the greeting's place."""

    async def helo(self, argument: str, word: str, before: Client) -> Reply | None:
        """HELO, EHLO or LHLO (the word); `before` is what was known of the client until then."""

    async def mail(self, argument: str) -> Reply | None:
        """MAIL."""

    async def rcpt(self, argument: str, recipient: str, refused: Reply | None) -> Reply | None:
        """RCPT, and whether it is refused already."""

    async def data(self, word: str) -> Reply | None:
        """DATA, or the first BDAT (the word)."""

    async def unknown(self, line: str) -> Reply | None:
        """A command that nobody knows."""

    @property
    def of_content(self) -> Chain | None:
        """Those that intake shows the content to."""

    def handling(self, handling: Handling) -> Handling:
        """With what the milters want done with the message."""

    def reset(self) -> None:
        """The transaction is over, or the client told another name."""

    def end(self) -> None:
        """The session is over."""


class Route(Protocol):
    """Where an address leads."""

    @property
    def transport(self) -> str:
        """The master.cf service."""

    @property
    def nexthop(self) -> str:
        """For it."""

    @property
    def recipient(self) -> str:
        """The address it is delivered to."""


Resolve = Callable[[str, str], Awaitable[Route]]
"""From sender and address to where it leads. Raises TableRetry."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a filter before the queue answered at the end of data: the client hears just that."""

    reply: Reply


class DoorTransaction(Protocol):
    """An IntakeTransaction, or one that delivers at once."""

    @property
    def queue_id(self) -> str:
        """Given at the start, for log lines."""

    async def write(self, chunk: bytes) -> None:
        """Content in canonical form. Never raises."""

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: Chain | None = None
    ) -> Accepted | Refused | PerRecipient | Answered:
        """Queue it, or deliver it; first show it to the session's milters."""

    def too_large(self) -> None:
        """More comes than there may be: forget it; the log says whose message it was."""

    def abort(self) -> None:
        """Forget it."""


class FilterTransaction(DoorTransaction, Protocol):
    """One that goes through a filter before the queue (proxy.py). A Reply refuses."""

    async def open(self) -> Reply | None:
        """Reach the filter."""

    async def recipient(self, argument: str) -> Reply | None:
        """RCPT, with its argument as the client gave it."""

    async def data(self, received: bytes, handling: Handling) -> Reply | None:
        """DATA, and the fields that go on top."""


class Door(Protocol):
    """An Intake, or direct delivery (lmtpd)."""

    def begin(self) -> DoorTransaction:
        """A new transaction."""


class AuthenticationRetry(Exception):
    """Nobody could say now whether the password fits; the text goes into the log and the reply."""

    def __init__(self, text: str = "", login: str = "") -> None:
        super().__init__(text)
        self.login = login
        """Who it was about, for the log, or ""."""


@dataclass(frozen=True, slots=True)
class AuthenticationRefused:
    """No, and why: the words of whoever keeps the passwords."""

    reason: str
    login: str = ""
    """The name it knows the user by, for the log, or ""."""


class Authenticator(Protocol):
    """Who keeps the passwords."""

    async def authenticate(self, login: str, password: str) -> str | AuthenticationRefused | None:
        """The canonical name; None or AuthenticationRefused when it does not fit. Raises AuthenticationRetry."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism that can be offered."""

    name: str
    properties: frozenset[str] = frozenset()
    """plaintext, dictionary, active, anonymous; mutual-auth, forward-secrecy."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The next word to the client, in base64."""

    text: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client is who it says."""

    login: str


SaslStep = Challenge | LoggedIn | AuthenticationRefused


class SaslExchange(Protocol):
    """One client's way through a mechanism that somebody else runs. All words are base64."""

    async def begin(self, initial: str | None) -> SaslStep:
        """With the client's initial response, or None. Raises AuthenticationRetry."""

    async def go_on(self, response: str) -> SaslStep:
        """With its response to the challenge. Raises AuthenticationRetry."""

    def cancel(self) -> None:
        """The client gave up, or is gone."""


class MechanismServer(Protocol):
    """Who runs SASL mechanisms instead of us (Dovecot)."""

    async def mechanisms(self) -> tuple[Mechanism, ...]:
        """What it runs, or last ran; () while that is not known."""

    def exchange(self, mechanism: str, *, server: tuple[str, int], client: tuple[str, str], tls: bool) -> SaslExchange:
        """A client begins. `server` and `client` are (address, port)."""


class HostMatch(Protocol):
    """A list of networks and host names, e.g. smtpd_sasl_exceptions_networks."""

    async def matches(self, name: str, address: str = "") -> str | None:
        """Which pattern holds the client, or None. Raises TableRetry."""


class NoHosts:
    """The empty list."""

    async def matches(self, name: str, address: str = "") -> str | None:
        """Nobody is in it."""
        return None


Lookup = Callable[[str], Awaitable[str | None]]
"""A table: from a key to a value or None. Raises TableRetry."""


async def nothing(key: str) -> str | None:
    """The empty table."""
    return None
