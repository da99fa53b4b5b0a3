"""The journal on disk: each process writes segments of its own, without syncs and without locks.

record() packs and gathers; the bytes leave in one write when enough have gathered or flush()
is called (the owner does, every second). A segment is closed at its size or age; its index is
written in a thread, and segments past posthouse_journal_time and posthouse_journal_size are
unlinked then. Segments of processes that are gone are indexed by whoever sees them first.

When the disk takes nothing more, what waits is kept up to a bound: evidence is dropped first,
then whole entries, and an entry tells how many were lost.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.host.durable import write_all
from posthouse.journal.index import build_index, index_path
from posthouse.journal.journal import Entry
from posthouse.journal.record import SEGMENT_MAGIC, pack_entry

FLUSH_SIZE = 64 << 10
"""Bytes gathered before a write: one system call for some 300 entries."""

SEGMENT_SIZE = 16 << 20
"""Bytes in a segment: its index is made in a fraction of a second, and retention works in such steps."""

SEGMENT_TIME = 3600.0
"""Seconds until a segment is closed all the same, so that retention by age is exact to the hour."""

DROP_EVIDENCE_AT = 4 << 20
DROP_ENTRIES_AT = 8 << 20
"""Bytes that may wait while nothing can be written: first without evidence, then not at all."""

ORPHAN_AGE = 2 * SEGMENT_TIME
"""A segment not written to for so long was left by a process that is gone."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """What the journal reads from main.cf."""

    posthouse_journal_size: int = 1 << 30
    posthouse_journal_time: int = 30 * 86_400


class SegmentJournal:
    """A Journal (journal/journal.py) in a folder: data_directory/journal."""

    def __init__(self, folder: str, settings: JournalSettings, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._descriptor = -1
        self._path = ""
        self._opened = 0.0
        self._size = 0
        self._gathered: list[bytes] = []
        self._bytes = 0
        self._lost = 0
        self._sequence = 0
        self._tending: asyncio.Task[None] | None = None

    def record(self, entry: Entry) -> None:
        """Keep one entry."""
        if self._bytes >= DROP_EVIDENCE_AT:
            if self._bytes >= DROP_ENTRIES_AT:
                self._lost += 1
                return
            data = pack_entry(entry, evidence=False)
        else:
            data = pack_entry(entry)
        self._gathered.append(data)
        self._bytes += len(data)
        if FLUSH_SIZE <= self._bytes < DROP_EVIDENCE_AT:
            self.flush()

    def flush(self) -> None:
        """Hand what has gathered to the kernel. Never fails: what cannot be written waits."""
        if not self._gathered:
            return
        now = self._clock()
        try:
            if self._descriptor < 0 or self._size >= SEGMENT_SIZE or now - self._opened >= SEGMENT_TIME:
                self._open(now)
            if self._lost:
                self._gathered.append(pack_entry(Entry(now, "lost", verdict=f"{self._lost} entries")))
            data = b"".join(self._gathered)
            try:
                write_all(self._descriptor, data)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
                raise
        except OSError:
            return
        self._size += len(data)
        self._gathered.clear()
        self._bytes = self._lost = 0

    def _open(self, now: float) -> None:
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._sequence += 1
        path = os.path.join(self._folder, f"{int(now):010d}-{os.getpid()}-{self._sequence}.segment")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(descriptor, SEGMENT_MAGIC)
        except OSError:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._path, self._opened, self._size = descriptor, path, now, len(SEGMENT_MAGIC)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.tend()
            return
        if self._tending is None or self._tending.done():
            self._tending = loop.create_task(asyncio.to_thread(self.tend))

    def tend(self) -> None:
        """Index closed segments and unlink what is past its time. Blocks the caller."""
        now = self._clock()
        own = f"-{os.getpid()}-"
        segments = []
        for name in segment_names(self._folder):
            path = os.path.join(self._folder, name)
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            if now - status.st_mtime > self._settings.posthouse_journal_time > 0:
                _unlink(path)
                continue
            segments.append((path, status.st_size))
            closed = path != self._path if own in name else now - status.st_mtime > ORPHAN_AGE
            if closed and not os.path.exists(index_path(path)):
                try:
                    build_index(path)
                except OSError:
                    continue  # without an index the segment is read whole
        total = sum(size for _, size in segments)
        for path, size in segments:
            if self._settings.posthouse_journal_size <= 0 or total <= self._settings.posthouse_journal_size:
                break
            if path != self._path:
                _unlink(path)
                total -= size

    async def close(self) -> None:
        """Write what waits and index the last segment."""
        self.flush()
        if self._tending is not None:
            await self._tending
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path = ""
            await asyncio.to_thread(self.tend)


def _unlink(segment: str) -> None:
    for path in (segment, index_path(segment)):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def segment_names(folder: str) -> list[str]:
    """The segments of a journal, oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".segment"))
    except FileNotFoundError:
        return []
