"""Account files off the event loop: one lane per account, a bounded pool, group commit, an LRU.

A lane runs one batch at a time in a thread of the pool. What comes while it runs waits and is
the next batch: all its writes share one transaction and one sync (each within a savepoint of its
own, so that one that fails or is refused takes nothing with it), then its reads run. Deliveries
to one mailbox that follow each other are done together; where that fails, one by one. A caller
goes on when the commit that holds its write has returned, never before.

Lanes without work keep their file open for a while, up to a number; the one unused longest is closed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw

from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.index.schema import reason
from posthouse.mailbox.store import MailboxFault, Refused

T = TypeVar("T")

# Commits of accounts that sync at the same time: deliveries to 100 accounts gained up to 8 and lost with 16.
THREADS = 8
# Open account files: three descriptors and up to 1 MiB of cache each.
OPEN_FILES = 256
# A file unused for so long is closed: an idle session costs some 20 KiB, and 200 KiB with SQLite's cache.
IDLE_SECONDS = 60.0
# Groups of quick batches at the same time: each account a thread of its own cost four times the work itself in
# switches of threads; one at a time would wait for the disk with idle processors.
GROUPS = 4
# Jobs of one commit: bounds how long the first of a batch waits for the last.
BATCH = 200


class Sociable(Protocol):
    """A job that others of its kind may be done together with: each statement costs a change of threads."""

    @property
    def company(self) -> str:
        """Equal among those that fit together."""

    def together(self, file: AccountFile, jobs: Sequence[Any]) -> Sequence[object] | None:
        """Do all these; their results, or None: what was done is undone, and each is tried by itself."""


class _Job:
    """One call that waits."""

    __slots__ = ("cleanup", "fault", "future", "quick", "result", "run", "write")

    def __init__(
        self,
        run: Callable[[AccountFile], object],
        write: bool,
        future: "asyncio.Future[object]",
        cleanup: Callable[[], None] | None,
        quick: bool,
    ) -> None:
        self.run = run
        self.write = write
        self.quick = quick
        self.cleanup = cleanup
        self.future = future
        self.result: object = None
        self.fault: BaseException | None = None


class Lane:
    """The calls to one account, in order."""

    def __init__(self, lanes: "Lanes", account: str) -> None:
        self._lanes = lanes
        self.account = account
        self.waiting: list[_Job] = []
        self.running = False
        self.file: AccountFile | None = None
        self.used = 0.0
        """When it last had work, by the loop's clock."""

    async def write(
        self,
        job: Callable[[AccountFile], T],
        cleanup: Callable[[], None] | None = None,
        *,
        quick: bool = False,
    ) -> T:
        """Run in a write transaction; durable when it returns. A Refused result undoes what the job did.

        cleanup runs in the same thread after the transaction, however it ended and whether or not the caller
        still waits. quick: a few statements only (a delivery): such batches of several accounts share a thread.
        """
        return await self._enter(job, True, cleanup, quick)

    async def read(self, job: Callable[[AccountFile], T]) -> T:
        """Run without a transaction of its own (with one where the disk has to be looked at first)."""
        return await self._enter(job, False, None, False)

    async def _enter(
        self, job: Callable[[AccountFile], T], write: bool, cleanup: Callable[[], None] | None, quick: bool
    ) -> T:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.waiting.append(_Job(job, write, future, cleanup, quick))
        if not self.running:
            self._start()
        # A caller that is cancelled gives up the answer; the job itself may be in a commit already.
        return cast(T, await future)

    def _start(self) -> None:
        batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
        self.running = True
        if all(job.quick for job in batch):
            self._lanes.enqueue(self, batch)
        else:
            self._lanes.start([(self, batch)])

    def done(self, batch: list[_Job], changed: bool, broken: BaseException | None) -> None:
        """Back on the loop: answers go out, and the next batch begins."""
        for job in batch:
            if job.future.done():
                continue
            fault = broken or job.fault
            if fault is not None:
                job.future.set_exception(fault)
            else:
                job.future.set_result(job.result)
        if changed:
            self._lanes.on_change(self.account)
        if self.waiting:
            self._start()
        else:
            self.running = False
            self._lanes.settle(self)

    def work(self, batch: list[_Job]) -> bool:
        """In the pool: one transaction, then the reads. Whether something changed."""
        try:
            if self.file is None:
                self.file = self._lanes.open_file(self.account)
            file = self.file
            file.changed = False
            in_transaction = [job for job in batch if job.write or file.backing.disk_is_truth]
            if in_transaction:
                _transaction(file, in_transaction)
            for job in batch:
                if job not in in_transaction:
                    file.forget_counters()
                    _run(file, job)
        except (MailboxFault, apsw.Error, OSError) as error:
            fault = _fault(self.file, error)
            for job in batch:
                job.fault = job.fault or fault
            return False
        finally:
            for job in batch:
                if job.cleanup is not None:
                    job.cleanup()
        return file.changed


