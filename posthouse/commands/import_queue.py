"""posthouse import-queue: the messages of a stopped Postfix's queue become messages of ours.

    posthouse import-queue [-c DIR] [--dry-run] [--remove] [SPOOL]

SPOOL is Postfix's queue_directory, by default the configuration's own. Messages of incoming,
active, deferred and hold come over with their recipients' state; what lies in the maildrop goes
the way of new mail. Damaged and half-written files, and those in corrupt, are told and left.

A message is committed first, then its file is moved to SPOOL/imported-DATE; when all are moved
the new shard is handed over (queue/staged.py). Killed at any moment, the import loses nothing,
and when it is started again it brings nothing twice. With --remove the moved files are deleted
at the end. Our system may be up or down meanwhile; Postfix must be down, and cannot be started.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import apsw

from posthouse.commands.import_files import Unreadable, open_file, queue_files, read_logs, reason_of
from posthouse.commands.spool_owner import CannotImport, lock_spool, owner_of_queue
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.host.users import Identity, acting_as
from posthouse.queue.imported import imported_message, split_content
from posthouse.queue.postfix_spool import PostfixSpool, SpoolFile, names_aside, remove_aside, sync_moves
from posthouse.queue.staged import ImportRunning, StagedMessage, StagedShard, broken_off
from posthouse.wire.queue_file import DamagedQueueFile, QueueFile, content_pieces

BATCH_MESSAGES = 200
"""Messages in one commit."""

BATCH_BYTES = 8 << 20
"""Bytes of small messages that wait in memory for one."""

RENAMED = "-as-"
"""Between a file's name and the id that its message got, where that is another."""


def _no_step(_: str) -> None:
    """Where the crash tests stop the program."""


@dataclass(slots=True)
class Report:
    """What an import did."""

    say: Callable[[str], None]
    queued: dict[str, int] = field(default_factory=dict)
    renamed: int = 0
    left: int = 0
    dropped: int = 0
    maildrop: int = 0

    def leave(self, file: SpoolFile, reason: str) -> None:
        """A file that stays where it is."""
        self.left += 1
        self.say(f"{file.path}: {reason}: left")


