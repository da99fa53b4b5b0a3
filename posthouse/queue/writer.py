"""The thread that makes a shard's rows durable: group commit.

put() hands over one new message or one batch of changes. When the thread is idle it commits
at once; while it waits for the disk the next batch gathers, and goes in one commit. The loop
hears of a commit once, not once per message.

What happens to a commit that fails:
    disk full    the new messages of the batch fail with QueueFull; the changes stay, the WAL's
                 room is used again and the reserve file is given up for them, and they are tried
                 again until they work
    any other    the new messages fail with QueueFault, and the database is opened anew after
                 an integrity check; the changes stay and are tried again
Changes are never dropped from memory. A fault of ours ends the thread: new messages fail with QueueFault, the changes
stay as they were on disk, and whoever owns the shard is told, to end and leave it to a successor.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

import apsw

from posthouse.queue.database import Change, NewRow, ShardDatabase
from posthouse.queue.store import QueueFault, QueueFull

RETRY_DELAY = 1.0
"""Seconds before changes that could not be committed are tried again."""

BATCH_LIMIT = 512
"""Rows in one commit: bounds how long the first of them waits for the rest to be written."""

LOOK_EVERY = 1.0
"""Seconds between looks at how much room the disk has."""

BUSY_BATCH = 3
GATHER_DELAY = 0.002
"""After a commit of so many changes the next one waits a moment for more: a commit costs as much for two messages as
for ten, and with 20 sessions that took an eighth of a relayed message's time. One or two sessions never wait."""


@dataclass(eq=False, slots=True)
class _Insertion:
    row: NewRow
    done: asyncio.Future[None]
    replaces: int | None
    failure: Exception | None = None


@dataclass(eq=False, slots=True)
class _Changes:
    changes: list[Change]
    done: asyncio.Future[None]
    failure: Exception | None = None


