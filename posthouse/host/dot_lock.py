"""Dot locks: "path.lock", which whoever delivers into or rewrites a mailbox file makes first.

Who holds one writes "pid:hostname" into it, as Dovecot does and reads. So the lock of a process that was
killed (nothing else lets go of a file) is known at once; one that says nothing, or names another
machine, is a dead program's when it is older than stale_lock_time.

Standards: mailbox_delivery_lock, stale_lock_time (postconf(5)); dotlock (lockfile_create(3)).
"""

import errno
import os
import re
import time

OWNER_LIMIT = 512
"""Octets of a lock that are looked at."""

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_OWNER = re.compile(rb"([1-9][0-9]{0,9}):([!-~]+)\s*\Z")


def make_dot_lock(name: str) -> bool:
    """Make it, ours. False: there is one. Raises OSError."""
    try:
        descriptor = os.open(os.path.dirname(name) or ".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
        return _make_in_place(name)
    try:
        # It gets its name when its owner stands in it: a process killed in between leaves nothing.
        os.write(descriptor, _owner())
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)  # with src_dir_fd, links are followed
    except FileExistsError:
        return False
    except FileNotFoundError:  # no /proc
        return _make_in_place(name)
    finally:
        os.close(descriptor)
    return True


def _make_in_place(name: str) -> bool:
    """Where the file system has no files without a name."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, _owner())
    except OSError:
        pass  # a full disk: the lock holds all the same
    finally:
        os.close(descriptor)
    return True


def _owner() -> bytes:
    return f"{os.getpid()}:{os.uname().nodename}".encode("ascii", "replace")


def break_dot_lock(name: str, stale: float) -> bool:
    """Remove a lock that nobody holds any more. True: try to make it anew, at once."""
    try:
        judged = os.lstat(name)
        if time.time() - judged.st_ctime <= stale and not _owner_is_dead(name):
            return False
        # Somebody else may have judged the same, broken it and made his own meanwhile: that one is put back.
        aside = f"{name}.{os.getpid()}"
        os.rename(name, aside)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        found = os.lstat(aside)
        if (found.st_ino, found.st_mtime_ns) != (judged.st_ino, judged.st_mtime_ns):
            os.link(aside, name)
    except OSError:
        pass
    finally:
        os.unlink(aside)
    return True


def _owner_is_dead(name: str) -> bool:
    """Whether a process of this machine that is no more wrote itself into it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False  # somebody else's, whom we may not read: its age alone tells
    try:
        owner = _OWNER.match(os.read(descriptor, OWNER_LIMIT))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if owner is None or owner[2] != os.uname().nodename.encode("ascii", "replace"):
        return False
    try:
        os.kill(int(owner[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
