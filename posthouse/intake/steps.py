"""What intake did to a message, for the journal: rewritten, expanded, queued."""

from collections.abc import Sequence

from posthouse.envelope.envelope import Envelope
from posthouse.envelope.verdict import Evidence
from posthouse.journal.journal import Entry, Journal
from posthouse.queue.store import QueuedMessage


def record_steps(journal: Journal, given: Envelope, message: QueuedMessage, evidence: Sequence[Evidence]) -> None:
    """One entry for a sender that changed, one for each recipient that was not given so, one for the message."""
    now, queue_id, message_id = message.arrival_time, message.queue_id, message.message_id
    sender, why = message.envelope.sender, tuple(evidence)
    if sender != given.sender:
        step = f"sender {given.sender} -> {sender}"
        journal.record(Entry(now, "rewritten", queue_id, message_id, "", sender, "", step, why))
    before = {recipient.address for recipient in given.recipients}
    for stored in message.recipients:
        address, original = stored.recipient.address, stored.recipient.original
        if address not in before:
            step = f"{original} -> {address}"
            journal.record(Entry(now, "expanded", queue_id, message_id, "", sender, address, step, why))
    step = f"size={message.size} nrcpt={len(message.recipients)} {message.state.value}"
    journal.record(Entry(now, "queued", queue_id, message_id, "", sender, "", step, why))


def record_discard(
    journal: Journal, given: Envelope, arrival_time: float, queue_id: str, evidence: Sequence[Evidence]
) -> None:
    """A message that was accepted and thrown away, as milters wanted."""
    step = f"nrcpt={len(given.recipients)}"
    journal.record(Entry(arrival_time, "discarded", queue_id, "", "", given.sender, "", step, tuple(evidence)))