@dataclass(slots=True)
class Import:
    """One run."""

    queue_directory: str
    spool_path: str
    owner: Identity
    report: Report
    remove: bool = False
    step: Callable[[str], None] = _no_step
    aside: str = ""
    _waiting: list[tuple[SpoolFile, str, StagedMessage]] = field(default_factory=list)
    _bytes: int = 0

    @property
    def root(self) -> str:
        """Where the shards are."""
        return os.path.join(self.queue_directory, "posthouse", "queue")

    def dry_run(self) -> None:
        """Read everything, change nothing."""
        spool = PostfixSpool(self.spool_path)
        try:
            for file in queue_files(spool):
                try:
                    with open_file(spool, file) as opened:
                        self._count(file.queue, opened.parsed)
                except (Unreadable, OSError) as error:
                    self.report.leave(file, reason_of(error))
            self._leave_corrupt(spool)
            self.report.maildrop = sum(1 for _ in spool.files("maildrop"))
        finally:
            spool.close()

    def _count(self, queue: str, parsed: QueueFile) -> None:
        if parsed.probe:
            self.report.dropped += 1
        else:
            self.report.queued[queue] = self.report.queued.get(queue, 0) + 1

    def _leave_corrupt(self, spool: PostfixSpool) -> None:
        for file in spool.files("corrupt"):
            self.report.leave(file, "Postfix found it damaged")

    def run(self) -> None:
        """Import. Raises CannotImport, ImportRunning, OSError, apsw.Error."""
        spool = PostfixSpool(self.spool_path)
        try:
            staged = self._open_staged(spool.path)
            try:
                self._import(spool, staged)
            finally:
                with acting_as(self.owner):
                    staged.close()
        finally:
            spool.close()
        if self.remove and self.aside:
            remove_aside(spool.path, self.aside)

    def _open_staged(self, spool: str) -> StagedShard:
        """The folder to fill. What an earlier run was killed over: messages whose files are moved stay in it, others
        are forgotten. It joins the queue at once when it is of another spool."""
        with acting_as(self.owner):
            staged = StagedShard(self.root)
        done = False
        try:
            earlier, aside = broken_off(self.root) or ("", "")
            moved = {name.rpartition(RENAMED)[2] for name in names_aside(earlier, aside)} if aside else set()
            with acting_as(self.owner):
                for page in _pages(staged):
                    staged.drop([queue_id for queue_id in page if queue_id not in moved])
            if not aside:
                done = True
                return staged
            self.report.say(f"an import of {earlier} was broken off: it is finished first")
            if earlier == spool:
                self.aside = aside
                done = True
                return staged
            sync_moves(earlier, aside)
            with acting_as(self.owner):
                staged.activate()
        finally:
            if not done:
                with acting_as(self.owner):
                    staged.close()
        with acting_as(self.owner):
            return StagedShard(self.root)

    def _import(self, spool: PostfixSpool, staged: StagedShard) -> None:
        found = list(queue_files(spool))
        self._leave_corrupt(spool)
        if self.aside:
            sync_moves(spool.path, self.aside)
        if found:
            self.aside = self.aside or time.strftime("imported-%Y%m%dT%H%M%S", time.gmtime())
            spool.make_aside(self.aside, self.owner.uid, self.owner.gid)
            self.step("aside made")
            with acting_as(self.owner):
                staged.note_source(spool.path, self.aside)
                staged.keep_ids(file.name for file in found)
            self.step("ids kept")
            for file in found:
                self._take(spool, staged, file)
            self._flush(spool, staged)
            spool.sync()
            self.step("moves synced")
        with acting_as(self.owner):
            staged.activate()
        self.step("activated")

    def _take(self, spool: PostfixSpool, staged: StagedShard, file: SpoolFile) -> None:
        try:
            with open_file(spool, file) as opened:
                if opened.parsed.probe:
                    self._count(file.queue, opened.parsed)
                    spool.move(file, self.aside, file.name)
                    return
                header, body = split_content(content_pieces(opened.buffer, opened.parsed))
                with acting_as(self.owner):
                    queue_id = staged.id_for(file.name, opened.parsed.arrival_time)
                message = imported_message(
                    queue_id,
                    file.queue,
                    opened.parsed,
                    opened.status.st_mode,
                    opened.status.st_mtime,
                    read_logs(spool, file),
                    header,
                )
                if opened.status.st_size > BATCH_BYTES // 8:
                    # A large one is a batch of its own, and never whole in memory.
                    self._flush(spool, staged)
                    self._waiting.append((file, queue_id, StagedMessage(message, header, body)))
                    self._flush(spool, staged)
                else:
                    self._waiting.append((file, queue_id, StagedMessage(message, header, [b"".join(body)])))
                self._count(file.queue, opened.parsed)
                self._bytes += opened.status.st_size
        except (Unreadable, DamagedQueueFile) as error:
            self.report.leave(file, reason_of(error))
            return
        if len(self._waiting) >= BATCH_MESSAGES or self._bytes >= BATCH_BYTES:
            self._flush(spool, staged)

    def _flush(self, spool: PostfixSpool, staged: StagedShard) -> None:
        """Commit what waits, then move its files."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        with acting_as(self.owner):
            staged.add([message for _, _, message in waiting])
        self.step("committed")
        for file, queue_id, _ in waiting:
            kept = queue_id == file.name
            self.report.renamed += not kept
            spool.move(file, self.aside, file.name if kept else f"{file.name}{RENAMED}{queue_id}")
            self.step("moved")
            for log in spool.log_files(file.name, file.folders):
                spool.move(log, self.aside, log.name)
        self.step("batch moved")


def _pages(staged: StagedShard) -> Iterator[list[str]]:
    page: list[str] = []
    for message in list(staged.messages()):
        page.append(message.queue_id)
        if len(page) >= BATCH_MESSAGES:
            yield page
            page = []
    if page:
        yield page


# -- the command -----------------------------------------------------------------------------------------------------


def import_queue(
    configuration: Configuration, spool: str | None, *, dry_run: bool, remove: bool, say: Callable[[str], None]
) -> Report:
    """The whole of it, for this command and for takeover. Raises CannotImport, ConfigError, OSError."""
    from posthouse.host.maildrop import dropped, make_maildrop, take_postfix_drops
    from posthouse.queue.handed_back import settle_broken_off
    from posthouse.service.spool import prepare

    queue_directory = configuration.value("queue_directory")
    owner = owner_of_queue(configuration)
    report = Report(say)
    run = Import(queue_directory, spool or queue_directory, owner, report, remove)
    if not os.path.isdir(run.spool_path):
        raise CannotImport(f"{run.spool_path}: no such folder")
    own = os.path.realpath(run.spool_path) == os.path.realpath(queue_directory)
    lock = lock_spool(run.spool_path, queue_directory)
    try:
        if dry_run:
            run.dry_run()
            return report
        prepare(queue_directory, configuration.value("data_directory"), owner)
        if lock is not None and own:
            settle_broken_off(queue_directory, long_ids=configuration.boolean("enable_long_queue_ids"))
        try:
            run.run()
        except ImportRunning as running:
            raise CannotImport(f"another import runs ({running})") from running
        except apsw.Error as error:  # a full disk, a damaged shard
            raise CannotImport(f"our queue: {error}") from error
        if own:
            report.maildrop = sum(1 for one in dropped(queue_directory) if "-" not in os.path.basename(one.path))
        else:
            make_maildrop(queue_directory, owner.uid, owner.gid)
            report.maildrop = take_postfix_drops(run.spool_path, queue_directory)
    finally:
        if lock is not None:
            lock.release()
    hand_over(queue_directory)
    return report


def finish_broken_off(queue_directory: str, owner: Identity) -> None:
    """What an import that was broken off had taken out of its spool becomes a shard of ours; the rest is still there.
    Raises CannotImport, OSError, apsw.Error."""
    root = os.path.join(queue_directory, "posthouse", "queue")
    found = broken_off(root)
    if found is None:
        return
    spool, aside = found
    try:
        with acting_as(owner):
            staged = StagedShard(root)
    except ImportRunning as running:
        raise CannotImport(f"an import runs ({running})") from running
    try:
        moved = {name.rpartition(RENAMED)[2] for name in names_aside(spool, aside)} if aside else set()
        with acting_as(owner):
            for page in _pages(staged):
                staged.drop([queue_id for queue_id in page if queue_id not in moved])
        if aside:
            sync_moves(spool, aside)
        with acting_as(owner):
            staged.activate()
    finally:
        with acting_as(owner):
            staged.close()


def hand_over(queue_directory: str) -> None:
    """Tell a running system of ours that there is a shard to adopt, and mail in the maildrop."""
    from posthouse.commands.queue_access import Refused, SystemDown, ask_all
    from posthouse.wire.control import ControlRequest

    for verb in ("adopt", "pickup"):
        try:
            for _ in ask_all(queue_directory, ControlRequest(verb)):
                pass
        except (SystemDown, Refused):
            return


def summary(report: Report, *, dry_run: bool) -> list[str]:
    """What is told at the end."""
    word = "would be imported" if dry_run else "imported"
    total = sum(report.queued.values())
    parts = ", ".join(f"{count} {queue}" for queue, count in report.queued.items())
    lines = [f"{total} message{'' if total == 1 else 's'} {word}" + (f" ({parts})" if parts else "")]
    if report.maildrop:
        lines.append(f"{report.maildrop} in the maildrop: taken as new mail by the running system")
    if report.renamed:
        lines.append(f"{report.renamed} under a new queue id, as theirs could not be kept")
    if report.dropped:
        lines.append(f"{report.dropped} address probes of Postfix's own {'would be' if dry_run else 'were'} set aside")
    if report.left:
        lines.append(f"{report.left} left where they are")
    return lines


def main(directory: str, spool: str | None, *, dry_run: bool, remove: bool) -> int:
    """Run the command; returns its exit status: 1 when something was left, or nothing could be done."""
    from posthouse.config.read import read_configuration

    def say(text: str) -> None:
        print(f"posthouse: import-queue: {text}", file=sys.stderr)

    if os.geteuid() != 0 and not os.access(spool or directory, os.W_OK):
        say("only root, or who owns the spool, may do this")
        return 1
    try:
        report = import_queue(read_configuration(directory), spool, dry_run=dry_run, remove=remove, say=say)
    except (CannotImport, ConfigError, OSError) as error:
        say(f"fatal: {error}")
        return 1
    for line in summary(report, dry_run=dry_run):
        print(line)
    return 1 if report.left else 0
