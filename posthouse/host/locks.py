"""Exclusive locks on files, held for life.

flock(2): the kernel frees it when the last descriptor goes, kill -9 included; a descriptor
is not inherited across exec, and a forked child that keeps it open keeps the lock.
"""

import errno
import fcntl
import os


class FileLock:
    """One exclusive flock. Made by take_lock()."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it up. Twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_lock(path: str, *, wait: bool = False, mode: int = 0o600) -> FileLock | None:
    """Lock a file, made when missing. None when another process has it (wait=False).

    The file may be unlinked by its last owner between open and lock: then the lock is worth
    nothing, and the file is opened anew. FileNotFoundError means that its folder is gone.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(descriptor)
            try:
                named = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                os.close(descriptor)
                continue
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
            return FileLock(path, descriptor)
        os.close(descriptor)
