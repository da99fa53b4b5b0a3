"""Putting one message into an mbox or a Maildir, durable when it returns.

Runs with the rights of whoever owns the mailbox, in a thread: these calls block. An mbox is
locked as mailbox_delivery_lock says, and cut back to what it was when the write fails.

fcntl locks are those of the open file (F_OFD_SETLK): they keep out other programs' fcntl locks and,
unlike those, the other deliveries of this process.

Standards: RFC 4155 (mbox); the Maildir page of qmail (tmp, new, cur and unique names).
"""

import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from posthouse.host.dot_lock import break_dot_lock, make_dot_lock
from posthouse.host.durable import make_folder, sync_folder
from posthouse.mda.copy import from_line, unix_lines

LOCK_PATIENCE = 20.0
"""Seconds to wait for a lock before the delivery is deferred."""

STALE_LOCK = 500.0
"""Seconds after which a dot lock that nobody touched counts as left behind (stale_lock_time)."""

PIECE = 65536


class DepositFailed(Exception):
    """Why not: an RFC 3463 status and the reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


def _nobody(text: str) -> None:
    """Warnings that nobody reads."""


class DotLock(Enum):
    """What it means that a dot lock cannot be made."""

    NEEDED = "no delivery"
    WANTED = "a folder that its users cannot write is done without one"
    TRIED = "a warning"


@dataclass(frozen=True, slots=True)
class Telling:
    """How failures are told, in the words of whose delivery it is."""

    prefix: str = ""
    status: str = "4.2.0"
    """Of failures that time is not known to mend: local(8) gives up, virtual(8) goes on."""
    dot_lock: DotLock = DotLock.WANTED
    warn: Callable[[str], None] = _nobody

    def failed(self, text: str, error: OSError) -> DepositFailed:
        """What the system said while something was tried."""
        status = _STATUS.get(error.errno or 0, self.status)
        return DepositFailed(status, f"{self.prefix}{text}: {error.strerror}")

    def refused(self, text: str, status: str = "") -> DepositFailed:
        """What we ourselves do not do."""
        return DepositFailed(status or self.status, f"{self.prefix}{text}")


_STATUS = {
    errno.EAGAIN: "4.2.0",
    errno.ESTALE: "4.2.0",
    errno.ENOSPC: "4.3.0",
    errno.EDQUOT: "4.2.2",
    errno.EFBIG: "5.2.2",
}


@dataclass(frozen=True, slots=True)
class Locking:
    """How an mbox is locked."""

    kinds: tuple[str, ...] = ("fcntl", "dotlock")
    attempts: int = 20
    delay: float = 1.0
    stale: float = STALE_LOCK


def pieces(descriptor: int, start: int = 0) -> Iterator[bytes]:
    """The bytes of an open file from `start`, whoever else reads it."""
    position = start
    while chunk := os.pread(descriptor, PIECE, position):
        position += len(chunk)
        yield chunk


def quoted_lines(chunks: Iterator[bytes], quote: bytes = b"From ", lead: bytes = b">") -> Iterator[bytes]:
    """Lines that start with `quote` get `lead` in front, whatever the cut. Lines end in LF."""
    held = b"\n"  # The line end that the first line does not have: taken off again below.
    first = True
    for chunk in chunks:
        data = held + chunk
        # A line end this close to the cut: what follows it is not all there yet.
        at = data.find(b"\n", max(0, len(data) - len(quote)))
        ready, held = (data[:at], data[at:]) if at >= 0 else (data, b"")
        out = ready.replace(b"\n" + quote, b"\n" + lead + quote)
        if first and out:
            out, first = out[1:], False
        yield out
    if held:
        yield held[1:] if first else held


def whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, with a line end after the last line if it lacks one."""
    last = b"\n"
    for chunk in chunks:
        if chunk:
            last = chunk[-1:]
        yield chunk
    if last != b"\n":
        yield b"\n"


@contextmanager
def _dot_lock(path: str, locking: Locking, telling: Telling) -> Iterator[None]:
    """Hold path.lock, or go without where that may be."""
    name = f"{path}.lock"
    failed = f"unable to create lock file {name}"
    for attempt in range(locking.attempts):
        try:
            if not make_dot_lock(name):
                if break_dot_lock(name, locking.stale):
                    continue
                if attempt + 1 == locking.attempts:
                    raise telling.refused(f"{failed}: File exists", "4.2.0") from None
                time.sleep(locking.delay)
                continue
        except OSError as error:
            if telling.dot_lock is DotLock.TRIED:
                telling.warn(f"{failed}: {error.strerror}")
            elif telling.dot_lock is DotLock.NEEDED or not isinstance(error, PermissionError):
                raise telling.failed(failed, error) from error
            yield
            return
        try:
            yield
        finally:
            try:
                os.unlink(name)
            except OSError:
                pass
        return
    raise telling.refused(failed, "4.2.0")


