"""Hands fates to the store, as many at once as have gathered, and tells when they are committed."""

import asyncio
from collections.abc import Callable, Iterable

from posthouse.queue.store import Fate, QueueStore
from posthouse.schedule.active import ActiveMessage


class Recorder:
    """One task for all messages: nobody else waits for a commit."""

    def __init__(self, store: QueueStore, recorded: Callable[[Fate, ActiveMessage], None]) -> None:
        self._store = store
        self._recorded = recorded
        self._waiting: list[tuple[Fate, ActiveMessage | None]] = []
        self._wake = asyncio.Event()
        self._progress: list[asyncio.Future[None]] = []
        self._recording = False
        self._added = self._recorded_so_far = 0

    @property
    def busy(self) -> bool:
        """Whether fates wait for their commit."""
        return bool(self._waiting) or self._recording

    def add(self, fate: Fate, concluded: ActiveMessage | None = None) -> None:
        """Record a fate; with `concluded` its message has left the active set once it is committed."""
        self._waiting.append((fate, concluded))
        self._added += 1
        self._wake.set()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._record()

    async def _record(self) -> None:
        batch, self._waiting = self._waiting, []
        self._recording = True
        try:
            await self._store.record([fate for fate, _ in batch])
        finally:
            self._recording = False
        for fate, active in batch:
            if active is not None:
                self._recorded(fate, active)
        self._recorded_so_far += len(batch)
        progress, self._progress = self._progress, []
        for future in progress:
            if not future.done():
                future.set_result(None)

    async def progress(self) -> None:
        """Wait until something more was recorded."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress.append(future)
        await future

    async def commit(self, fates: Iterable[Fate] = ()) -> None:
        """Record these behind all that was added before, and wait until they are committed."""
        for fate in fates:
            self.add(fate)
        last = self._added
        while self._recorded_so_far < last:
            await self.progress()

    async def flush(self) -> None:
        """Wait until all that is known is committed."""
        while self.busy:
            await self.progress()
