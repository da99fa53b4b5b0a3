"""A queued message as the queue's commands show it: postqueue -j's object."""

from typing import Any

from posthouse.address.local_part import quote_address
from posthouse.queue.store import QueuedMessage, RecipientState

NULL_SENDER = "MAILER-DAEMON"
"""How listings show the null path."""


def row_of(message: QueuedMessage, queue: str) -> dict[str, Any]:
    """Its row, addresses in external form. Recipients that are done are not shown."""
    recipients = []
    for stored in message.recipients:
        if stored.state is RecipientState.DONE:
            continue
        shown = {"address": quote_address(stored.recipient.address)}
        if stored.dsn is not None:
            shown["delay_reason"] = stored.dsn.reason
        recipients.append(shown)
    return {
        "queue_name": queue,
        "queue_id": message.queue_id,
        "arrival_time": int(message.arrival_time),
        "message_size": message.size,
        "forced_expire": message.force_expired,
        "sender": quote_address(message.envelope.sender) or NULL_SENDER,
        "recipients": recipients,
    }
