"""Contents of the native store: small ones in rows, large ones as files that never change.

A file is written under its final random name, synced, its folder too, and only then does a row
name it. A file that no row names is what a crash left; verify removes it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

from posthouse.mailbox.canonical import Canonicaliser, HeaderEnd, header_end
from posthouse.mailbox.native.layout import make_folder, sync_folder
from posthouse.mailbox.store import MailboxFault

# A content up to here lies in its row (measured for the queue: a row beats a synced file until about this size).
ROW_LIMIT = 65_536
# The header of a large content lies in the row too, unless it is itself large.
HEADER_ROW_LIMIT = 262_144
# Octets that wait in memory for the disk before the caller stops reading.
WRITE_BEHIND = 262_144
CHUNK = 65_536
# A file younger than this may belong to an append that is not committed yet.
ORPHAN_SECONDS = 86_400


class NativeDraft:
    """A finished content: whole in memory, or a synced file and its header."""

    def __init__(self, size: int, header_size: int, data: bytes | None, path: Path | None) -> None:
        self.size = size
        self.header_size = header_size
        self.data = data
        """The whole, or for a file its header (None when that is large)."""
        self.path = path

    def keep(self) -> None:
        """A row names the file now."""
        self.path = None

    def abort(self) -> None:
        """Take the file away, unless it is kept."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def draft_of(data: bytes) -> NativeDraft:
    """A small canonical message."""
    return NativeDraft(len(data), header_end(data), data, None)


class NativeWriter:
    """ContentWriter: memory up to ROW_LIMIT, then a file."""

    def __init__(self, folder: Path, pool: Executor) -> None:
        self._folder = folder
        self._pool = pool
        self._lines = Canonicaliser()
        self._header = HeaderEnd()
        self._head = bytearray()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._size = 0
        self._path: Path | None = None
        self._descriptor = -1

    @property
    def size(self) -> int:
        """Octets so far."""
        return self._size

    def write(self, chunk: bytes) -> None:
        """Take bytes."""
        self._take(self._lines.feed(chunk))

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            return
        self._size += len(chunk)
        if self._header.size is None:
            if len(self._head) <= HEADER_ROW_LIMIT:
                self._head += chunk
            self._header.feed(chunk)
        self._pending.append(chunk)
        self._pending_size += len(chunk)

    async def room(self) -> None:
        """Write behind in the pool once there is enough."""
        if self._pending_size > WRITE_BEHIND:
            await self._flush()

    async def _flush(self) -> None:
        chunks, self._pending = self._pending, []
        self._pending_size = 0
        await asyncio.get_running_loop().run_in_executor(self._pool, self._write, chunks)

    def _write(self, chunks: list[bytes]) -> None:
        try:
            if self._descriptor < 0:
                make_folder(self._folder)
                self._path = self._folder / secrets.token_hex(16)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            data = memoryview(b"".join(chunks))
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise MailboxFault(f"{self._path}: {error.strerror}") from error

    def _sync(self, chunks: list[bytes]) -> None:
        self._write(chunks)
        try:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            sync_folder(self._folder)
        except OSError as error:
            raise MailboxFault(f"{self._path}: {error.strerror}") from error

    async def finish(self) -> NativeDraft:
        """All is there."""
        self._take(self._lines.end())
        header_size = self._size if self._header.size is None else self._header.size
        if self._path is None and self._size <= ROW_LIMIT:
            return NativeDraft(self._size, header_size, b"".join(self._pending), None)
        chunks, self._pending = self._pending, []
        await asyncio.get_running_loop().run_in_executor(self._pool, self._sync, chunks)
        header = bytes(self._head[:header_size]) if header_size <= HEADER_ROW_LIMIT else None
        return NativeDraft(self._size, header_size, header, self._path)

    def abort(self) -> None:
        """Forget it."""
        self._pending.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class RowContent:
    """A content that lies in a row; fetched now or when first read."""

    def __init__(self, size: int, header_size: int, data: bytes) -> None:
        self.size = size
        self.header_size = header_size
        self._data = data

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The range in pieces."""
        end = self.size if stop is None else min(stop, self.size)
        for at in range(max(start, 0), end, CHUNK):
            yield self._data[at : min(at + CHUNK, end)]

    async def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The range."""
        return self._data[max(start, 0) : stop]


class FileContent:
    """A content file, opened at each read: an expunge by another session makes a fault, never wrong octets."""

    def __init__(self, size: int, header_size: int, path: Path, header: bytes | None, pool: Executor) -> None:
        self.size = size
        self.header_size = header_size
        self._path = path
        self._header = header
        self._pool = pool

    def _open(self) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise MailboxFault(f"content is gone: {error}") from error
        size = os.fstat(descriptor).st_size
        if size != self.size:  # told before a literal of that size is announced
            os.close(descriptor)
            raise MailboxFault(f"{self._path} has {size} octets, {self.size} in its row")
        return descriptor

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The range in pieces, four to a hop into the pool."""
        end = self.size if stop is None else min(stop, self.size)
        at = max(start, 0)
        if at >= end:
            return
        loop = asyncio.get_running_loop()
        descriptor = await loop.run_in_executor(self._pool, self._open)
        try:
            while at < end:
                data = await loop.run_in_executor(self._pool, os.pread, descriptor, min(4 * CHUNK, end - at), at)
                if not data:
                    raise MailboxFault(f"{self._path} is shorter than its row says")
                for offset in range(0, len(data), CHUNK):
                    yield data[offset : offset + CHUNK]
                at += len(data)
        finally:
            os.close(descriptor)

    async def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The range in one piece."""
        end = self.size if stop is None else min(stop, self.size)
        if self._header is not None and end <= len(self._header):
            return self._header[max(start, 0) : end]
        return b"".join([chunk async for chunk in self.chunks(start, end)])


class LateContent:
    """A row's content that is not read ahead: one read brings it all (at most ROW_LIMIT octets)."""

    def __init__(self, size: int, header_size: int, fetch: Callable[[], Awaitable[bytes]]) -> None:
        self.size = size
        self.header_size = header_size
        self._fetch = fetch

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The range in pieces."""
        data = await self.read(start, stop)
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]

    async def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The range."""
        return (await self._fetch())[max(start, 0) : stop]
