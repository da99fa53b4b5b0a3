"""A shard: one folder of the queue, owned by one process at a time.

    queue.db    the rows (queue/database.py)
    content/    bodies above 64 KiB, one file each, named by queue id
    lock        exclusive flock of the owner, for life
    reserve     1 MiB given up when the disk is full, so that fates can still be recorded and the WAL be folded
                into the file; where room is scarce the WAL is kept smaller than that

A folder without a lock holder belongs to whoever locks it next. The owner deletes it when it
takes no new mail any more and is drained; that is also how files shrink.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from posthouse.host.durable import make_folder, sync_folder, write_all
from posthouse.host.locks import FileLock, take_lock
from posthouse.queue.database import ShardDatabase
from posthouse.queue.queue_id import BLOCK
from posthouse.queue.writer import Writer

RESERVE_SIZE = 1 << 20
"""Room for the WAL frames of some hundred fates; removals then free more."""

SCARCE = 256 << 20
"""Free bytes below which the WAL stays small: more than is written between two looks, a second apart."""

T = TypeVar("T")


class Shard:
    """One locked shard. Made by create_shard() and adopt_shard()."""

    def __init__(self, folder: str, lock: FileLock, *, minfree: int = 0, vfs: str | None = None) -> None:
        self.folder = folder
        self.name = os.path.basename(folder)
        self.lock = lock
        self.content_folder = os.path.join(folder, "content")
        self._database_path = os.path.join(folder, "queue.db")
        self._reserve_path = os.path.join(folder, "reserve")
        self._minfree = minfree
        self._vfs = vfs
        self._reader: ShardDatabase | None = None
        self._reading = threading.Lock()
        self.files: set[str] = set()
        """Queue ids whose body is a content file."""
        self.blocks: set[int] = set()
        """Blocks of numbers that its messages may have."""
        self.unsound = ""
        """Why this shard takes no new mail, or ""."""
        self.writer: Writer | None = None

    def open(self) -> ShardDatabase:
        """A connection for the writer."""
        return ShardDatabase(self._database_path, writer=True, vfs=self._vfs)

    def prepare(self) -> None:
        """Look around before serving: orphaned content files go, blocks are found. Blocks the caller."""
        make_folder(self.content_folder)
        database = self.open()
        try:
            for name in os.listdir(self.content_folder):
                if database.has_file(name):
                    self.files.add(name)
                else:
                    os.unlink(os.path.join(self.content_folder, name))
            number = -1
            while (number := database.first_from(number + 1)) >= 0:
                self.blocks.add(number // BLOCK)
                number = (number // BLOCK + 1) * BLOCK - 1
        finally:
            database.close()
        self.restore_reserve()

    def restore_reserve(self) -> None:
        """Set room aside again. Nothing happens when there is none."""
        try:
            descriptor = os.open(self._reserve_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            write_all(descriptor, b"\0" * RESERVE_SIZE)
        except OSError:
            os.unlink(self._reserve_path)
        finally:
            os.close(descriptor)

    def give_up_reserve(self) -> bool:
        """Free the reserve. False when it is gone already."""
        try:
            os.unlink(self._reserve_path)
        except OSError:
            return False
        return True

    def room(self) -> bool:
        """Whether queue_minfree bytes are free."""
        if not self._minfree:
            return True
        try:
            space = os.statvfs(self.folder)
        except OSError:
            return True
        return space.f_bavail * space.f_frsize >= self._minfree

    def scarce(self) -> bool:
        """Whether there is little room left."""
        try:
            space = os.statvfs(self.folder)
        except OSError:
            return False
        return space.f_bavail * space.f_frsize < SCARCE

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_fault: Callable[["Shard", str], None],
        on_trouble: Callable[["Shard", str], None],
        on_recovery: Callable[["Shard"], None],
        on_end: Callable[["Shard", BaseException], None],
    ) -> None:
        """Start the writer."""
        self.writer = Writer(
            self.open,
            loop,
            name=f"queue-{self.name}",
            room=self.room,
            scarce=self.scarce,
            give_up_reserve=self.give_up_reserve,
            on_fault=lambda text: on_fault(self, text),
            on_trouble=lambda text: on_trouble(self, text),
            on_recovery=lambda: on_recovery(self),
            on_end=lambda error: on_end(self, error),
        )

    def content_path(self, queue_id: str) -> str:
        """Where a large body is."""
        return os.path.join(self.content_folder, queue_id)

    def read_now(self, read: Callable[[ShardDatabase], T]) -> T:
        """Run a short read on the reader's connection. Blocks the caller."""
        with self._reading:
            if self._reader is None:
                self._reader = ShardDatabase(self._database_path, writer=False, vfs=self._vfs)
            return read(self._reader)

    async def read(self, read: Callable[[ShardDatabase], T]) -> T:
        """Run a short read in a thread."""
        return await asyncio.to_thread(self.read_now, read)

    async def close(self, *, delete: bool = False) -> None:
        """Commit what waits, give up the lock; with delete=True remove the drained folder first."""
        await asyncio.to_thread(self._close_reader)
        if self.writer is not None:
            await self.writer.close()
            self.writer = None
        if delete:
            await asyncio.to_thread(self.remove)
        self.lock.release()

    def _close_reader(self) -> None:
        with self._reading:  # a read may still run in its thread
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def remove(self) -> None:
        """Delete the folder. The lock file goes last, so that nobody adopts half of it."""
        for path in [os.path.join(self.content_folder, name) for name in os.listdir(self.content_folder)]:
            os.unlink(path)
        os.rmdir(self.content_folder)
        for name in sorted(os.listdir(self.folder), key=lambda name: name == "lock"):
            os.unlink(os.path.join(self.folder, name))
        try:
            os.rmdir(self.folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return  # another worker has just made a lock in it: the empty shard is its own now
        sync_folder(os.path.dirname(self.folder))


def create_shard(root: str, *, minfree: int = 0, vfs: str | None = None) -> Shard:
    """A new shard of our own, durable by name."""
    make_folder(root)
    number = max((int(name, 16) for name in shard_names(root)), default=0)
    while True:
        number += 1
        folder = os.path.join(root, f"{number:08x}")
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            continue
        try:
            lock = take_lock(os.path.join(folder, "lock"))
        except FileNotFoundError:
            continue
        if lock is None:
            continue  # another worker adopted it before we could lock it: let it have it
        sync_folder(root)
        return Shard(folder, lock, minfree=minfree, vfs=vfs)


def adopt_shard(root: str, name: str, *, minfree: int = 0, vfs: str | None = None) -> Shard | None:
    """Lock an existing shard; None when it is somebody's, or gone."""
    folder = os.path.join(root, name)
    if not os.path.isdir(folder):
        return None
    try:
        lock = take_lock(os.path.join(folder, "lock"))
    except FileNotFoundError:
        return None
    return None if lock is None else Shard(folder, lock, minfree=minfree, vfs=vfs)


def shard_names(root: str) -> list[str]:
    """The folders that are shards, in the order they were made."""
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if len(name) == 8 and not set(name) - set("0123456789abcdef"))
