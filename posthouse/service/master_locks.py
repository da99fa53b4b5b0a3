"""The locks that keep two masters apart, taken as Postfix's master takes them: flock, exclusive, for life.

queue_directory/pid/master.pid, with the process id in it, and data_directory/master.lock, which is
mail_owner's: either program must be able to open what the other one left.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from posthouse.config.error import ConfigError
from posthouse.host.users import Identity

PID_WIDTH = 32
"""Columns of the process id: four for each byte of a long."""


class AlreadyRunning(Exception):
    """Another master holds a lock. The text is Postfix's."""


def lock_file(path: str, shown: str) -> int:
    """Open and lock a file for life, and write our process id into it. Raises AlreadyRunning, ConfigError, OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:  # most often a folder that mail_owner cannot reach
        raise ConfigError(f"open lock file {shown}: cannot open file: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRunning(
            f"open lock file {shown}: unable to set exclusive lock: {os.strerror(error.errno or 0)}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid():>{PID_WIDTH}}\n".encode())
    return descriptor


def take_master_locks(queue_directory: str, data_directory: str, identity: Identity) -> list[int]:
    """Both, that of the spool first. Raises AlreadyRunning, ConfigError, OSError."""
    pid = lock_file(os.path.join(queue_directory, "pid", "master.pid"), "pid/master.pid")
    path = os.path.join(data_directory, "master.lock")
    try:
        _give(path, identity)
        with _rights_in(data_directory, identity):
            return [pid, lock_file(path, path)]
    except (AlreadyRunning, ConfigError, OSError):
        os.close(pid)
        raise


def _give(path: str, identity: Identity) -> None:
    """A lock file that root made (we did, once) becomes mail_owner's, as Postfix wants it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = os.fstat(descriptor)
        if os.geteuid() == 0 and found.st_uid == 0 and found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
            os.fchown(descriptor, identity.uid, identity.gid)
    finally:
        os.close(descriptor)


@contextmanager
def _rights_in(folder: str, identity: Identity) -> Iterator[None]:
    """In a folder of mail_owner's root does nothing that mail_owner may not do."""
    if os.geteuid() != 0 or os.stat(folder).st_uid != identity.uid:
        yield
        return
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
