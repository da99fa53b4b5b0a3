"""What is known of a connection while its restriction lists run, and what they have gathered so far."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from posthouse.envelope.envelope import Client
from posthouse.envelope.value import value
from posthouse.envelope.verdict import DUNNO, Action, Evidence, Verdict
from posthouse.net.stream import TlsInfo
from posthouse.policy.handling import NO_HANDLING, Handling

NOTHING_YET = Evidence()

LogEvent = Callable[[str, str, str], None]
"""log(log_class, stage_word, text); without a class the text is the whole line."""


@value
class Subject:
    """What a list is about, as replies name it: <name>: reply_class rejected."""

    name: str
    reply_class: str


@dataclass(slots=True)
class Facts:
    """One connection; the transaction's part is dropped by forget_transaction()."""

    client: Client
    server_address: str
    server_port: int
    log: LogEvent
    stage: str = "CONNECT"
    """The SMTP command under way, as log lines and policy servers name it."""
    helo: str = ""
    esmtp: bool = False
    login: str = ""
    sasl_method: str = ""
    sasl_sender: str = ""
    tls: TlsInfo | None = None
    queue_id: str = ""
    """Set by the session once there is one; policy servers are told."""
    pipelined: bool = False
    """Set by the session: the client sent more before it was its turn."""
    instance: str = ""
    """What policy servers know this transaction by; made when one is asked."""

    sender: str | None = None
    size: int = 0
    recipient: str | None = None
    accepted: int = 0
    """Recipients accepted in this transaction."""
    first_recipient: str | None = None
    """The first of them."""
    etrn_domain: str = ""
    handling: Handling = NO_HANDLING
    recipient_checked: bool = False
    sender_checked: bool = False

    trusted: str | None = None
    """What permit_mynetworks found for this client: evidence, "" for no match, None when it was not asked."""
    current: Evidence = NOTHING_YET
    """The restriction under evaluation."""
    depth: int = 0
    """Lists within access table rows under evaluation."""
    warn_only: int = 0
    """Above 0 within warn_if_reject: refusals are logged and have no effect."""
    later: Verdict | None = None
    """defer_if_permit: the refusal when nothing else refuses."""
    instead: Verdict | None = None
    """defer_if_reject: the refusal that takes the place of a permanent one."""

    @property
    def namaddr(self) -> str:
        """name[address], as log lines have it."""
        return f"{self.client.name}[{self.client.address}]"

    def why(self, fact: str = "") -> tuple[Evidence, ...]:
        """Evidence for the restriction under evaluation."""
        current = self.current
        return (Evidence(current.parameter, current.origin, current.restriction, fact),)

    def permit(self, fact: str = "") -> Verdict:
        """This list ends well."""
        return Verdict(Action.PERMIT, evidence=self.why(fact))

    def refuse(self, code: int, status: str, text: str, fact: str = "") -> Verdict:
        """A refusal; the status takes the class of the code. Within warn_if_reject only a log line."""
        verdict = self._refusal(code, status, text, fact)
        if self.warn_only:
            self.log("reject_warning", self.stage, f"{code} {verdict.status} {text}")
            return DUNNO
        if verdict.action is Action.REJECT and self.instead is not None:
            return self.instead
        return verdict

    def defer_if_permit(self, code: int, status: str, text: str, fact: str = "") -> Verdict:
        """A refusal that counts only when nothing else refuses; the first of them counts."""
        if self.warn_only:
            self.log("reject_warning", self.stage, f"{code} {status} {text}")
        elif self.later is None:
            self.later = self._refusal(code, status, text, fact)
        return DUNNO

    def defer_if_reject(self, code: int, status: str, text: str, fact: str = "") -> Verdict:
        """A later permanent refusal becomes this temporary one."""
        if self.instead is None:
            self.instead = self._refusal(code, status, text, fact)
        return DUNNO

    def table_retry(self, subject: Subject, fact: str) -> Verdict:
        """A table could not be asked."""
        return self.refuse(451, "4.3.0", f"<{subject.name}>: Temporary lookup failure", fact)

    def server_error(self, fact: str) -> Verdict:
        """Our own configuration is at fault."""
        return self.refuse(451, "4.3.5", "Server configuration error", fact)

    def handle(self, **changes: object) -> None:
        """Change what is to be done with the message."""
        self.handling = replace(self.handling, **changes)  # type: ignore[arg-type] # callers give fields of Handling

    def forget_transaction(self) -> None:
        """RSET, the end of a message, or a new MAIL."""
        self.sender, self.size = None, 0
        self.forget_recipient()
        self.accepted = 0
        self.first_recipient = None
        self.queue_id = ""
        self.handling = NO_HANDLING
        self.sender_checked = False
        self.later = self.instead = None
        self.instance = ""

    def forget_recipient(self) -> None:
        """The next RCPT."""
        self.recipient = None
        self.recipient_checked = False

    def _refusal(self, code: int, status: str, text: str, fact: str) -> Verdict:
        action = Action.REJECT if code >= 500 else Action.DEFER
        return Verdict(action, code, f"{code // 100}{status[1:]}", text, self.why(fact))
