"""Files that become messages of Postfix's queue again: written, then named.

    SPOOL/{incoming,deferred,hold,maildrop}/ID.new    complete and synced; Postfix passes over such a name
    SPOOL/{defer,bounce,trace}/NAME                   what is told of its recipients, under the name to come

Our own message is removed when these are on the disk, and only then the file gets its name, which
Postfix wants to end in its inode number. Whoever is killed in between leaves an ID.new, and settle()
says what it is worth: without a message of ours it is the only one left, and gets its name; beside
one it is none, and is deleted. Before our system delivers anything, or another hand-over begins,
settle() has run: so no message is delivered from both queues.

Root works here in folders that mail_owner may change: by descriptor, following no link.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from posthouse.host.durable import write_all
from posthouse.host.file_buffer import FileBuffer
from posthouse.queue.queue_id import long_id
from posthouse.wire.queue_file import DamagedQueueFile, parse_queue_file

FOLDERS = ("incoming", "deferred", "hold", "maildrop")

LOGS = ("defer", "bounce", "trace")

NEW = ".new"
"""Behind our queue id: a file that has no name of Postfix's yet."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Form:
    """What a file of the queue is like."""

    mode: int
    uid: int
    gid: int
    mtime: float = 0.0
    """The time of the next attempt; 0: now."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that is handed back: the whole file, and what its logs say."""

    folder: str
    queue_id: str
    """Ours."""
    data: bytes
    form: Form
    logs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PostfixQueue:
    """Postfix's queue_directory, as it is written to."""

    path: str
    long_ids: bool

    def write(self, entries: Sequence[Entry]) -> None:
        """The complete files and their logs. Durable on return; written again they replace themselves. Raises OSError.

        All are written before the first is synced: they share the file system's commits then.
        """
        with ExitStack() as stack:
            folders = {
                name: stack.enter_context(self._opened(name))
                for name in sorted(
                    {entry.folder for entry in entries} | {log for entry in entries for log in entry.logs}
                )
            }
            files: list[int] = []
            for entry in entries:
                file = _create(stack, folders[entry.folder], entry.queue_id + NEW, entry.data, entry.form)
                files.append(file)
                name = self._name_of(os.fstat(file).st_ino, entry.data)
                form = Form(0o600, entry.form.uid, entry.form.gid)
                files += [_create(stack, folders[log], name, lines, form) for log, lines in entry.logs.items()]
            for file in (*files, *folders.values()):
                os.fsync(file)

    def name(self, entries: Sequence[Entry]) -> None:
        """The files become messages of Postfix's. Durable on return. Raises OSError."""
        for folder in sorted({entry.folder for entry in entries}):
            with self._opened(folder) as directory:
                for entry in entries:
                    if entry.folder == folder:
                        self._rename(directory, entry.queue_id + NEW)
                os.fsync(directory)

    def waiting(self) -> Iterator[tuple[str, str]]:
        """(folder, queue id) of each file without a name."""
        for folder in FOLDERS:
            with suppress(FileNotFoundError, NotADirectoryError), self._opened(folder) as directory:
                for name in os.listdir(directory):
                    if name.endswith(NEW):
                        yield folder, name.removesuffix(NEW)

    def settle(self, is_ours: Callable[[str, str], bool]) -> int:
        """After a kill: how many files got their names. `is_ours` tells whether a message (its folder, its id) is still
        in our own queue. Raises OSError."""
        named = 0
        for folder, queue_id in list(self.waiting()):
            with self._opened(folder) as directory:
                if not is_ours(folder, queue_id):
                    named += self._rename(directory, queue_id + NEW)
                    os.fsync(directory)
                    continue
                for log in LOGS:
                    with suppress(OSError), self._opened(log) as logs:
                        os.unlink(self._future_name(directory, queue_id + NEW), dir_fd=logs)
                os.unlink(queue_id + NEW, dir_fd=directory)
                os.fsync(directory)
        return named

    def _rename(self, directory: int, name: str) -> bool:
        try:
            os.rename(name, self._future_name(directory, name), src_dir_fd=directory, dst_dir_fd=directory)
        except DamagedQueueFile:
            return False  # none that was written here
        return True

    def _future_name(self, directory: int, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            return self._name_of(status.st_ino, FileBuffer(descriptor, status.st_size))
        finally:
            os.close(descriptor)

    def _name_of(self, inode: int, data: bytes | FileBuffer) -> str:
        """Postfix renames a file when it starts, unless its name ends in its inode."""
        seconds, microseconds = divmod(round(parse_queue_file(data).arrival_time * 1_000_000), 1_000_000)
        return long_id(seconds, microseconds, inode) if self.long_ids else f"{microseconds:05X}{inode:X}"

    @contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        directory = os.open(os.path.join(self.path, folder), _FOLDER)
        try:
            yield directory
        finally:
            os.close(directory)


def _create(stack: ExitStack, directory: int, name: str, data: bytes, form: Form) -> int:
    """A file on its way to the disk; its descriptor, which the stack closes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(name, flags, 0o600, dir_fd=directory)
    stack.callback(os.close, file)
    write_all(file, data)
    if os.geteuid() == 0:
        os.fchown(file, form.uid, form.gid)
    if form.mtime:
        os.utime(file, (form.mtime, form.mtime))
    os.fchmod(file, form.mode)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # it begins to be written now, and fsync() finds it there
    return file


def settle_broken_off(queue_directory: str, *, long_ids: bool) -> int:
    """settle() against our own queue and maildrop, while nobody serves them: how many files became Postfix's. Raises
    OSError."""
    spool = PostfixQueue(queue_directory, long_ids)
    if next(spool.waiting(), None) is None:
        return 0
    from posthouse.host.maildrop import dropped, maildrop_folder
    from posthouse.queue.offline import OfflineQueue

    ours = maildrop_folder(queue_directory)
    drops = {one.queue_id for one in dropped(queue_directory) if os.path.dirname(one.path) == ours}
    root = os.path.join(queue_directory, "posthouse", "queue")
    queue = OfflineQueue(root) if os.path.isdir(root) else None
    try:
        return spool.settle(
            lambda folder, queue_id: queue_id in drops or (queue is not None and bool(queue.load(queue_id)))
        )
    finally:
        if queue is not None:
            queue.close()