def _transaction(file: AccountFile, jobs: list[_Job]) -> None:
    connection = file.connection
    file.after_commit.clear()
    file.undo.clear()
    file.forget_counters()
    connection.execute("BEGIN IMMEDIATE")
    committed = False
    try:
        for company in _companies(jobs):
            if len(company) == 1 or not _run_together(file, company):
                for job in company:
                    _run_apart(file, job, alone=len(jobs) == 1)
        file.backing.settle(file)
        file.save_counters()
        connection.execute("COMMIT")
        committed = True
    finally:
        if not committed:
            if not connection.getautocommit():  # of a full disk and the like SQLite has rolled back by itself
                connection.execute("ROLLBACK")
            file.changed = False
            _undo(file, 0)
        file.forget_counters()
        file.backing.release()
    for action in file.after_commit:
        action()
    file.after_commit.clear()


def _companies(jobs: list[_Job]) -> list[list[_Job]]:
    """The jobs in their order, neighbours that may be done together in one list."""
    found: list[list[_Job]] = []
    last: tuple[object, str] | None = None
    for job in jobs:
        company = getattr(job.run, "company", None)
        mark = None if company is None else (type(job.run), company)
        if mark is not None and mark == last:
            found[-1].append(job)
        else:
            found.append([job])
        last = mark
    return found


def _run_together(file: AccountFile, company: list[_Job]) -> bool:
    """Several jobs in one savepoint; False when nothing of it is left and each must run apart."""
    connection = file.connection
    before = file.counters_before()
    pending = len(file.after_commit)
    connection.execute("SAVEPOINT company")
    runs = [cast(Sociable, job.run) for job in company]
    try:
        results = runs[0].together(file, runs)
    except (MailboxFault, apsw.Error, OSError) as error:
        if connection.getautocommit():
            raise _fault(file, error) from error  # SQLite took the whole transaction back (a full disk)
        results = None
    if results is None:
        connection.execute("ROLLBACK TO company")
        file.forget_counters(before)
        del file.after_commit[pending:]
    connection.execute("RELEASE company")
    if results is None:
        return False
    for job, result in zip(company, results, strict=True):
        job.result = result
    return True


def _run_apart(file: AccountFile, job: _Job, *, alone: bool) -> None:
    """One job in a savepoint. A batch of one needs none: its way back is to begin the transaction anew."""
    connection = file.connection
    before = None if alone else file.counters_before()
    if not alone:
        connection.execute("SAVEPOINT job")
    pending, undoable = len(file.after_commit), len(file.undo)
    _run(file, job)
    if job.fault is not None or isinstance(job.result, Refused):
        if connection.getautocommit() and not alone:
            # SQLite took the whole transaction back (a full disk): what the jobs before did is gone with it.
            raise job.fault or MailboxFault(f"{connection.filename}: the transaction was rolled back")
        if not connection.getautocommit():
            connection.execute("ROLLBACK" if alone else "ROLLBACK TO job")
        file.forget_counters(before)
        del file.after_commit[pending:]
        _undo(file, undoable)
        if alone:
            connection.execute("BEGIN IMMEDIATE")
    if not alone:
        connection.execute("RELEASE job")


def _undo(file: AccountFile, first: int) -> None:
    """Take back what was put since, last first."""
    while len(file.undo) > first:
        file.undo.pop()()


def _run(file: AccountFile, job: _Job) -> None:
    try:
        job.result = job.run(file)
    except (MailboxFault, apsw.Error, OSError) as error:
        job.fault = _fault(file, error)