def _lock_open_file(descriptor: int) -> None:
    """The whole file for ourselves, or EAGAIN. struct flock: type, whence, start, length, pid (0 for these locks)."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("@hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))


def _flock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(descriptor: int, path: str, locking: Locking, telling: Telling) -> None:
    for kind in locking.kinds:
        take = {"fcntl": _lock_open_file, "flock": _flock}.get(kind)
        if take is None:
            continue
        for attempt in range(locking.attempts):
            try:
                take(descriptor)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or attempt + 1 == locking.attempts:
                    raise telling.refused(f"unable to lock for exclusive access: mailbox {path}", "4.2.0") from error
                time.sleep(locking.delay)


def to_mbox(
    path: str,
    message: Callable[[], Iterator[bytes]],
    sender: str,
    *,
    now: float,
    locking: Locking,
    size_limit: int = 0,
    mode: int = 0o600,
    owner: int | None = None,
    executable: bool = True,
    unopened: bool = True,
    telling: Telling = Telling(),
) -> None:
    """Append one message. `message()` gives its lines, ending in LF, with the fields put above it.

    Raises DepositFailed. `owner`: the uid that the file must have (strict_mailbox_ownership), or None. `executable`:
    whether the file may be a program. `unopened`: whether a wrong owner is told of when the file cannot be opened, too.
    """
    known: os.stat_result | None = None
    with suppress(OSError):
        known = os.lstat(path)
    regular = known is None or stat.S_ISREG(known.st_mode)
    with _dot_lock(path, locking, telling) if regular and "dotlock" in locking.kinds else _no_lock():
        if known is not None and regular and unopened:
            _require_owner(known, owner, path, telling)  # it may be one that we cannot even open
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        except OSError as error:
            new = known is None and not isinstance(error, NotADirectoryError)
            raise telling.failed("cannot create file exclusively" if new else "cannot open file", error) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                if not stat.S_ISCHR(found.st_mode):
                    raise telling.refused(f"destination {path} is not a regular file", "5.2.0")
                try:
                    for chunk in whole_lines(message()):  # /dev/null and its like
                        os.write(descriptor, chunk)
                except OSError as error:
                    raise telling.failed("error writing message", error) from error
                return
            if found.st_nlink != 1:  # Whoever made the other name chose where mail goes.
                raise telling.refused(f"file has {found.st_nlink} hard links", "5.2.0")
            _require_owner(found, owner, path, telling)
            if found.st_mode & 0o111 and not executable:
                raise DepositFailed("5.7.0", "file is executable")
            _lock(descriptor, path, locking, telling)
            _append(descriptor, path, message, sender, now, size_limit, telling)
        finally:
            os.close(descriptor)


def _require_owner(status: os.stat_result, owner: int | None, path: str, telling: Telling) -> None:
    if owner is not None and status.st_uid != owner:
        telling.warn('specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch')
        raise telling.refused(f"destination {path} is not owned by recipient", "4.2.0")


@contextmanager
def _no_lock() -> Iterator[None]:
    yield


def _append(
    descriptor: int,
    path: str,
    message: Callable[[], Iterator[bytes]],
    sender: str,
    now: float,
    size_limit: int,
    telling: Telling,
) -> None:
    before = os.fstat(descriptor).st_size
    written = 0
    try:
        for chunk in (from_line(sender, now), *quoted_parts(message), b"\n"):
            view = memoryview(chunk)
            if size_limit and before + written + len(view) > size_limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            while view:
                count = os.write(descriptor, view)
                written += count
                view = view[count:]
        os.fsync(descriptor)
        if before == 0:
            sync_folder(os.path.dirname(path))
    except OSError as error:
        os.ftruncate(descriptor, before)
        raise telling.failed("error writing message", error) from error


def quoted_parts(message: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """The message as an mbox holds it."""
    return quoted_lines(whole_lines(message()))


_count = 0


def unique_name(now: float, device: int, inode: int) -> str:
    """A Maildir file name that no other delivery takes."""
    global _count
    _count += 1
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    seconds, micro = divmod(int(now * 1_000_000), 1_000_000)
    return f"{seconds}.V{device:x}I{inode:x}M{micro}P{os.getpid()}Q{_count}.{host}"


def to_maildir(
    path: str,
    message: Callable[[], Iterator[bytes]],
    *,
    now: float,
    size_limit: int = 0,
    telling: Telling = Telling(),
) -> str:
    """Deliver into a Maildir, made when missing; returns the new file's path. Raises DepositFailed."""
    path = path.rstrip("/")
    temporary = os.path.join(path, "tmp", f"{now:.6f}.P{os.getpid()}.{os.urandom(6).hex()}")
    try:
        for name in ("tmp", "new", "cur"):
            folder = os.path.join(path, name)
            make_folder(folder)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            for chunk in whole_lines(message()):
                view = memoryview(chunk)
                written += len(view)
                if size_limit and written > size_limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            made = os.fstat(descriptor)
            final = os.path.join(path, "new", unique_name(now, made.st_dev, made.st_ino))
            os.link(temporary, final)
        finally:
            os.close(descriptor)
            os.unlink(temporary)
        sync_folder(os.path.join(path, "new"))
    except OSError as error:
        what = f"create maildir file {temporary}: {error.strerror}"
        if isinstance(error, PermissionError):
            telling.warn(f"maildir access problem for UID/GID={os.geteuid()}/{os.getegid()}: {what}")
            telling.warn("perhaps you need to create the maildirs in advance")
        status = _STATUS.get(error.errno or 0, telling.status)
        raise DepositFailed(status, f"maildir delivery failed: {what}") from error
    return final


def message_lines(content: int, fields: bytes) -> Callable[[], Iterator[bytes]]:
    """The lines of a message to deliver, ending in LF: fields to put above it (CRLF), then the content (CRLF)."""

    def lines() -> Iterator[bytes]:
        yield fields.replace(b"\r\n", b"\n")
        yield from unix_lines(pieces(content))

    return lines


def locking_of(kinds: Sequence[str], attempts: int, delay: int, stale: int) -> Locking:
    """mailbox_delivery_lock and deliver_lock_* as a Locking."""
    return Locking(tuple(kind.lower() for kind in kinds), max(1, attempts), float(delay), float(stale))
