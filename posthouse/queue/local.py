"""The queue on this machine: one shard for new mail, and the shards adopted to be delivered out.

Implements QueueStore (queue/store.py). One per mail worker, on its event loop; it must be
closed, or its threads commit what they have and end with the process.

Settings: queue_minfree, enable_long_queue_ids, posthouse_body_memory.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import apsw

from posthouse.envelope.content import Body, Content, MemoryBody
from posthouse.host.clock import Clock, SystemClock
from posthouse.host.durable import make_folder
from posthouse.host.log import ProcessLog
from posthouse.queue.body import ROW_BODY_LIMIT, FileBody, SpillingWriter, Uncommitted, failure_of
from posthouse.queue.body_memory import BodyMemory
from posthouse.queue.database import PAGE, STATES, Change, NewRow, ShardDatabase
from posthouse.queue.pack import DELAY_WARNED, FORCE_EXPIRED, REQUEUED, TRACED, flags_of, pack_message, pack_outcome
from posthouse.queue.queue_id import BLOCK, NumberSource, long_id, number_of, short_id
from posthouse.queue.shard import Shard, adopt_shard, create_shard, shard_names
from posthouse.queue.store import (
    ContentWriter,
    Fate,
    NewMessage,
    QueuedMessage,
    QueueFault,
    QueueFull,
    State,
)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the queue reads from main.cf."""

    queue_minfree: int = 0
    enable_long_queue_ids: bool = False
    posthouse_body_memory: int = 64 << 20


