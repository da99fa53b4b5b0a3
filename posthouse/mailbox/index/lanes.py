"""All lanes of a store: a bounded pool of threads, rounds of deliveries, an LRU of open files.

Batches of deliveries of several accounts that wait together are a round: one thread, and where the
store can do it (native/rounds.py) one sync for all of them. While a round runs the next gathers; a
second one begins beside it only when it takes long.

Lanes without work keep their file open for a while, up to a number; the one unused longest is closed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from posthouse.mailbox.index.delivery import Delivery
from posthouse.mailbox.index.lane import Job, Lane
from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.store import MailboxFault

# Commits of accounts that sync at the same time: deliveries to 100 accounts gained up to 8 and lost with 16.
THREADS = 8
# Open account files: three descriptors and up to 1 MiB of cache each.
OPEN_FILES = 256
# A file unused for so long is closed: an idle session costs some 20 KiB, and 200 KiB with SQLite's cache.
IDLE_SECONDS = 60.0
# Rounds at the same time: one slow disk or locked account must not hold up the others for ever.
ROUNDS = 4
# Seconds that a round has for itself: shorter than that, two rounds of half the size cost more than one.
ROUND_SECONDS = 0.05

Batch = tuple[Lane, list[Job]]


class Rounds(Protocol):
    """Who commits deliveries to several accounts at once."""

    def commit(self, offers: Sequence[tuple[AccountFile, Sequence[Delivery]]]) -> Sequence[Sequence[object] | None]:
        """In the pool: results of each account's deliveries, durable; None where nothing was done and the lane must."""

    def settle(self, file: AccountFile) -> None:
        """In the pool: make durable in the account's own file what was committed. Raises OSError."""

    def due(self) -> Sequence[str]:
        """Accounts that should be settled."""

    def close(self) -> None:
        """All files are closed."""


class Lanes:
    """All lanes of one store in one process and event loop."""

    def __init__(
        self,
        open_file: Callable[[str], AccountFile],
        on_change: Callable[..., None],
        *,
        threads: int = THREADS,
        open_files: int = OPEN_FILES,
        rounds: Rounds | None = None,
    ) -> None:
        """open_file: in the pool. on_change: told of accounts in which something changed."""
        self.open_file = open_file
        self.on_change = on_change
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="mailbox")
        self._open_files = open_files
        self._rounds = rounds
        self._ready: list[Batch] = []
        self._running = 0
        self._began = 0.0
        """When the last round began."""
        self._called: asyncio.Handle | None = None
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._closing: set[asyncio.Future[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._closed = False

    def enqueue(self, lane: Lane, batch: list[Job]) -> None:
        """A batch of quick jobs waits for its round: those of one turn of the loop are in one, at least."""
        self._ready.append((lane, batch))
        if self._called is None:
            loop = asyncio.get_running_loop()
            if self._running:
                self._called = loop.call_at(self._began + ROUND_SECONDS, self._dispatch)
            else:
                self._called = loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Begin a round with all that is ready, unless there are too many."""
        if self._called is not None:
            self._called.cancel()
            self._called = None
        if self._ready and self._running < ROUNDS:
            ready, self._ready = self._ready, []
            self._running += 1
            self._began = asyncio.get_running_loop().time()
            self._run(ready)

    def start(self, lane: Lane, batch: list[Job]) -> None:
        """Run one lane's batch in a thread of its own."""

        def done(future: "asyncio.Future[bool]") -> None:
            broken = future.exception()
            lane.done(batch, broken is None and future.result(), broken)

        asyncio.get_running_loop().run_in_executor(self.pool, lane.work, batch).add_done_callback(done)

    def _run(self, group: list[Batch]) -> None:
        """A round in one thread. Not run_in_executor: the futures it chains cost as much as a message."""
        loop = asyncio.get_running_loop()

        def done(future: Future[list[bool | None]]) -> None:
            loop.call_soon_threadsafe(self._over, group, future)

        self.pool.submit(self._work, group).add_done_callback(done)

    def _over(self, group: list[Batch], future: Future[list[bool | None]]) -> None:
        """Back on the loop. What could not be done in the round has a thread of its own each."""
        self._running -= 1
        broken = future.exception()
        outcomes: list[bool | None] = [False] * len(group) if broken is not None else future.result()
        changed = []
        for (lane, batch), outcome in zip(group, outcomes, strict=True):
            if outcome is None:
                self.start(lane, batch)
                continue
            if outcome:
                changed.append(lane.account)
            lane.done(batch, False, broken)
        if changed:
            self.on_change(*changed)
        if self._ready:
            self._dispatch()
        if self._rounds is not None and self._settling is None and not self._closed and self._rounds.due():
            self._settling = asyncio.get_running_loop().create_task(self._settle_due(self._rounds))

    def _work(self, group: list[Batch]) -> list[bool | None]:
        """In the pool. For each lane whether something changed, or None when it is still to do."""
        if self._rounds is None:
            return [lane.work(batch) for lane, batch in group]
        found: list[bool | None] = [None] * len(group)
        offers: list[tuple[AccountFile, Sequence[Delivery]]] = []
        numbers = []
        for number, (lane, batch) in enumerate(group):
            deliveries = _to_one_mailbox(batch)
            if deliveries is not None and lane.file is not None:  # to open one takes longer than all the rest
                offers.append((lane.file, deliveries))
                numbers.append(number)
        for number, results in zip(numbers, self._rounds.commit(offers), strict=True):
            if results is not None:
                for job, result in zip(group[number][1], results, strict=True):
                    job.result = result
                    if job.cleanup is not None:
                        job.cleanup()
                found[number] = True
        return found

    async def _settle_due(self, rounds: Rounds) -> None:
        """One account after the other, beside the deliveries."""
        try:
            for account in rounds.due():
                await self.lane(account).read(rounds.settle)
        except MailboxFault:
            pass  # the ledger keeps what it holds; the next round tries again
        finally:
            self._settling = None

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
            try:
                if self._rounds is not None and file.owing:
                    self._rounds.settle(file)
            except OSError:
                pass  # the ledger still answers for it
            finally:
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
        if self._settling is not None:
            await self._settling
        while busy := [lane for lane in self._lanes.values() if lane.running or lane.waiting]:
            await asyncio.gather(*(lane.read(lambda _file: None) for lane in busy), return_exceptions=True)
        for lane in list(self._lanes.values()):
            self._close(lane)
        if self._closing:
            await asyncio.gather(*self._closing)
        if self._rounds is not None:
            self._rounds.close()
        self.pool.shutdown()


def _to_one_mailbox(batch: list[Job]) -> list[Delivery] | None:
    """The deliveries, when that is all there is."""
    found: list[Delivery] = []
    for job in batch:
        run = job.run
        if not isinstance(run, Delivery) or (found and run.name != found[0].name):
            return None
        found.append(run)
    return found