def _fault(file: AccountFile | None, error: Exception) -> MailboxFault:
    """A fault that names the file, for whoever reads the log: SQLite's errors do not, OSErrors mostly do."""
    if isinstance(error, MailboxFault):
        return error
    if file is None or (isinstance(error, OSError) and error.filename is not None):
        return MailboxFault(str(error))
    damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError)
    told = f"{file.connection.filename}: {reason(error, Path(file.connection.filename))}"
    return MailboxFault(told + file.backing.remedy(file) if damaged else told)


class Lanes:
    """All lanes of one store in one process and event loop."""

    def __init__(
        self,
        open_file: Callable[[str], AccountFile],
        on_change: Callable[[str], None],
        *,
        threads: int = THREADS,
        open_files: int = OPEN_FILES,
    ) -> None:
        self.open_file = open_file
        self.on_change = on_change
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="mailbox")
        self._open_files = open_files
        self._ready: list[tuple[Lane, list[_Job]]] = []
        self._groups = 0
        self._called = False
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._closing: set[asyncio.Future[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def enqueue(self, lane: Lane, batch: list[_Job]) -> None:
        """A batch of quick jobs waits for its group: those of one turn of the loop share a hop into the pool."""
        self._ready.append((lane, batch))
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Give what is ready to the groups that are free; the rest waits, and gathers."""
        self._called = False
        free = min(GROUPS - self._groups, len(self._ready))
        if free > 0:
            ready, self._ready = self._ready, []
            self._groups += free
            for first in range(free):
                self.start(ready[first::free], grouped=True)

    def start(self, group: list[tuple[Lane, list[_Job]]], *, grouped: bool = False) -> None:
        """Run batches of several lanes one after the other in one thread."""
        changed: list[bool] = []

        def work() -> None:
            for lane, batch in group:
                changed.append(lane.work(batch))

        def done(future: "asyncio.Future[None]") -> None:
            broken = future.exception()
            if grouped:
                self._groups -= 1
            for number, (lane, batch) in enumerate(group):
                if number < len(changed):
                    lane.done(batch, changed[number], None)
                else:
                    lane.done(batch, False, broken)
            if self._ready:
                self._dispatch()

        asyncio.get_running_loop().run_in_executor(self.pool, work).add_done_callback(done)

    def lane(self, account: str) -> Lane:
        """The lane of an account; it becomes the one used last."""
        lane = self._lanes.get(account)
        if lane is None:
            lane = self._lanes[account] = Lane(self, account)
        else:
            self._lanes.move_to_end(account)
        return lane

    def settle(self, idle: Lane) -> None:
        """A lane has no more work: close those that are too many, and this one once it is idle long enough."""
        loop = asyncio.get_running_loop()
        idle.used = loop.time()
        if self._sweep is None and not self._closed:
            self._sweep = loop.call_later(IDLE_SECONDS, self._close_idle)
        excess = len(self._lanes) - self._open_files
        if excess <= 0:
            return
        for lane in [each for each in self._lanes.values() if not each.running and not each.waiting][:excess]:
            if lane is not idle:
                self._close(lane)

    def _close_idle(self) -> None:
        """Close what was not used for long; look again while something is open."""
        loop = asyncio.get_running_loop()
        before = loop.time() - IDLE_SECONDS
        for lane in [each for each in self._lanes.values() if not each.running and not each.waiting]:
            if lane.used <= before:
                self._close(lane)
        self._sweep = loop.call_later(IDLE_SECONDS / 2, self._close_idle) if self._lanes else None

    def _close(self, lane: Lane) -> None:
        """Let go of a lane. Who still holds it opens the file anew with the next call, after this close."""
        del self._lanes[lane.account]
        file, lane.file = lane.file, None
        if file is None:
            return

        def close() -> None:
            file.backing.close()
            file.connection.close()

        future = asyncio.get_running_loop().run_in_executor(self.pool, close)
        self._closing.add(future)
        future.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Finish all work, close all files, end the threads."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while busy := [lane for lane in self._lanes.values() if lane.running or lane.waiting]:
            await asyncio.gather(*(lane.read(lambda _file: None) for lane in busy), return_exceptions=True)
        for lane in list(self._lanes.values()):
            self._close(lane)
        if self._closing:
            await asyncio.gather(*self._closing)
        self.pool.shutdown()
