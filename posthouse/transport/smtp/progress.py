"""One request while it is being carried: who is left, and why.

Standards: RFC 5321 section 5.1: what one host defers the next may take.
"""

from dataclasses import dataclass, field

from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog

BEFORE_TALK = ("connect to ", "server configuration error")
"""Beginnings of reasons for which no host was talked to."""
EACH = "(in reply to RCPT TO command)"
"""The end of a reason that is told for each recipient."""


@dataclass(slots=True)
class Progress:
    """Changes as hosts are tried."""

    request: DeliveryRequest
    started: float
    pending: list[QueuedRecipient]
    outcomes: list[Outcome] = field(default_factory=list)
    last: dict[int, tuple[Dsn, str, float, int]] = field(default_factory=dict)
    """By recipient index: the last soft refusal, its relay, set-up time and use of the connection."""
    untold: list[str] = field(default_factory=list)
    """Reasons that the log gets when the message goes on to another host."""
    trouble: Dsn | None = None
    """The last failure of a host as a whole."""
    trouble_relay: str = "none"
    spoken: bool = False
    """Whether any host took part in a transaction."""

    def defer(self, queued: QueuedRecipient, dsn: Dsn, relay: str, setup: float, uses: int) -> None:
        """A host does not want this recipient now."""
        self.last[queued.index] = (dsn, relay, setup, uses)
        if dsn.reason.endswith(EACH) or dsn.reason not in self.untold:
            self.untold.append(dsn.reason)

    def refuse_all(self, dsn: Dsn, relay: str, setup: float) -> None:
        """A host does not want to talk to us, for good."""
        for queued in self.pending:
            self.outcomes.append(Outcome(queued.index, Fate.BOUNCED, dsn, relay, setup, destination_failed=True))
        self.pending = []

    def site_trouble(self, dsn: Dsn, relay: str, log: ProcessLog, *, more: bool) -> None:
        """A host will not do; `more`: whether there may be another."""
        if not dsn.reason.startswith(BEFORE_TALK):
            self.untold.append(dsn.reason)
        elif more:
            log.info(dsn.reason)
        previous = self.trouble
        # A host that might work later keeps the mail alive, whatever a later host says for good.
        if previous is not None and previous.status[0] == "4" and dsn.status[0] == "5":
            return
        self.trouble = dsn
        self.trouble_relay = relay

    def tell_what_is_left(self, log: ProcessLog) -> None:
        """The message goes on to the next host: one line for each reason, as Postfix writes them."""
        for reason in self.untold:
            log.info(f"{self.request.queue_id}: {reason}")
        self.untold.clear()

    def give_up(self, now: float) -> None:
        """No host is left: everyone who is gets an Outcome."""
        for queued in self.pending:
            entry = self.last.get(queued.index)
            if entry is None or (self.trouble is not None and not self.spoken):
                dsn = self.trouble or Dsn("4.3.0", "no host was tried")
                relay, setup, uses = self.trouble_relay, now - self.started, 0
            else:
                dsn, relay, setup, uses = entry
            self.outcomes.append(
                Outcome(
                    queued.index,
                    Fate.BOUNCED if dsn.status.startswith("5") else Fate.DEFERRED,
                    dsn,
                    relay,
                    setup,
                    now - self.started - setup,
                    uses,
                    destination_failed=not self.spoken or dsn.status == "4.4.2",
                )
            )
