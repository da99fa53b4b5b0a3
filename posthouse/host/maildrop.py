"""The maildrop: where mail waits that was handed over while nobody listened.

The folder is queue_directory/posthouse/maildrop, mode 1733, and belongs to mail_owner: anybody
may put a file there, nobody else may read, list or remove it. A file is made 0600, written,
synced, then 0644 (only then pickup may take it), and the folder is synced. Its name is a
short-form queue id and 96 random bits, so that it cannot be guessed.

Format of a file: posthouse.wire.intake. Postfix's own maildrop beside it is emptied too: its set-gid
postdrop goes on writing there while the two are swapped (format: posthouse.wire.queue_file; a
complete file may be executed by its owner).
"""

import errno
import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.host.durable import make_folder, sync_folder, write_all
from posthouse.wire.intake import (
    END,
    HEADING,
    End,
    IntakeProtocolError,
    Submission,
    SubmissionReader,
    encode_content,
    encode_submission,
)

FOLDER = "posthouse/maildrop"
"""Below queue_directory."""
MODE = 0o1733
READY = 0o644
"""The mode of a complete file."""
PIECE = 65536
"""Bytes read at a time."""

POSTFIX_FOLDER = "maildrop"
"""Postfix's own, below queue_directory."""
POSTFIX_READY = 0o100
"""This bit of the mode is set on a complete file of Postfix's."""
TAKEN = ".taken"
"""Behind the name of a file that is copied from another spool, and about to be removed there."""
_POSTFIX_NAME = re.compile(r"[0-9A-Za-z]{6,40}")


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file of the maildrop."""

    queue_id: str
    path: str
    uid: int
    size: int
    arrival_time: float


class NotADrop(Exception):
    """The file is none that sendmail made; the text says why."""


def maildrop_folder(queue_directory: str) -> str:
    """The folder's path."""
    return os.path.join(queue_directory, FOLDER)


def make_maildrop(queue_directory: str, uid: int, gid: int) -> str:
    """Make the folder (as root, or as its owner), or mend its mode and owner. Raises OSError."""
    folder = maildrop_folder(queue_directory)
    parent = os.path.dirname(folder)
    make_folder(parent, 0o755)
    if not os.path.isdir(folder):
        make_folder(folder, 0o700)
    if os.geteuid() == 0:
        os.chown(folder, uid, gid, follow_symlinks=False)
    os.chmod(folder, MODE)
    return folder