class Writer:
    """One thread and its connection."""

    def __init__(
        self,
        open_database: Callable[[], ShardDatabase],
        loop: asyncio.AbstractEventLoop,
        *,
        name: str,
        room: Callable[[], bool],
        scarce: Callable[[], bool],
        give_up_reserve: Callable[[], bool],
        on_fault: Callable[[str], None],
        on_trouble: Callable[[str], None],
        on_recovery: Callable[[], None],
        on_end: Callable[[BaseException], None],
    ) -> None:
        self._open = open_database
        self._loop = loop
        self._room = room
        self._is_scarce = scarce
        self._scarce = False
        self._look_at = 0.0
        self._give_up_reserve = give_up_reserve
        self._on_fault = on_fault
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        self._on_end = on_end
        self._lock = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._awake = False
        self._pending: list[_Insertion | _Changes] = []
        self._owed: list[_Changes] = []
        self._refused: list[int] = []
        self._faulty = False
        self._troubled = False
        self._closing = False
        self._stop = threading.Event()
        self._database: ShardDatabase | None = open_database()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def insert(self, row: NewRow, replaces: int | None = None) -> asyncio.Future[None]:
        """Make a message durable, and in the same commit take another of this shard away. The future fails with
        QueueFull or QueueFault."""
        item = _Insertion(row, self._loop.create_future(), replaces)
        self._put(item)
        return item.done

    def change(self, changes: list[Change]) -> asyncio.Future[None]:
        """Make changes durable, however long it takes."""
        item = _Changes(changes, self._loop.create_future())
        self._put(item)
        return item.done

    def _put(self, item: _Insertion | _Changes) -> None:
        with self._lock:
            if self._closing:
                raise QueueFault("the shard is closed")
            self._pending.append(item)
            if self._awake:
                return
            self._awake = True
        self._wake.put(None)

    async def close(self) -> None:
        """Commit what waits, close the connection, end the thread."""
        with self._lock:
            self._closing = True
        self._stop.set()
        self._wake.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[_Insertion | _Changes] = []
        try:
            self._commit_forever(batch)
        except BaseException as error:  # the last line of a thread: told, never swallowed
            with self._lock:
                self._closing = True
                unwritten = [item for item in [*batch, *self._pending] if isinstance(item, _Insertion)]
            self._finish(unwritten, QueueFault("the queue's writer broke off"))
            self._tell(self._on_end, error)

    def _commit_forever(self, batch: list[_Insertion | _Changes]) -> None:
        """`batch` is what is being committed, for whoever hears of a fault."""
        while True:
            self._wake.get()
            while True:
                with self._lock:
                    batch[:], self._pending = self._pending[:BATCH_LIMIT], self._pending[BATCH_LIMIT:]
                    closing = self._closing
                    if not batch and not self._owed:
                        self._awake = False
                        break
                self._commit(batch)
                if self._owed:
                    if closing:
                        break  # they stay on disk as they were: the deliveries are repeated, never forgotten
                    self._stop.wait(RETRY_DELAY)
                elif len(batch) >= BUSY_BATCH:
                    self._stop.wait(GATHER_DELAY)
            if self._closing:
                if self._database is not None:
                    self._database.close()
                return

    def _commit(self, batch: list[_Insertion | _Changes]) -> None:
        insertions = [item for item in batch if isinstance(item, _Insertion)]
        owed = self._owed + [item for item in batch if isinstance(item, _Changes)]
        failure = self._reopen() if self._faulty else None
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._save_room()
        if failure is None and insertions and not self._room():
            failure = QueueFull("queue_minfree is reached")
            self._finish(insertions, failure)
            insertions, failure = [], None
        if failure is None and (insertions or owed):
            failure = self._apply(insertions, owed)
            if isinstance(failure, QueueFull) and owed:
                self._finish(insertions, failure)
                insertions = []
                failure = self._apply_somehow(owed)
        self._owed = owed if failure is not None else []
        self._finish([*insertions, *(owed if failure is None else ())], failure)
        self._tell_trouble(failure)
        if self._faulty:
            self._reopen()  # at once: what was refused must not be found by whoever opens the shard next

    def _apply_somehow(self, owed: list[_Changes]) -> Exception | None:
        """Changes on a full disk: they may fit where new messages did not, then in the WAL's place, then in the
        reserve's, which may also be what the WAL needs to be folded."""
        failure = self._apply([], owed)
        for reserve in (False, True):
            if not isinstance(failure, QueueFull) or (reserve and not self._give_up_reserve()):
                break
            if self._database is not None:
                self._database.reuse_wal()
            failure = self._apply([], owed)
        return failure

    def _save_room(self) -> None:
        """Keep the WAL small while room is scarce."""
        scarce = self._is_scarce()
        if scarce != self._scarce and self._database is not None:
            self._scarce = scarce
            self._database.save_room(scarce)

    def _apply(self, insertions: list[_Insertion], owed: list[_Changes]) -> Exception | None:
        assert self._database is not None
        try:
            changes = [c for item in owed for c in item.changes]
            changes += [Change(i.replaces, remove=True) for i in insertions if i.replaces is not None]
            self._database.apply([i.row for i in insertions], changes)
        except apsw.FullError as error:
            return QueueFull(str(error))
        except apsw.Error as error:
            self._faulty = True
            self._refused += [i.row.number for i in insertions]
            self._tell(self._on_fault, str(error))
            return QueueFault(str(error))
        return None

    def _reopen(self) -> Exception | None:
        """After a failed write or sync: only a fresh connection knows what reached the disk.

        Messages that were refused to their clients may be in the file all the same: they go.
        """
        try:
            if self._database is not None:
                self._database.close()
                self._database = None
            database = self._open()
            try:
                if not database.sound():
                    raise apsw.CorruptError("integrity_check failed")
                if self._refused:
                    database.apply([], [Change(number, remove=True) for number in self._refused])
            except apsw.Error:
                database.close()
                raise
        except (apsw.Error, OSError) as error:
            return QueueFault(str(error))
        self._database = database
        self._scarce = False  # as a fresh connection has it; the next look tells
        self._look_at = 0.0
        self._refused.clear()
        self._faulty = False
        return None

    def _finish(self, items: list[_Insertion | _Changes] | list[_Insertion], failure: Exception | None) -> None:
        if not items:
            return
        for item in items:
            item.failure = failure
        self._tell(_settle, items)

    def _tell_trouble(self, failure: Exception | None) -> None:
        troubled = failure is not None and bool(self._owed)
        if troubled and not self._troubled:
            self._tell(self._on_trouble, str(failure))
        elif self._troubled and not troubled:
            self._tell(self._on_recovery)
        self._troubled = troubled

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to hear


def _settle(items: list[_Insertion | _Changes]) -> None:
    for item in items:
        done = item.done
        if done.done():
            continue  # its task was cancelled: the message is durable all the same
        if item.failure is None:
            done.set_result(None)
        else:
            done.set_exception(item.failure)
