"""What postsuper's operations do to one message: the rules, apart from who carries them out.

A running system's owner heeds deliveries that run (schedule/wish.py); without one the command
itself holds the shard's lock.
"""

from posthouse.queue.store import Fate, QueuedMessage, State

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
"""Names of the queues, as commands spell them."""

DEFAULT_QUEUES = frozenset({"maildrop", "incoming", "active", "deferred", "hold"})
"""Queues that an operation looks at when none is named. Corrupt messages must be named."""

DONE = {
    "delete": "removed",
    "hold": "placed on hold",
    "release": "released from hold",
    "requeue": "requeued",
    "expire": "expired",
}
"""What is said of one message."""


def queue_name(message: QueuedMessage) -> str:
    """The name of the queue that a message stands in, as its row has it."""
    return "maildrop" if message.requeued and message.state is not State.CORRUPT else message.state.value


def fate_of(operation: str, message: QueuedMessage, queue: str) -> Fate | None:
    """What an operation does to a message that stands in a queue; None when there is nothing to do."""
    queue_id = message.queue_id
    if operation == "delete":
        return Fate(queue_id, remove=True)
    if queue == "maildrop":
        return None  # as in Postfix, where it lies there until it has come in anew
    if operation == "hold":
        return None if queue in ("hold", "corrupt") else Fate(queue_id, state=State.HOLD, next_attempt=0.0)
    if operation == "release":
        return Fate(queue_id, state=State.DEFERRED, next_attempt=0.0) if queue == "hold" else None
    if operation == "requeue":
        return None if queue == "corrupt" else Fate(queue_id, state=State.INCOMING, next_attempt=0.0, requeued=True)
    if operation == "expire":
        # It is returned when its next attempt comes; postsuper(1) says so, and nothing hurries that.
        return None if message.force_expired or queue == "corrupt" else Fate(queue_id, force_expired=True)
    raise AssertionError(operation)