def drop(queue_directory: str, submission: Submission, content: Iterable[bytes]) -> str:
    """Leave a message; returns its id. It is durable when this returns. Raises OSError; nothing is left behind then."""
    folder = maildrop_folder(queue_directory)
    while True:
        queue_id = f"{time.time_ns() // 1000 % 1_000_000:05X}{int.from_bytes(os.urandom(4), 'big') >> 4:07X}"
        path = os.path.join(folder, f"{queue_id}-{os.urandom(12).hex()}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            break
        except FileExistsError:
            continue
    try:
        try:
            write_all(descriptor, HEADING + encode_submission(submission))
            for chunk in content:
                for start in range(0, len(chunk), PIECE):
                    write_all(descriptor, encode_content(chunk[start : start + PIECE]))
            write_all(descriptor, END)
            os.fsync(descriptor)
            os.fchmod(descriptor, READY)
        finally:
            os.close(descriptor)
    except BaseException:
        os.unlink(path)
        raise
    try:
        sync_folder(folder)
    except PermissionError:
        # Opening a folder for a sync takes the right to list it, which only its owner has. The whole file system then.
        os.sync()
    return queue_id


def dropped(queue_directory: str) -> list[Dropped]:
    """The complete files, oldest first. Raises OSError (PermissionError for anybody but the owner and root)."""
    found = []
    try:
        entries = list(os.scandir(maildrop_folder(queue_directory)))
    except FileNotFoundError:
        entries = []
    for entry in entries:
        queue_id, dash, _ = entry.name.partition("-")
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if dash and stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == READY:
            found.append(Dropped(queue_id, entry.path, status.st_uid, status.st_size, status.st_mtime))
    found += _postfix_dropped(os.path.join(queue_directory, POSTFIX_FOLDER))
    return sorted(found, key=lambda one: (one.arrival_time, one.queue_id))


def _postfix_dropped(folder: str) -> Iterable[Dropped]:
    """The complete files of a maildrop of Postfix's; none where the caller may not look."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        complete = stat.S_ISREG(status.st_mode) and status.st_mode & POSTFIX_READY
        if complete and _POSTFIX_NAME.fullmatch(entry.name):
            yield Dropped(entry.name, entry.path, status.st_uid, status.st_size, status.st_mtime)


def take_postfix_drops(spool: str, queue_directory: str) -> int:
    """Bring the maildrop of another Postfix's spool into ours, as root; how many files. Raises OSError.

    A copy becomes complete when its original is renamed, and the original goes last: broken off anywhere, and run
    again, it brings each message once.
    """
    import hashlib  # here: sendmail imports this module too

    source = os.path.join(spool, POSTFIX_FOLDER)
    target = maildrop_folder(queue_directory)
    names = [one.queue_id for one in _postfix_dropped(source)]
    try:
        half = [name.removesuffix(TAKEN) for name in os.listdir(source) if name.endswith(TAKEN)]
    except FileNotFoundError:
        return 0
    for name in sorted({*names, *half}):
        taken = os.path.join(source, name + TAKEN)
        original = taken if name in half else os.path.join(source, name)
        descriptor, status = open_drop(original)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read()
        digest = hashlib.sha256(f"{spool}\0{status.st_ino}\0{status.st_mtime_ns}\0".encode() + data).hexdigest()
        path = os.path.join(target, f"{name}-{digest[:24]}")
        if original is not taken:
            _copy(path, data, status)
            os.rename(original, taken)
            sync_folder(source)
        if os.path.exists(path):
            os.chmod(path, READY)
            sync_folder(target)
        os.unlink(taken)
    sync_folder(source)
    return len(names)


def _copy(path: str, data: bytes, status: os.stat_result) -> None:
    """A file that is not complete yet, durable, with the owner of its original."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data)
        if os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.utime(descriptor, ns=(status.st_mtime_ns, status.st_mtime_ns))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(os.path.dirname(path))


def open_drop(path: str, size_limit: int = 0) -> tuple[int, os.stat_result]:
    """A descriptor of a complete, regular file with one name, and what it is. Raises NotADrop, OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADrop("a symbolic link") from error
        raise
    status = os.fstat(descriptor)
    reason = ""
    if not stat.S_ISREG(status.st_mode):
        reason = "not a regular file"
    elif status.st_nlink != 1:
        reason = "more than one name"
    elif stat.S_IMODE(status.st_mode) != READY and not status.st_mode & POSTFIX_READY:
        reason = "not complete"
    elif size_limit and status.st_size > size_limit:
        reason = "too large"
    if reason:
        os.close(descriptor)
        raise NotADrop(reason)
    return descriptor, status


def read_drop(path: str) -> tuple[Submission, bytes]:
    """Envelope and content of a file, for postcat and mailq. Raises NotADrop, OSError."""
    descriptor, status = open_drop(path)
    reader = SubmissionReader()
    submission: Submission | None = None
    content: list[bytes] = []
    with os.fdopen(descriptor, "rb") as file:
        if file.read(len(HEADING)) != HEADING:
            return _read_postfix(descriptor, status)
        try:
            while data := file.read(PIECE):
                reader.receive_data(data)
                while (event := reader.next_event()) is not None:
                    if isinstance(event, Submission):
                        submission = event
                    elif isinstance(event, bytes):
                        content.append(event)
                    elif submission is not None:
                        assert isinstance(event, End)
                        return submission, b"".join(content)
        except IntakeProtocolError as error:
            raise NotADrop(str(error)) from error
    raise NotADrop("cut short")


def _read_postfix(descriptor: int, status: os.stat_result) -> tuple[Submission, bytes]:
    from posthouse.host.file_buffer import FileBuffer  # both seldom needed, and sendmail imports this module too
    from posthouse.wire.queue_file import DamagedQueueFile, content_pieces, parse_queue_file, submission_of

    buffer = FileBuffer(descriptor, status.st_size)
    try:
        file = parse_queue_file(buffer)
        return submission_of(file), b"".join(content_pieces(buffer, file))
    except DamagedQueueFile as error:
        raise NotADrop(f"no maildrop file: {error}") from error
