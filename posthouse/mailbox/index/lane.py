"""One account's calls off the event loop: its lane, and group commit.

A lane runs one batch at a time in a thread of the pool. What comes while it runs waits and is
the next batch: all its writes share one transaction and one sync (each within a savepoint of its
own, so that one that fails or is refused takes nothing with it), then its reads run. Deliveries
to one mailbox that follow each other are done together; where that fails, one by one. A caller
goes on when the commit that holds its write has returned, never before.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw

from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.index.schema import reason
from posthouse.mailbox.store import MailboxFault, Refused

T = TypeVar("T")

# Jobs of one commit: bounds how long the first of a batch waits for the last.
BATCH = 200


class Sociable(Protocol):
    """A job that others of its kind may be done together with: each statement costs a change of threads."""

    @property
    def company(self) -> str:
        """Equal among those that fit together."""

    def together(self, file: AccountFile, jobs: Sequence[Any]) -> Sequence[object] | None:
        """Do all these; their results, or None: what was done is undone, and each is tried by itself."""


class Job:
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


class Yard(Protocol):
    """What a lane needs of all lanes (index/lanes.py)."""

    @property
    def open_file(self) -> Callable[[str], AccountFile]:
        """In the pool. Raises MailboxFault, apsw.Error, OSError."""

    @property
    def on_change(self) -> Callable[..., None]:
        """Something that sessions wait for was committed in these accounts."""

    def enqueue(self, lane: "Lane", batch: list[Job]) -> None:
        """Run a batch of quick jobs soon, with those of other lanes."""

    def start(self, lane: "Lane", batch: list[Job]) -> None:
        """Run a batch in a thread of its own."""

    def settle(self, idle: "Lane") -> None:
        """A lane has no more work."""


class Lane:
    """The calls to one account, in order."""

    def __init__(self, lanes: Yard, account: str) -> None:
        self._lanes = lanes
        self.account = account
        self.waiting: list[Job] = []
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
        self.waiting.append(Job(job, write, future, cleanup, quick))
        if not self.running:
            self._start()
        # A caller that is cancelled gives up the answer; the job itself may be in a commit already.
        return cast(T, await future)

    def _start(self) -> None:
        batch, self.waiting = self.waiting, []
        if len(batch) > BATCH:
            batch, self.waiting = batch[:BATCH], batch[BATCH:]
        self.running = True
        if all(job.quick for job in batch):
            self._lanes.enqueue(self, batch)
        else:
            self._lanes.start(self, batch)

    def done(self, batch: list[Job], changed: bool, broken: BaseException | None) -> None:
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

    def work(self, batch: list[Job]) -> bool:
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


def _transaction(file: AccountFile, jobs: list[Job]) -> None:
    connection = file.connection
    file.after_commit.clear()
    file.undo.clear()
    file.forget_counters()
    file.known = None
    file.sync_commits(True)
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


def _companies(jobs: list[Job]) -> list[list[Job]]:
    """The jobs in their order, neighbours that may be done together in one list."""
    found: list[list[Job]] = []
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


def _run_together(file: AccountFile, company: list[Job]) -> bool:
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


def _run_apart(file: AccountFile, job: Job, *, alone: bool) -> None:
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


def _run(file: AccountFile, job: Job) -> None:
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
