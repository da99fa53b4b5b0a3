"""What became of recipients, written down in three places: the message, the log, the journal.

The log line is the agent's, in Postfix's words; what nobody was asked about is the error agent's.
soft_bounce turns a bounce into a deferral here, before anybody sees it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from posthouse.envelope.envelope import Notify, Trace
from posthouse.envelope.outcome import Dsn, Outcome
from posthouse.envelope.outcome import Fate as Ending
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import Clock
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Entry as JournalEntry
from posthouse.journal.journal import Journal
from posthouse.queue.store import Failure, RecipientState, StoredRecipient
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.delivery_log import delivery_line
from posthouse.schedule.settings import ScheduleSettings

_STEPS = {"delayed": "deferred", "failed": "bounced", "relayed": "delivered", "expanded": "expanded"}


class Chronicle:
    """Writes outcomes down."""

    def __init__(
        self,
        settings: ScheduleSettings,
        journal: Journal,
        clock: Clock,
        agent_log: ProcessLog,
        logs: Mapping[str, ProcessLog],
    ) -> None:
        """`agent_log` is the error agent's; `logs` are those of all transports, by name."""
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._agent_log = agent_log
        self._logs = logs

    def take(self, active: ActiveMessage, outcomes: Sequence[Outcome], started: float, log: ProcessLog) -> None:
        """The outcomes of one delivery, begun at `started`, of the agent whose log that is."""
        message = active.message
        now = self._clock.now()
        before = active.active_time - message.arrival_time
        within = started - active.active_time
        trace = message.envelope.trace
        for outcome in outcomes:
            stored = active.recipients[outcome.index]
            dsn = outcome.dsn
            word = outcome.fate.value
            state = RecipientState.DONE
            action = dsn.action
            if outcome.fate is Ending.DEFERRED:
                state, action = RecipientState.PENDING, "delayed"
            elif outcome.fate is Ending.BOUNCED:
                action = "failed"
                if self._settings.soft_bounce:
                    state, action, word = RecipientState.PENDING, "delayed", "SOFTBOUNCE"
                    dsn = with_action(dsn, "4" + dsn.status[1:], action)
            else:
                action = action or ("relayed" if dsn.diagnostic_type == "smtp" else "delivered")
            if dsn.action != action:
                dsn = with_action(dsn, dsn.status, action)
            address = outcome.log_recipient or stored.recipient.address
            for part in outcome.parts or (outcome,):
                fate = word if part is outcome else part.fate.value
                to = part.log_recipient or address
                if trace is not Trace.NONE:
                    if trace is Trace.VERIFY:
                        fate = "deliverable" if part.fate is Ending.DELIVERED else "undeliverable"
                    active.report.append(_reported(stored, to, part, action if part is outcome else "", fate))
                # What a recipient was expanded to has a line of its own each; soft_bounce's word is for the whole only.
                said = dsn if part is outcome else part.dsn
                # An agent that does not say how long connecting and sending took: all of it was sending.
                sending = part.transmit_time or (0.0 if part.setup_time else now - started)
                (self._logs[part.transport] if part.transport else log).info(
                    delivery_line(
                        message.queue_id,
                        to,
                        "" if part.owner else stored.recipient.original,
                        part.relay,
                        now - message.arrival_time,
                        (before, within, part.setup_time, sending),
                        part.connection_uses,
                        said.status,
                        fate,
                        said.reason,
                        self._settings.delay_logging_resolution_limit,
                    )
                )
            if trace is Trace.VERIFY:
                self.note(now, "probed", active, address, f"relay={outcome.relay}, {outcome.dsn.reason}", ())
                continue  # nothing has become of it
            step = _STEPS.get(action, "delivered")
            self.note(now, step, active, address, f"relay={outcome.relay}, status={word} ({dsn.reason})", ())
            notify = stored.recipient.notify
            wanted = notify is not Notify.NONE and notify & Notify.SUCCESS and state is RecipientState.DONE
            named = outcome.log_recipient
            failures: tuple[Failure, ...] = ()
            if outcome.fate is Ending.BOUNCED and state is RecipientState.DONE:
                failures = _failures(outcome, address, told=bool(wanted and outcome.expanded))
            if wanted and outcome.expanded:
                dsn, named = Dsn("2.0.0", f"delivery via {outcome.relay}: alias expanded", outcome.expanded), ""
            elif wanted and action in ("relayed", "delivered") and outcome.relay != "none":
                # A success notice names the host that took it, which only the outcome knows.
                dsn = replace(dsn, reason=f"delivery via {outcome.relay}: {dsn.reason}")
            active.set(outcome.index, state, dsn, named, failures)

    def refuse(self, active: ActiveMessage, recipients: Sequence[StoredRecipient], dsn: Dsn) -> None:
        """Defer recipients without asking an agent; the line is the error agent's."""
        now = self._clock.now()
        outcomes = [Outcome(r.index, Ending.DEFERRED, dsn, "none", 0.0, 0.0) for r in recipients]
        self.take(active, outcomes, now, self._agent_log)

    def suspend(self, active: ActiveMessage, recipients: Sequence[StoredRecipient], dsn: Dsn) -> None:
        """Defer recipients of a destination that is dead."""
        reason = f"delivery temporarily suspended: {dsn.reason}"
        self.refuse(
            active,
            recipients,
            Dsn(
                "4" + dsn.status[1:],
                reason,
                "",
                dsn.diagnostic_type,
                dsn.diagnostic,
                dsn.remote_mta_type,
                dsn.remote_mta,
            ),
        )

    def note(
        self,
        now: float,
        step: str,
        active: ActiveMessage,
        recipient: str,
        verdict: str,
        evidence: tuple[Evidence, ...],
    ) -> None:
        """One journal entry."""
        self._journal.record(
            JournalEntry(
                now,
                step,
                active.queue_id,
                active.message.message_id,
                "",
                active.message.envelope.sender,
                recipient,
                verdict,
                evidence,
            )
        )


def _failures(outcome: Outcome, address: str, *, told: bool) -> tuple[Failure, ...]:
    """What failed of a recipient, where the whole does not say it all; `told`: where the whole says something else."""
    failed = [part for part in outcome.parts or (outcome,) if part.fate is Ending.BOUNCED]
    if len(failed) == 1 and not failed[0].owner and not told:
        return ()
    return tuple(
        Failure(part.log_recipient or address, with_action(part.dsn, part.dsn.status, "failed"), part.owner)
        for part in failed
    )


def _reported(stored: StoredRecipient, address: str, outcome: Outcome, action: str, word: str) -> StoredRecipient:
    """A recipient as the report of the attempt has it."""
    dsn = outcome.dsn
    if word in ("deliverable", "undeliverable"):
        action = word
    elif outcome.fate is Ending.DELIVERED:
        action = action or dsn.action or ("relayed" if dsn.diagnostic_type == "smtp" else "delivered")
    else:
        action = action or ("delayed" if outcome.fate is Ending.DEFERRED else "failed")
    via = "" if outcome.relay == "none" else f"delivery via {outcome.relay}: "
    dsn = replace(dsn, action=action, reason=via + dsn.reason)
    return StoredRecipient(stored.index, stored.recipient, RecipientState.DONE, dsn, address)


def with_action(dsn: Dsn, status: str, action: str) -> Dsn:
    """The same reason under another status and action."""
    return Dsn(status, dsn.reason, action, dsn.diagnostic_type, dsn.diagnostic, dsn.remote_mta_type, dsn.remote_mta)
