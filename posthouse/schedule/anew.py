"""Messages that are to come in anew (postsuper -r), as in Postfix: under a new id, through cleanup again.

What is pending of a message passes the one door once more, and the old row goes with the commit of the new one
(docs/queue-states.md, steps V to Z). What cleanup refuses for good is returned to its sender.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.outcome import Dsn, Outcome
from posthouse.envelope.outcome import Fate as Ending
from posthouse.host.clock import Clock
from posthouse.host.log import ProcessLog
from posthouse.queue.store import Fate, QueuedMessage, QueueFault, QueueFull, QueueStore, State, StoredRecipient
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.chronicle import Chronicle
from posthouse.schedule.recorder import Recorder
from posthouse.schedule.wish import Wish

AGAIN = 60.0
"""Seconds (the wakeup of Postfix's pickup) before a queue run tries again what found no room, or tables in trouble."""


class Refusal(Protocol):
    """Why a message could not come in."""

    @property
    def code(self) -> int:
        """An SMTP code: from 500 on for good."""

    @property
    def status(self) -> str:
        """RFC 3463."""

    @property
    def text(self) -> str:
        """In words."""


class Door(Protocol):
    """Where a message comes in anew."""

    async def bring(
        self, message: QueuedMessage, recipients: Sequence[StoredRecipient], content: Content
    ) -> Refusal | None:
        """Queue it for these recipients in the place of the old one, or return it to its sender; None when that is
        durable. Raises QueueFull and QueueFault when a notice could not be queued."""


class Anew:
    """Brings messages in anew."""

    def __init__(
        self,
        door: Door,
        store: QueueStore,
        recorder: Recorder,
        chronicle: Chronicle,
        clock: Clock,
        log: ProcessLog,
        settle: Callable[[ActiveMessage], None],
    ) -> None:
        """`log` is the cleanup program's, for what it refuses."""
        self._door = door
        self._store = store
        self._recorder = recorder
        self._chronicle = chronicle
        self._clock = clock
        self._log = log
        self._settle = settle
        self.closed = False
        """A successor, with the configuration of today, is to bring them."""

    async def bring(self, active: ActiveMessage) -> None:
        """One message that was taken up with the wish in its row; it leaves the active set."""
        pending = active.pending_recipients()
        content = await self._store.load_content(active.queue_id)
        if not pending or content is None or active.wish is not None:
            self._settle(active)  # done, or deleted meanwhile
            return
        if self.closed:
            active.concluding = True
            self._recorder.add(Fate(active.queue_id), active)
            return
        active.concluding = True  # From here on the new message may be there: nobody can delete it by the old name.
        message = active.message
        refusal: Refusal | None
        try:
            refusal = await self._door.bring(message, pending, content)
        except (QueueFull, QueueFault) as error:
            self._log.warning(f"{message.queue_id}: not requeued: {error}")
            self.later(active)
            return
        if refusal is None:
            active.wish = Wish.DELETE  # it went by another name: nothing is said of this one
            self._recorder.add(Fate(message.queue_id, remove=True), active)
        elif refusal.code < 500:
            self.later(active)
        else:
            active.concluding = False
            dsn = Dsn(refusal.status, refusal.text)
            bounced = [Outcome(r.index, Ending.BOUNCED, dsn, "none", 0.0, 0.0) for r in pending]
            self._chronicle.take(active, bounced, self._clock.now(), self._log)
            self._settle(active)

    def later(self, active: ActiveMessage) -> None:
        """It stays as it is, for a queue run to come."""
        again = self._clock.now() + AGAIN
        self._recorder.add(Fate(active.queue_id, (), State.DEFERRED, again), active)
