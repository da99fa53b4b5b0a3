"""One delivery: how a message's recipients for a destination are cut into some, and what an agent is told of each."""

from collections.abc import Sequence

from posthouse.address.verp import verp_sender
from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Trace
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.destination import Destination, Entry, Job


def job_of(
    active: ActiveMessage, destination: Destination, recipients: Sequence[QueuedRecipient], size: int, *, large: bool
) -> Job:
    """Entries of at most `size` recipients each, in Postfix's order."""
    ordered = sorted(recipients, key=_by_domain)
    return Job(Entry(active, destination, tuple(ordered[at : at + size]), large) for at in range(0, len(ordered), size))


def _by_domain(queued: QueuedRecipient) -> tuple[bool, str, str]:
    address = queued.recipient.address
    at = address.rfind("@")
    return at < 0, address[at:].lower() if at >= 0 else "", address


def request_of(entry: Entry, transport: str, content: Content) -> DeliveryRequest:
    """What the transport's agent needs to know."""
    active = entry.active
    message = active.message
    envelope = message.envelope
    sender = envelope.sender
    if envelope.verp:  # then an entry has one recipient
        recipient = entry.recipients[0].recipient
        sender = verp_sender(sender, envelope.verp, recipient.original or recipient.address)
    return DeliveryRequest(
        message.queue_id,
        message.arrival_time,
        sender,
        entry.recipients,
        transport,
        entry.destination.nexthop,
        content,
        envelope.client,
        envelope.ret,
        envelope.envid,
        envelope.smtputf8,
        envelope.body,
        envelope.local_rewrite,
        active.active_time,
        envelope.trace is Trace.VERIFY,
    )
