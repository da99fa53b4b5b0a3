"""The seam of the queue's store.

One message is enqueued once, by intake, and is durable when enqueue() returns. Fates of
recipients are recorded in batches. Every call is async and batch-shaped: an implementation
may be a file on this machine or a database elsewhere. The states are in docs/queue-states.md.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import field
from enum import Enum
from typing import Protocol

from posthouse.envelope.content import Body, Content
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.envelope.value import value


class QueueFull(Exception):
    """No room: the disk is full or queue_minfree is reached. The client gets 452 4.3.1."""


class QueueFault(Exception):
    """A write or sync failed: the message is not queued. The client gets 451 4.3.0."""


class State(Enum):
    """Where a whole message stands. Value: the queue's name in mailq and postqueue -j."""

    INCOMING = "incoming"
    """Committed, not yet taken up by the schedule."""
    ACTIVE = "active"
    """Being delivered now. Lives in memory only: on disk such a message is INCOMING or DEFERRED."""
    DEFERRED = "deferred"
    HOLD = "hold"
    CORRUPT = "corrupt"


class RecipientState(Enum):
    """Where one recipient stands."""

    PENDING = 0
    DONE = 1
    """Delivered, bounced or expanded away; kept until the message is removed."""


@value
class Failure:
    """One address that a recipient was expanded to, and that failed."""

    address: str
    dsn: Dsn
    owner: str = ""
    """Who is told, other than the sender."""


@value
class StoredRecipient:
    """One recipient of a queued message, with what the last attempt said."""

    index: int
    recipient: Recipient
    state: RecipientState = RecipientState.PENDING
    dsn: Dsn | None = None
    """The last deferral, bounce or delivery."""
    log_recipient: str = ""
    reported: bool = False
    """Whether its bounce (or success notice) is already in a committed notice."""
    failures: tuple[Failure, ...] = ()
    """What failed of it, where that is not simply the whole."""


def wants_notice(recipient: StoredRecipient) -> bool:
    """Whether a notice about this recipient is still owed."""
    if recipient.state is not RecipientState.DONE or recipient.reported or recipient.dsn is None:
        return False
    if recipient.dsn.action == "failed" or recipient.failures:
        return True
    notify = recipient.recipient.notify
    return notify is not Notify.NONE and bool(notify & Notify.SUCCESS)


@value
class QueuedMessage:
    """One message as the schedule sees it. Content is loaded apart (load_content)."""

    queue_id: str
    arrival_time: float
    """Seconds since the epoch, with microseconds."""
    envelope: Envelope
    """Its recipients are those of `recipients`, in index order."""
    recipients: tuple[StoredRecipient, ...]
    size: int
    """Content.size."""
    state: State = State.INCOMING
    next_attempt: float = 0.0
    """Seconds since the epoch; 0 means now."""
    message_id: str = ""
    content_filter: str = ""
    """transport:nexthop that overrides routing for every recipient (FILTER, content_filter), or ""."""
    delay_warned: bool = False
    force_expired: bool = False
    hops: int = 0
    requeued: bool = False
    """It is to come in anew (postsuper -r) instead of being delivered."""


@value
class NewMessage:
    """A message that intake wants durable, with its content in memory or in a content file."""

    message: QueuedMessage
    content: Content
    replaces: str = ""
    """The message that goes when this one is durable, or ""."""


@value
class Fate:
    """What an attempt did to one message: recorded in one batch with others'."""

    queue_id: str
    recipients: tuple[StoredRecipient, ...] = field(default=())
    """The recipients that changed, as they are now."""
    state: State | None = None
    next_attempt: float | None = None
    delay_warned: bool | None = None
    force_expired: bool | None = None
    traced: bool | None = None
    """The report of the first attempt (Envelope.trace) is made."""
    requeued: bool | None = None
    remove: bool = False
    """Every recipient is done and every notice committed: the message and its content go away."""


class ContentWriter(Protocol):
    """Takes a body while it arrives; spills to a file when it grows."""

    def write(self, chunk: bytes) -> None:
        """Append. Raises QueueFault or QueueFull; after that only abort() is allowed."""

    async def room(self) -> None:
        """Wait until uncommitted bytes are below their bound: callers await this before reading more."""

    async def finish(self) -> Body:
        """The body, complete and (when it is a file) synced with its folder."""

    def abort(self) -> None:
        """Forget it."""


class QueueStore(Protocol):
    """The queue of one mail worker: its own shard and those it has adopted."""

    def new_queue_id(self) -> str:
        """An id that was never given before."""

    def new_content(self, queue_id: str) -> ContentWriter:
        """Begin a body."""

    async def enqueue(self, new: NewMessage) -> None:
        """Make a message durable: returns when the commit that holds it is synced. Raises QueueFull, QueueFault.
        What it replaces goes in the same commit where that can be; the caller takes it away afterwards all the same,
        and not before somebody knows that the new one is there: a scan could take it up, and end it, in between."""

    async def record(self, fates: Sequence[Fate]) -> None:
        """Make fates durable. Retries a failing commit until it works; never drops one."""

    async def load_content(self, queue_id: str) -> Content | None:
        """Header and body, from memory or from disk; None when it is gone."""

    async def load(self, queue_id: str) -> QueuedMessage | None:
        """One message's row."""

    def due(
        self, now: float, limit: int = 500, states: Sequence[State] = (State.INCOMING, State.DEFERRED)
    ) -> AsyncIterator[QueuedMessage]:
        """INCOMING and DEFERRED messages whose next_attempt has come, oldest first, paged.

        Infinity means all, in the order of their numbers: one that is deferred meanwhile is not met again.
        """

    async def page(
        self, after: tuple[str, int], limit: int = 500
    ) -> tuple[list[QueuedMessage], tuple[str, int] | None]:
        """All messages behind a key (("", -1) is the beginning), and the key to go on with, or None at the end."""

    async def tend(self) -> bool:
        """What wants doing now and then: adopt what nobody owns, delete what is drained. True when mail was adopted."""

    @property
    def blocked(self) -> bool:
        """Whether fates cannot be recorded now: then nothing is accepted, and nothing should be delivered."""
