"""What give-back does with mail that is still queued: it becomes files of Postfix's queue again.

Messages are written to deferred, hold or incoming, with their logs, complete and synced; then they
are removed from our queue; then the files get their names (queue/handed_back.py). Killed in between
and run again, nothing is lost or there twice.
"""

import os
import stat
import time
from collections.abc import Callable

import apsw

from posthouse.commands.import_queue import finish_broken_off
from posthouse.commands.spool_owner import CannotImport, lock_spool, owner_of_queue
from posthouse.config.configuration import Configuration
from posthouse.host.durable import sync_folder
from posthouse.queue.handed_back import Entry, Form, PostfixQueue, settle_broken_off
from posthouse.queue.offline import OfflineQueue
from posthouse.queue.staged import broken_off
from posthouse.queue.store import QueuedMessage, State

FOLDERS = {State.HOLD: "hold", State.DEFERRED: "deferred"}
"""Others go to incoming."""

BATCH_MESSAGES = 200
"""Messages that are synced together, and leave our queue in one commit."""

BATCH_BYTES = 8 << 20
"""Bytes of them that wait in memory; one large message may be more."""

ORPHAN_PATIENCE = 10.0
"""Seconds that workers of a master that was killed may take to end: they finish the commit that they are at."""


class Export:
    """One run."""

    def __init__(self, configuration: Configuration, say: Callable[[str], None]) -> None:
        self.queue_directory = configuration.value("queue_directory")
        self.owner = owner_of_queue(configuration)
        self.spool = PostfixQueue(self.queue_directory, configuration.boolean("enable_long_queue_ids"))
        self.delay_warning_time = configuration.seconds("delay_warning_time")
        self.say = say
        self.step: Callable[[str], None] = lambda _: None
        """Where the crash tests stop the program."""
        self.written = 0
        self.left = 0

    def nothing(self) -> bool:
        """Whether there is no mail of ours, and no file of a run that was killed."""
        from posthouse.host.maildrop import dropped, maildrop_folder
        from posthouse.queue.shard import shard_names

        ours = maildrop_folder(self.queue_directory)
        root = os.path.join(self.queue_directory, "posthouse", "queue")
        return (
            not shard_names(root)
            and broken_off(root) is None
            and not any(os.path.dirname(one.path) == ours for one in dropped(self.queue_directory))
            and next(self.spool.waiting(), None) is None
        )

    def run(self) -> None:
        """Write everything. Raises CannotImport while a mail system runs, OSError."""
        lock = lock_spool(self.queue_directory, self.queue_directory)
        try:
            finish_broken_off(self.queue_directory, self.owner)
            self.written += settle_broken_off(self.queue_directory, long_ids=self.spool.long_ids)
            self._queue()
            self._maildrop()
        except apsw.Error as error:  # a full disk, a damaged shard
            raise CannotImport(f"our queue: {error}") from error
        finally:
            if lock is not None:
                lock.release()

    def _queue(self) -> None:
        from posthouse.queue.exported import logs_of, queue_file_of

        root = os.path.join(self.queue_directory, "posthouse", "queue")
        if not os.path.isdir(root):
            return
        queue = _opened(root)
        try:
            batch: list[Entry] = []
            for message in queue.messages():
                content = queue.content(message.queue_id)
                if message.state is State.CORRUPT or content is None:
                    self.left += 1
                    self.say(f"{message.queue_id}: damaged: left")
                    continue
                body: bytes = content.body.data  # type: ignore[attr-defined]  # the offline queue reads it whole
                data = queue_file_of(message, content.header, body, self.delay_warning_time)
                form = Form(_mode(message), self.owner.uid, self.owner.gid, message.next_attempt)
                folder = "maildrop" if message.requeued else FOLDERS.get(message.state, "incoming")
                batch.append(Entry(folder, message.queue_id, data, form, logs_of(message, data)))
                if len(batch) >= BATCH_MESSAGES or sum(len(entry.data) for entry in batch) >= BATCH_BYTES:
                    self._hand_back(batch, lambda ids: queue.operate("delete", ids))
                    batch = []
            self._hand_back(batch, lambda ids: queue.operate("delete", ids))
        finally:
            queue.close()

    def _hand_back(self, batch: list[Entry], remove: Callable[[tuple[str, ...]], object]) -> None:
        """Write, then remove ours, then name: each durable before the next."""
        self.spool.write(batch)
        self.step("written")
        remove(tuple(entry.queue_id for entry in batch))
        self.step("removed")
        self.spool.name(batch)
        self.step("named")
        self.written += len(batch)

    def _maildrop(self) -> None:
        from posthouse.host.maildrop import NotADrop, dropped, maildrop_folder, read_drop
        from posthouse.queue.exported import drop_file_of

        ours = maildrop_folder(self.queue_directory)
        for one in dropped(self.queue_directory):
            if os.path.dirname(one.path) != ours:
                continue
            try:
                submission, content = read_drop(one.path)
            except NotADrop as error:
                self.left += 1
                self.say(f"maildrop/{one.queue_id}: {error}: left")
                continue
            data = drop_file_of(submission, content, one.arrival_time)

            def remove(_: tuple[str, ...], path: str = one.path) -> None:
                os.unlink(path)
                sync_folder(ours)

            self._hand_back([Entry("maildrop", one.queue_id, data, Form(0o744, one.uid, self.owner.gid))], remove)


def _opened(root: str) -> OfflineQueue:
    """The queue, whole. Raises CannotImport."""
    until = time.monotonic() + ORPHAN_PATIENCE
    while True:
        queue = OfflineQueue(root)
        if not queue.locked:
            return queue
        queue.close()
        if time.monotonic() > until:
            raise CannotImport(f"{queue.locked[0]} is in use: stop the mail system first")
        time.sleep(0.05)


def _mode(message: QueuedMessage) -> int:
    return 0o700 | (stat.S_IXGRP if message.force_expired else 0)
