"""What give-back does with mail that is still queued: it becomes files of Postfix's queue again.

Each message is written beside its place, synced, renamed into deferred, hold or incoming under
its queue id, and only then removed from ours: killed in between and run again, it finds the file
and removes the message. Postfix gives the files names of their own when it starts. What Postfix's
files cannot say stays in our queue and is told: a bounce or a success notice that is still owed.
"""

import os
import stat
from collections.abc import Callable

from posthouse.commands.import_queue import CannotImport, lock_spool, owner_of_queue
from posthouse.config.configuration import Configuration
from posthouse.host.durable import sync_folder, write_all
from posthouse.queue.store import QueuedMessage, State

FOLDERS = {State.HOLD: "hold", State.DEFERRED: "deferred"}
"""Others go to incoming."""


class Export:
    """One run."""

    def __init__(self, configuration: Configuration, say: Callable[[str], None]) -> None:
        self.queue_directory = configuration.value("queue_directory")
        self.owner = owner_of_queue(configuration)
        self.say = say
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
            for message in queue.messages():
                content = queue.content(message.queue_id)
                if message.state is State.CORRUPT or content is None or not is_settled(message):
                    self.left += 1
                    self.say(f"{message.queue_id}: {'damaged' if content is None else 'a notice is owed'}: left")
                    continue
                folder = os.path.join(self.queue_directory, FOLDERS.get(message.state, "incoming"))
                body: bytes = content.body.data  # type: ignore[attr-defined]  # the offline queue reads it whole
                data = queue_file_of(message, content.header, body)
                self._put(folder, message.queue_id, data, _mode(message), message.next_attempt)
                queue.operate("delete", (message.queue_id,))
                self.written += 1
        finally:
            queue.close()

    def _maildrop(self) -> None:
        from posthouse.host.maildrop import FOLDER, NotADrop, dropped, read_drop
        from posthouse.queue.exported import drop_file_of

        ours = os.path.join(self.queue_directory, FOLDER)
        for one in dropped(self.queue_directory):
            if os.path.dirname(one.path) != ours:
                continue
            try:
                submission, content = read_drop(one.path)
            except NotADrop as error:
                self.left += 1
                self.say(f"maildrop/{one.queue_id}: {error}: left")
                continue
            folder = os.path.join(self.queue_directory, "maildrop")
            self._put(folder, one.queue_id, drop_file_of(submission, content, one.arrival_time), 0o744, 0.0, one.uid)
            os.unlink(one.path)
            self.written += 1

    def _put(self, folder: str, name: str, data: bytes, mode: int, mtime: float, uid: int = -1) -> None:
        """A complete file, durable. Nothing happens when it is there: then it is ours, of a run that was killed."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            try:
                os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                return
            except FileNotFoundError:
                pass
            # A name that is no queue id: Postfix passes over it.
            temporary = f"{name}.new"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(temporary, flags, 0o600, dir_fd=descriptor)
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
            os.rename(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        finally:
            os.close(descriptor)
        sync_folder(folder)


def _mode(message: QueuedMessage) -> int:
    return 0o700 | (stat.S_IXGRP if message.force_expired else 0)
