"""Messages as plain files: written with LF line ends, read back in canonical form.

For Maildir++ (a file per message, its draft made in tmp/) and mbox (a draft waits in memory or a
file until it is appended).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from posthouse.mailbox.canonical import Canonicaliser, HeaderEnd, to_lf
from posthouse.mailbox.store import MailboxFault

CHUNK = 65_536
# Read and written at one hop into the pool.
HOP = 262_144


class FileDraft:
    """A finished content in a file (LF), or in memory (canonical) where the writer had no path."""

    def __init__(self, size: int, header_size: int, path: Path | None, data: bytes) -> None:
        self.size = size
        self.header_size = header_size
        self.path = path
        self.data = data

    def keep(self) -> None:
        """The file is in its mailbox now."""
        self.path = None

    def abort(self) -> None:
        """Take the file away, unless it is kept."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


class FileWriter:
    """ContentWriter into a file that is synced when finished."""

    def __init__(self, path: Path, pool: Executor, *, memory: int = 0) -> None:
        """memory: up to so many octets no file is made, and the draft holds them."""
        self._path = path
        self._pool = pool
        self._memory = memory
        self._lines = Canonicaliser()
        self._header = HeaderEnd()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._descriptor = -1
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take bytes."""
        self._take(self._lines.feed(chunk))

    def _take(self, chunk: bytes) -> None:
        if chunk:
            self.size += len(chunk)
            self._header.feed(chunk)
            self._pending.append(chunk)
            self._pending_size += len(chunk)

    async def room(self) -> None:
        """Write behind in the pool once there is enough."""
        if self._pending_size > max(HOP, self._memory):
            await self._flush(sync=False)

    async def _flush(self, *, sync: bool) -> None:
        chunks, self._pending = self._pending, []
        self._pending_size = 0
        await asyncio.get_running_loop().run_in_executor(self._pool, self._write, chunks, sync)

    def _write(self, chunks: list[bytes], sync: bool) -> None:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            data = memoryview(to_lf(b"".join(chunks)))
            while data:
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = -1
        except OSError as error:
            raise MailboxFault(f"{self._path}: {error.strerror}") from error

    async def finish(self) -> FileDraft:
        """All is there."""
        self._take(self._lines.end())
        header_size = self.size if self._header.size is None else self._header.size
        if self._descriptor < 0 and self.size <= self._memory:
            return FileDraft(self.size, header_size, None, b"".join(self._pending))
        await self._flush(sync=True)
        return FileDraft(self.size, header_size, self._path, b"")

    def abort(self) -> None:
        """Forget it."""
        self._pending.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)


def measure(pieces: Iterator[bytes]) -> tuple[int, int]:
    """Canonical size and header size of raw pieces."""
    lines, header, size = Canonicaliser(), HeaderEnd(), 0
    for piece in pieces:
        chunk = lines.feed(piece)
        header.feed(chunk)
        size += len(chunk)
    rest = lines.end()
    header.feed(rest)
    size += len(rest)
    return size, size if header.size is None else header.size


def pieces_of(descriptor: int, start: int, stop: int | None) -> Iterator[bytes]:
    """Raw octets of a file."""
    while stop is None or start < stop:
        data = os.pread(descriptor, HOP if stop is None else min(HOP, stop - start), start)
        if not data:
            return
        yield data
        start += len(data)


class CanonicalFile:
    """StoredContent over raw octets on disk that are made canonical while they are read."""

    def __init__(
        self,
        size: int,
        header_size: int,
        open_raw: Callable[[], tuple[int, Callable[[], bytes]]],
        pool: Executor,
    ) -> None:
        """open_raw, in the pool: a descriptor to close, and what gives the next raw octets (b"" at the end)."""
        self.size = size
        self.header_size = header_size
        self._open_raw = open_raw
        self._pool = pool

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The range in pieces; what comes before it is read and passed over."""
        end = self.size if stop is None else min(stop, self.size)
        start = max(start, 0)
        if start >= end:
            return
        loop = asyncio.get_running_loop()
        descriptor, following = await loop.run_in_executor(self._pool, self._open)
        try:
            lines, at = Canonicaliser(), 0
            while at < end:
                raw = await loop.run_in_executor(self._pool, following)
                chunk = lines.feed(raw) if raw else lines.end()
                if not raw and not chunk:
                    raise MailboxFault("the message on disk is shorter than it was")
                piece = chunk[max(start - at, 0) : end - at]
                for offset in range(0, len(piece), CHUNK):
                    yield piece[offset : offset + CHUNK]
                at += len(chunk)
        finally:
            os.close(descriptor)

    def _open(self) -> tuple[int, Callable[[], bytes]]:
        try:
            return self._open_raw()
        except OSError as error:
            raise MailboxFault(f"the message is gone: {error}") from error

    async def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The range in one piece."""
        return b"".join([chunk async for chunk in self.chunks(start, stop)])
