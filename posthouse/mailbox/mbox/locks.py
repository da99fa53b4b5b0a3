"""Locks on an mbox file, in the order mailbox_delivery_lock gives: fcntl, flock, dotlock.

Every program that delivers into or rewrites a spool file takes some of them; who takes them in
the same order never waits for itself. A dot lock whose owner is dead, or older than stale_lock_time, is broken.

fcntl locks are those of the open file (F_OFD_SETLK): they keep out every other program's fcntl locks,
and, unlike those, are not lost when this process closes another descriptor of the same file.

Standards: mailbox_delivery_lock, deliver_lock_attempts, deliver_lock_delay, stale_lock_time (postconf(5)).
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.host.dot_lock import break_dot_lock, make_dot_lock
from posthouse.mailbox.store import MailboxFault


@dataclass(frozen=True, slots=True)
class LockRules:
    """Postfix's defaults."""

    styles: tuple[str, ...] = ("fcntl", "dotlock")
    attempts: int = 20
    delay: float = 1.0
    stale: float = 500.0


class MboxLock:
    """The file, open and locked."""

    def __init__(self, path: str, descriptor: int, dot_lock: str) -> None:
        self.path = path
        self.descriptor = descriptor
        self._dot_lock = dot_lock

    def release(self) -> None:
        """Let go of all locks (fcntl's and flock's go with the descriptor)."""
        os.close(self.descriptor)
        if self._dot_lock:
            try:
                os.unlink(self._dot_lock)
            except FileNotFoundError:
                return


def lock_mbox(
    path: str, rules: LockRules, *, create: bool = True, wait: Callable[[float], None] = time.sleep
) -> MboxLock | None:
    """Open and lock; None when the file is not there and not to be made. Raises MailboxFault when others keep it.

    A dot lock is made before the file is opened (who replaces a file does so under it), the others after.
    A dot lock that the rights of the folder forbid is done without when another style remains, as Dovecot does.
    """
    dot_lock = ""
    for style in rules.styles:
        if style not in ("fcntl", "flock", "dotlock"):
            raise MailboxFault(f"unknown lock style {style}")
    if "dotlock" in rules.styles:
        dot_lock = _dot_lock(path, rules, wait)
    descriptor = -1
    try:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if not create:
                return None
            raise
        for style in rules.styles:
            if style == "fcntl":
                _wait_for(lambda: _lock_open_file(descriptor, fcntl.F_WRLCK), path, rules, wait)
            elif style == "flock":
                _wait_for(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB), path, rules, wait)
        lock = MboxLock(path, descriptor, dot_lock)
        descriptor, dot_lock = -1, ""
        return lock
    except OSError as error:
        raise MailboxFault(f"{path}: {error.strerror}") from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        if dot_lock:
            os.unlink(dot_lock)


def lock_to_read(path: str, rules: LockRules, *, wait: Callable[[float], None] = time.sleep) -> int:
    """Open for reading while nobody rewrites: a descriptor whose locks go when it is closed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if "fcntl" in rules.styles:
            _wait_for(lambda: _lock_open_file(descriptor, fcntl.F_RDLCK), path, rules, wait)
        elif "flock" in rules.styles:
            _wait_for(lambda: fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB), path, rules, wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock_open_file(descriptor: int, kind: int) -> None:
    """The whole file, or EAGAIN. struct flock: type, whence, start, length, pid (0 for these locks)."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("@hhqqi", kind, os.SEEK_SET, 0, 0, 0))


def _wait_for(take: Callable[[], object], path: str, rules: LockRules, wait: Callable[[float], None]) -> None:
    for attempt in range(rules.attempts):
        try:
            take()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if attempt + 1 < rules.attempts:
                wait(rules.delay)
        else:
            return
    raise MailboxFault(f"unable to lock for exclusive access: {path}")


def _dot_lock(path: str, rules: LockRules, wait: Callable[[float], None]) -> str:
    name = path + ".lock"
    for attempt in range(rules.attempts):
        try:
            if make_dot_lock(name):
                return name
            if not break_dot_lock(name, rules.stale) and attempt + 1 < rules.attempts:
                wait(rules.delay)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EROFS) and len(rules.styles) > 1:
                return ""
            raise MailboxFault(f"unable to create lock file {name}: {error.strerror}") from error
    raise MailboxFault(f"unable to create lock file {name}: File exists")
