"""Bodies: in the row up to 64 KiB, in a file of their own above.

A body arrives in chunks and stays in memory until it outgrows its row; then it streams to
content/<queue_id>. finish() returns when file and folder are synced, so that the row, which
is committed after it, never names a body that is not there.

Bytes that wait in memory are counted over all sessions. Past UNCOMMITTED_LIMIT room() first
moves the caller's own bytes to its file, so that many half-received messages cannot hold
each other up, then waits until enough bytes reached their files.
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from posthouse.envelope.content import Body, MemoryBody
from posthouse.host.durable import sync_folder, write_all
from posthouse.queue.store import QueueFault, QueueFull

ROW_BODY_LIMIT = 64 << 10
"""The largest body kept in its row. Above, a file costs less than copying the row into the WAL and back."""

CHUNK = 64 << 10
"""Bytes read from a content file at a time (Body.chunks)."""

UNCOMMITTED_LIMIT = 32 << 20
"""Bytes that may wait in memory for a commit, over all sessions: what one burst of large messages may take."""


def failure_of(error: OSError) -> QueueFull | QueueFault:
    """Full disk and quota are the client's to wait for; anything else is a fault."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return QueueFull(str(error))
    return QueueFault(str(error))


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body in a content file."""

    path: str
    size: int

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces of 64 KiB. A file that went away raises FileNotFoundError."""
        descriptor = await asyncio.to_thread(os.open, self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            at = 0
            while chunk := await asyncio.to_thread(os.pread, descriptor, CHUNK, at):
                at += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def read(self) -> bytes:
        """The whole body."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()


class Uncommitted:
    """How many bytes wait in memory, and who waits for them to become fewer."""

    __slots__ = ("_waiting", "bytes", "limit")

    def __init__(self, limit: int = UNCOMMITTED_LIMIT) -> None:
        self.limit = limit
        self.bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def add(self, count: int) -> None:
        """More bytes, or fewer when negative."""
        self.bytes += count
        if count < 0 and self._waiting and self.bytes < self.limit:
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)
            self._waiting.clear()

    async def below(self) -> None:
        """Wait until the count is below its limit."""
        while self.bytes >= self.limit:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class SpillingWriter:
    """A ContentWriter (queue/store.py): memory first, then a file."""

    __slots__ = ("_chunks", "_descriptor", "_failure", "_path", "_task", "_uncommitted", "_waiting", "size")

    def __init__(self, path: str, uncommitted: Uncommitted) -> None:
        self._path = path
        self._uncommitted = uncommitted
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._descriptor = -1
        self._task: asyncio.Task[None] | None = None
        self._failure: QueueFull | QueueFault | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append. Raises QueueFault or QueueFull; after that only abort() is allowed."""
        if self._failure is not None:
            raise self._failure
        self._chunks.append(chunk)
        self.size += len(chunk)
        self._waiting += len(chunk)
        self._uncommitted.add(len(chunk))
        if self.size > ROW_BODY_LIMIT and self._waiting >= CHUNK:
            self._spill()

    def _spill(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_out())

    async def _write_out(self) -> None:
        while self._chunks and self._failure is None:
            data, count = b"".join(self._chunks), self._waiting
            self._chunks, self._waiting = [], 0
            try:
                await asyncio.to_thread(self._append, data)
            except OSError as error:
                self._failure = failure_of(error)
            finally:
                self._uncommitted.add(-count)

    def _append(self, data: bytes) -> None:
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        write_all(self._descriptor, data)

    async def room(self) -> None:
        """Wait until uncommitted bytes are below their bound."""
        if self._uncommitted.bytes < self._uncommitted.limit:
            return
        if self._chunks:
            self._spill()
            assert self._task is not None
            await asyncio.shield(self._task)
        await self._uncommitted.below()

    async def finish(self) -> Body:
        """The body, complete and (when it is a file) synced with its folder."""
        if self._descriptor < 0 and self._task is None and self.size <= ROW_BODY_LIMIT:
            data = b"".join(self._chunks)
            self._uncommitted.add(-self._waiting)
            self._chunks, self._waiting = [], 0
            return MemoryBody(data)
        self._spill()
        assert self._task is not None
        await self._task
        if self._chunks and self._failure is None:  # written between the task's last look and its end
            self._spill()
            await self._task
        if self._failure is not None:
            raise self._failure
        try:
            await asyncio.to_thread(self._sync)
        except OSError as error:
            self._failure = failure_of(error)
            raise self._failure from error
        return FileBody(self._path, self.size)

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        sync_folder(os.path.dirname(self._path))

    def abort(self) -> None:
        """Forget it."""
        self._uncommitted.add(-self._waiting)
        self._chunks, self._waiting = [], 0
        if self._failure is None:
            self._failure = QueueFault("aborted")
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(lambda _: self._discard())
        else:
            self._discard()

    def _discard(self) -> None:
        made = self._task is not None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if made:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # an orphan: removed when the shard is opened next