class LocalQueueStore:
    """The queue of one mail worker. Made by open_queue()."""

    def __init__(self, root: str, settings: QueueSettings, log: ProcessLog, clock: Clock, vfs: str | None) -> None:
        self.root = root
        self._settings = settings
        self._log = log
        self._clock = clock
        self._vfs = vfs
        self._numbers = NumberSource(os.path.join(root, "numbers"))
        self._blocks: dict[int, Shard] = {}
        self._current: Shard | None = None
        self._adopted: list[Shard] = []
        self._uncommitted = Uncommitted()
        self.memory = BodyMemory(settings.posthouse_body_memory)
        self._troubled: set[Shard] = set()
        self._replacing: asyncio.Task[None] | None = None
        self._closed = False
        self.on_broken: Callable[[], None] = lambda: None
        """Called when a writer ended by a fault of ours: the process should end, a successor adopts the shards."""

    @property
    def blocked(self) -> bool:
        """Whether fates cannot be recorded now: then nothing is accepted, and nothing should be delivered."""
        return bool(self._troubled)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Every shard this process owns, the one for new mail last."""
        return (*self._adopted, self._current) if self._current is not None else tuple(self._adopted)

    # -- shards ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the shard for new mail and adopt the unlocked ones."""
        await asyncio.to_thread(make_folder, self.root)
        await self.adopt()
        await self._open_current()

    async def _open_current(self) -> None:
        shard = await asyncio.to_thread(create_shard, self.root, minfree=self._settings.queue_minfree, vfs=self._vfs)
        await asyncio.to_thread(shard.prepare)
        self._start(shard)
        await asyncio.to_thread(self._numbers.reserve)
        self._current = shard

    def _start(self, shard: Shard) -> None:
        shard.start(asyncio.get_running_loop(), self._on_fault, self._on_trouble, self._on_recovery, self._on_end)
        for block in shard.blocks:
            self._blocks[block] = shard

    async def adopt(self) -> int:
        """Lock every shard that nobody owns, to deliver it out. How many there were."""
        own = {shard.name for shard in self.shards}
        adopted = 0
        for name in await asyncio.to_thread(shard_names, self.root):
            if name in own:
                continue
            shard = await asyncio.to_thread(
                adopt_shard, self.root, name, minfree=self._settings.queue_minfree, vfs=self._vfs
            )
            if shard is None:
                continue
            try:
                await asyncio.to_thread(shard.prepare)
            except (apsw.Error, OSError) as error:  # a damaged shard must not stop the others
                self._log.error(f"queue shard {shard.folder}: {error}")
                shard.lock.release()
                continue
            self._start(shard)
            self._adopted.append(shard)
            adopted += 1
        return adopted

    async def tend(self) -> bool:
        """What wants doing now and then: adopt, delete drained shards, refill reserves. True when some were adopted."""
        for shard in list(self._adopted):
            if shard not in self._troubled and await self._drained(shard):
                self._adopted.remove(shard)
                for block in shard.blocks:
                    if self._blocks.get(block) is shard:  # a block set aside may be another import's by now
                        del self._blocks[block]
                await shard.close(delete=True)
        for shard in self.shards:
            if shard not in self._troubled:
                await asyncio.to_thread(shard.restore_reserve)
        if self._current is None and not self._closed and self._replacing is None:
            self._replace()
        return await self.adopt() > 0

    async def _drained(self, shard: Shard) -> bool:
        try:
            return await shard.read(ShardDatabase.empty)
        except (apsw.Error, OSError) as error:
            self._log.error(f"queue shard {shard.folder}: {error}")
            return False

    def _on_fault(self, shard: Shard, text: str) -> None:
        self._log.error(f"queue shard {shard.folder}: {text}")
        shard.unsound = text
        if shard is self._current:
            self._adopted.append(shard)
            self._current = None
            self._replace()

    def _replace(self) -> None:
        async def replace() -> None:
            try:
                await self._open_current()
            except OSError as error:
                self._log.error(f"queue folder {self.root}: {error}")
            finally:
                self._replacing = None

        self._replacing = asyncio.get_running_loop().create_task(replace())

    def _on_trouble(self, shard: Shard, text: str) -> None:
        self._troubled.add(shard)
        self._log.warning(f"queue shard {shard.folder}: {text}: no mail is accepted or delivered until this is mended")

    def _on_recovery(self, shard: Shard) -> None:
        self._troubled.discard(shard)
        self._log.info(f"queue shard {shard.folder}: writable again")

    def _on_end(self, shard: Shard, error: BaseException) -> None:
        self._troubled.add(shard)
        self._log.error(f"queue shard {shard.folder}: writer: {type(error).__name__}: {error}")
        asyncio.get_running_loop().call_exception_handler({"message": "queue writer broke off", "exception": error})
        self.on_broken()

    async def close(self) -> None:
        """Commit what waits and give up every lock. A drained shard is deleted."""
        self._closed = True
        if self._replacing is not None:
            await self._replacing
        for shard in self.shards:
            empty = not shard.unsound and await self._drained(shard)
            await shard.close(delete=empty)
        self._adopted.clear()
        self._current = None

    # -- new mail --------------------------------------------------------------------------------------------------

    def new_queue_id(self) -> str:
        """An id that was never given before."""
        number = self._numbers.next()
        if self._current is not None and number // BLOCK not in self._blocks:
            self._blocks[number // BLOCK] = self._current
            self._current.blocks.add(number // BLOCK)
        now = self._clock.now()
        seconds = int(now)
        microseconds = int((now - seconds) * 1_000_000)
        if self._settings.enable_long_queue_ids:
            return long_id(seconds, microseconds, number)
        return short_id(microseconds, number)

    def new_content(self, queue_id: str) -> ContentWriter:
        """Begin a body."""
        folder = self._current.content_folder if self._current is not None else os.path.join(self.root, "gone")
        return SpillingWriter(os.path.join(folder, queue_id), self._uncommitted)

    async def enqueue(self, new: NewMessage) -> None:
        """Make a message durable. Raises QueueFull, QueueFault."""
        message, content = new.message, new.content
        shard = self._current
        number = number_of(message.queue_id)
        if self._troubled or shard is None or shard.writer is None:
            raise QueueFault("the queue cannot be written now")
        if number is None or self._blocks.get(number // BLOCK) is not shard:
            raise QueueFault("the queue id is of another shard")  # it was retired while the message arrived
        body = content.body
        if body.size > ROW_BODY_LIMIT or not isinstance(body, MemoryBody):
            body = await self._own_body(shard, message.queue_id, body)
        data = body.data if isinstance(body, MemoryBody) else None
        row = NewRow(
            number,
            message.queue_id,
            STATES[message.state],
            message.next_attempt,
            flags_of(message),
            pack_message(message),
            content.header,
            data,
        )
        cost = len(content.header) + (len(data) if data is not None else 0)
        if data is None:
            shard.files.add(message.queue_id)
        self.memory.add(message.queue_id, content if content.body is body else Content(content.header, body))
        self._uncommitted.add(cost)
        try:
            beside = bool(new.replaces) and self._owner(new.replaces) is shard
            await shard.writer.insert(row, number_of(new.replaces) if beside else None)
        except (QueueFault, asyncio.CancelledError):
            self.memory.drop(message.queue_id)
            raise
        except QueueFull:
            self._forget(shard, message.queue_id)
            raise
        finally:
            self._uncommitted.add(-cost)
        if beside:
            self._forget(shard, new.replaces)

    async def _own_body(self, shard: Shard, queue_id: str, body: Body) -> Body:
        """The body as this message's own: its content file, a copy of another's, or memory when it is small."""
        if isinstance(body, FileBody) and body.path == shard.content_path(queue_id):
            return body
        writer = SpillingWriter(shard.content_path(queue_id), self._uncommitted)
        try:
            async for chunk in body.chunks():
                for at in range(0, len(chunk), ROW_BODY_LIMIT):
                    await writer.room()
                    writer.write(chunk[at : at + ROW_BODY_LIMIT])
            return await writer.finish()
        except OSError as error:
            writer.abort()
            raise failure_of(error) from error
        except (QueueFull, QueueFault, asyncio.CancelledError):
            writer.abort()
            raise

    # -- fates -----------------------------------------------------------------------------------------------------

    async def record(self, fates: Sequence[Fate]) -> None:
        """Make fates durable. Retries a failing commit until it works; never drops one."""
        by_shard: dict[Shard, list[Change]] = {}
        gone: list[tuple[Shard, str]] = []
        for fate in fates:
            number = number_of(fate.queue_id)
            shard = None if number is None else self._blocks.get(number // BLOCK)
            if shard is None or number is None:
                continue  # its shard was drained and deleted: the message is gone
            by_shard.setdefault(shard, []).append(
                Change(
                    number,
                    tuple((r.index, pack_outcome(r)) for r in fate.recipients) if not fate.remove else (),
                    None if fate.state is None else STATES[fate.state],
                    fate.next_attempt,
                    (DELAY_WARNED if fate.delay_warned else 0)
                    | (FORCE_EXPIRED if fate.force_expired else 0)
                    | (TRACED if fate.traced else 0)
                    | (REQUEUED if fate.requeued else 0),
                    fate.remove,
                )
            )
            if fate.remove:
                gone.append((shard, fate.queue_id))
            elif fate.state is not None:
                self.memory.drop(fate.queue_id)
        waiting = [shard.writer.change(changes) for shard, changes in by_shard.items() if shard.writer is not None]
        for done in waiting:
            await done
        for shard, queue_id in gone:
            self._forget(shard, queue_id)

    def _forget(self, shard: Shard, queue_id: str) -> None:
        self.memory.drop(queue_id)
        if queue_id in shard.files:
            shard.files.discard(queue_id)
            try:
                os.unlink(shard.content_path(queue_id))
            except OSError:
                pass  # an orphan is removed when the shard is opened next

    # -- reading ---------------------------------------------------------------------------------------------------

    def _owner(self, queue_id: str) -> Shard | None:
        number = number_of(queue_id)
        return None if number is None else self._blocks.get(number // BLOCK)

    async def load_content(self, queue_id: str) -> Content | None:
        """Header and body, from memory or from disk; None when it is gone."""
        content = self.memory.get(queue_id)
        if content is not None:
            return content
        shard = self._owner(queue_id)
        if shard is None:
            return None
        return await shard.read(lambda database: read_content(database, queue_id, shard.content_folder))

    async def load(self, queue_id: str) -> QueuedMessage | None:
        """One message's row."""
        shard = self._owner(queue_id)
        return None if shard is None else await shard.read(lambda database: database.load(queue_id))

    async def due(
        self, now: float, limit: int = PAGE, states: Sequence[State] = (State.INCOMING, State.DEFERRED)
    ) -> AsyncIterator[QueuedMessage]:
        """INCOMING and DEFERRED messages whose next_attempt has come, oldest first, paged; all of them at infinity."""
        for state in states:
            for shard in self.shards:
                after = (-1.0, -1)
                while True:
                    try:
                        page = await shard.read(lambda db, s=state, a=after: db.due(s, now, a, limit))  # type: ignore[misc]  # defaults bind the loop's values
                    except (apsw.Error, OSError) as error:
                        self._log.error(f"queue shard {shard.folder}: {error}")
                        break  # the others' mail goes on
                    for message in page:
                        if message.state is state:
                            yield message
                    if len(page) < limit:
                        break
                    after = (page[-1].next_attempt, number_of(page[-1].queue_id) or 0)

    async def page(
        self, after: tuple[str, int], limit: int = PAGE
    ) -> tuple[list[QueuedMessage], tuple[str, int] | None]:
        """Messages behind a key (("", -1) is the beginning) and the key to go on with, or None at the end."""
        shards = [shard for shard in sorted(self.shards, key=lambda shard: shard.name) if shard.name >= after[0]]
        for shard in shards:
            start = after[1] if shard.name == after[0] else -1
            found = await shard.read(lambda db, s=start: db.page(s, limit))  # type: ignore[misc]  # default binds the loop's value
            if found:
                return found, (shard.name, number_of(found[-1].queue_id) or 0)
        return [], None


def read_content(database: ShardDatabase, queue_id: str, content_folder: str) -> Content | None:
    """The content of one message in a shard; None when it is gone."""
    number = number_of(queue_id)
    found = None if number is None else database.content(number)
    if found is None:
        return None
    header, body = found
    if body is not None:
        return Content(header, MemoryBody(body))
    path = os.path.join(content_folder, queue_id)
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return None
    return Content(header, FileBody(path, size))


async def open_queue(
    root: str,
    settings: QueueSettings,
    log: ProcessLog,
    clock: Clock | None = None,
    *,
    vfs: str | None = None,
) -> LocalQueueStore:
    """Open the queue in root (queue_directory/posthouse/queue) for one mail worker."""
    store = LocalQueueStore(root, settings, log, clock or SystemClock(), vfs)
    await store.start()
    return store
