"""What give-back does with mail that is still queued: it becomes files of Postfix's queue again.

Each message is written to ID.new in deferred, hold or incoming, complete and synced; then it is
removed from our queue; then the file gets its name, which Postfix wants to end in its inode
number. Killed in between and run again, a file whose message is gone only gets its name, another
is written anew: nothing is lost or there twice. What Postfix's files cannot say stays in our queue
and is told: a bounce or a success notice that is still owed.
"""

import os
import stat
import time
from collections.abc import Callable

from posthouse.commands.import_queue import CannotImport, lock_spool, owner_of_queue
from posthouse.config.configuration import Configuration
from posthouse.host.durable import sync_folder, write_all
from posthouse.queue.queue_id import long_id
from posthouse.queue.store import QueuedMessage, State

FOLDERS = {State.HOLD: "hold", State.DEFERRED: "deferred"}
"""Others go to incoming."""

NEW = ".new"
"""Behind the queue id of a file that has no name of Postfix's yet."""


class Export:
    """One run."""

    def __init__(self, configuration: Configuration, say: Callable[[str], None]) -> None:
        self.queue_directory = configuration.value("queue_directory")
        self.owner = owner_of_queue(configuration)
        self.long_ids = configuration.boolean("enable_long_queue_ids")
        self.say = say
        self.step: Callable[[str], None] = lambda _: None
        """Where the crash tests stop the program."""
        self.written = 0
        self.left = 0

    def run(self) -> None:
        """Write everything. Raises CannotImport while a mail system runs, OSError."""
        lock = lock_spool(self.queue_directory, self.queue_directory)
        try:
            self._queue()
            self._maildrop()
        finally:
            if lock is not None:
                lock.release()

    def _queue(self) -> None:
        from posthouse.queue.exported import is_settled, queue_file_of
        from posthouse.queue.offline import OfflineQueue

        root = os.path.join(self.queue_directory, "posthouse", "queue")
        if not os.path.isdir(root):
            return
        queue = OfflineQueue(root)
        try:
            if queue.locked:
                raise CannotImport(f"{queue.locked[0]} is in use: stop the mail system first")
            self._name_written(lambda queue_id: queue.load(queue_id) is None, ("incoming", "deferred", "hold"))
            for message in queue.messages():
                content = queue.content(message.queue_id)
                if message.state is State.CORRUPT or content is None or not is_settled(message):
                    self.left += 1
                    self.say(f"{message.queue_id}: {'damaged' if content is None else 'a notice is owed'}: left")
                    continue
                folder = os.path.join(self.queue_directory, FOLDERS.get(message.state, "incoming"))
                body: bytes = content.body.data  # type: ignore[attr-defined]  # the offline queue reads it whole
                data = queue_file_of(message, content.header, body)
                path = self._write(folder, message.queue_id, data, _mode(message), message.next_attempt)
                self.step("written")
                queue.operate("delete", (message.queue_id,))
                self.step("removed")
                self._name(path)
                self.step("named")
                self.written += 1
        finally:
            queue.close()

    def _maildrop(self) -> None:
        from posthouse.host.maildrop import FOLDER, NotADrop, dropped, read_drop
        from posthouse.queue.exported import drop_file_of

        ours = os.path.join(self.queue_directory, FOLDER)
        waiting = [one for one in dropped(self.queue_directory) if os.path.dirname(one.path) == ours]
        ids = {one.queue_id for one in waiting}
        self._name_written(lambda queue_id: queue_id not in ids, ("maildrop",))
        for one in waiting:
            try:
                submission, content = read_drop(one.path)
            except NotADrop as error:
                self.left += 1
                self.say(f"maildrop/{one.queue_id}: {error}: left")
                continue
            data = drop_file_of(submission, content, one.arrival_time)
            path = self._write(os.path.join(self.queue_directory, "maildrop"), one.queue_id, data, 0o744, 0.0, one.uid)
            os.unlink(one.path)
            self._name(path)
            self.written += 1

    def _name_written(self, is_gone: Callable[[str], bool], folders: tuple[str, ...]) -> None:
        """Files of a run that was killed: those whose message is gone from our queue get their names."""
        for folder in folders:
            path = os.path.join(self.queue_directory, folder)
            if not os.path.isdir(path) or os.path.islink(path):
                continue
            for name in os.listdir(path):
                if name.endswith(NEW) and is_gone(name.removesuffix(NEW)):
                    self._name(os.path.join(path, name))
                    self.written += 1

    def _write(self, folder: str, queue_id: str, data: bytes, mode: int, mtime: float, uid: int = -1) -> str:
        """A complete file under a name that Postfix passes over, durable; its path."""
        path = os.path.join(folder, queue_id + NEW)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(queue_id + NEW, flags, 0o600, dir_fd=directory)
            try:
                write_all(file, data)
                if os.geteuid() == 0:
                    os.fchown(file, self.owner.uid if uid < 0 else uid, self.owner.gid)
                if mtime:
                    os.utime(file, (mtime, mtime))
                os.fchmod(file, mode)
                os.fsync(file)
            finally:
                os.close(file)
            os.fsync(directory)
        finally:
            os.close(directory)
        return path

    def _name(self, path: str) -> None:
        """The name that Postfix gives a file of this inode: it would rename any other when it starts."""
        inode = os.lstat(path).st_ino
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        name = long_id(seconds, microseconds, inode) if self.long_ids else f"{microseconds:05X}{inode:X}"
        os.rename(path, os.path.join(os.path.dirname(path), name))
        sync_folder(os.path.dirname(path))


def _mode(message: QueuedMessage) -> int:
    return 0o700 | (stat.S_IXGRP if message.force_expired else 0)
