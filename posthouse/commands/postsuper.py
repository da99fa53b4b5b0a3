"""postsuper: maintain the queue. Manual: postsuper(1) of Postfix 3.7.

    postsuper [-psSv] [-c config_dir] [-d queue_id] [-e queue_id] [-f queue_id] [-h queue_id] [-H queue_id]
        [-r queue_id] [queue…]

-d delete, -e force-expire, -f force-expire and release, -h hold, -H release, -r requeue; the
id ALL means every message, "-" reads ids from standard input. -p removes left-over content
files, -s checks the shards; both look at shards that nobody has open, for a running owner
does so itself. -r lets a message in anew, now: under a new id, through address rewriting and checks as they are today.
Deliveries that run end by themselves; -r, -h and -H then count for what is still pending.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from posthouse.commands.complaint import Fatal, complain, configuration_of, enter_queue, run, visible
from posthouse.commands.option_letters import WrongOption, split_options
from posthouse.commands.queue_access import Refused, SystemDown, ask_all, is_queue_id, may_open, queue_root
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory
from posthouse.wire.control import IDS_LIMIT, ControlRequest

USAGE = (
    "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)]"
    " [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)]"
    " [-p (purge temporary files)] [-r queue_id (requeue)]"
    " [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]"
)

QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "flush", "trace", "saved")
DEFAULT_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
CHECKED_QUEUES = ("defer", "bounce", *DEFAULT_QUEUES, "flush")
"""What -v names when the structure is checked."""

RESERVED = "use of this command is reserved for the superuser"

OPERATIONS = {
    "-d": ("delete",),
    "-e": ("expire",),
    "-f": ("expire", "release"),
    "-h": ("hold",),
    "-H": ("release",),
    "-r": ("requeue",),
}

DONE = {
    "requeue": ("requeued", "Requeued"),
    "delete": ("removed", "Deleted"),
    "expire": ("expired", "Force-expired"),
    "hold": ("placed on hold", "Placed on hold"),
    "release": ("released from hold", "Released from hold"),
}
"""What is said of one message and of all, in the order of the report."""


class Report:
    """What was done, said to standard error and the mail log."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._log: Callable[[str, str], None] | None = None
        self.counts: dict[str, int] = {}

    def say(self, text: str, level: str = "info") -> None:
        """One line."""
        prefix = "" if level == "info" else f"{level}: "
        complain("postsuper", f"{prefix}{visible(text)}")
        if self._log is None:
            self._log = self._open_log()
        self._log(text, level)

    def _open_log(self) -> Callable[[str, str], None]:
        from posthouse.service import maillog

        try:
            # Open as long as the command runs: a hundred thousand ids are as many lines.
            sink = maillog.open_sink(self._configuration, maillog.open_descriptor(self._configuration))
            log = maillog.program_log(self._configuration, sink, "postsuper")
        except (OSError, ConfigError):
            return lambda text, level: None  # what is done is said on standard error; the log is a copy
        return lambda text, level: (log.info if level == "info" else log.warning)(text)

    def done(self, operation: str, queue_id: str, *, each: bool) -> None:
        """One message."""
        self.counts[operation] = self.counts.get(operation, 0) + 1
        if each:
            self.say(f"{queue_id}: {DONE[operation][0]}")


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postsuper", _run, arguments)


def _run(arguments: list[str]) -> int:
    try:
        options, queues = split_options(arguments, "c:d:e:f:h:H:pr:sSv")
        chosen = dict(options)
        configuration = configuration_of("postsuper", configuration_directory(chosen.get("-c")))
        require_everywhere(configuration)
    except (WrongOption, ConfigError) as error:
        # Postfix looks at who calls before anything else; here that takes a configuration (whose the queue is).
        if os.geteuid() != 0:
            raise Fatal(RESERVED) from error
        if isinstance(error, ConfigError):
            raise
        complain("postsuper", str(error))
        raise Fatal(USAGE) from error
    if not may_open(configuration.value("queue_directory")):
        raise Fatal(RESERVED)
    queue_directory = enter_queue(configuration)
    asked = [(option, value) for option, value in options if option in OPERATIONS]
    report = Report(configuration)
    known = tuple(itertools.takewhile(QUEUES.__contains__, queues)) if queues else DEFAULT_QUEUES
    for option, value in asked:
        operations = OPERATIONS[option]
        for ids in _ids(value, report, len(operations), most=1 if queues[len(known) :] else IDS_LIMIT):
            done: dict[str, list[str]] = {queue_id: [] for queue_id in ids}
            for operation in operations:
                report.counts.setdefault(operation, 0)
                for queue_id in operate(queue_directory, operation, ids, known) if known else ():
                    if ids == ["ALL"]:
                        report.done(operation, queue_id, each=False)
                    else:
                        done[queue_id].append(operation)
            for queue_id in ids:  # in the order in which they were asked for
                for operation in done[queue_id]:
                    report.done(operation, queue_id, each=True)
            if not all(done.values()):
                _require_queues(queues)  # each is looked at when it is its turn: not before, and not when all are found
    for operation in DONE:
        if operation in report.counts:
            count = report.counts[operation]
            report.say(f"{DONE[operation][1]}: {count} message{'' if count == 1 else 's'}")
    if not asked or {"-p", "-s", "-S"} & chosen.keys():
        _require_queues(queues)
        if "-v" in chosen:
            for name in queues or CHECKED_QUEUES:
                complain("postsuper", f"queue: {name}")
        check(queue_directory, report)
    return 0


def _require_queues(names: Sequence[str]) -> None:
    """Only names of queues; as in Postfix they are looked at when there is something to do."""
    for name in names:
        if name not in QUEUES:
            raise Fatal(f"invalid directory name: {name}")


def _ids(value: str, report: Report, times: int, most: int) -> Iterator[list[str]]:
    """The ids an option names, in portions of one request each; at least one, be it empty.

    What is no id is said as often as there is something to be done to it.
    """
    if value == "ALL":
        yield ["ALL"]
        return
    portion: dict[str, None] = {}  # an id that is given twice is one message all the same
    count = 0
    for line in _lines() if value == "-" else (value,):
        name = line.partition("\0")[0]
        if is_queue_id(name) and name != "ALL":
            portion[name] = None
            if len(portion) < most:
                continue
        if portion:
            yield list(portion)
            count += 1
            portion = {}
        if name == "ALL":
            yield ["ALL"]
            count += 1
        elif not is_queue_id(name):
            for _ in range(times):
                report.say(f"invalid mail queue id: {name}", "warning")
    if portion or not count:
        yield list(portion)


def _lines() -> Iterator[str]:
    """Standard input, line by line; a CR is no end of one."""
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def operate(queue_directory: str, operation: str, ids: list[str], queues: tuple[str, ...]) -> Iterable[str]:
    """Carry out one operation; yields the ids it was done to."""
    if not ids:
        return
    if "maildrop" in queues and operation == "delete":
        yield from _delete_dropped(queue_directory, ids)
    try:
        for answer in ask_all(queue_directory, ControlRequest(operation, tuple(ids), queues)):
            yield str(answer["done"])
        return
    except Refused as refusal:
        raise Fatal(str(refusal)) from refusal
    except SystemDown:
        pass
    root = queue_root(queue_directory)
    if not _any_shard(root):
        return
    from posthouse.queue.offline import OfflineQueue

    queue = OfflineQueue(root)
    try:
        for path in queue.locked:
            complain("postsuper", f"warning: {path} is in use")
        if ids != ["ALL"]:
            yield from queue.operate(operation, tuple(ids), frozenset(queues))
            return
        for done in queue.operate_all(operation, frozenset(queues)):
            yield from done
    finally:
        queue.close()


def _any_shard(root: str) -> bool:
    try:
        return any(len(name) == 8 for name in os.listdir(root))
    except OSError:
        return False


def _delete_dropped(queue_directory: str, ids: list[str]) -> Iterable[str]:
    yield from _delete_from(os.path.join(queue_directory, "posthouse", "maildrop"), "-", ids)
    yield from _delete_from(os.path.join(queue_directory, "maildrop"), "", ids)  # of Postfix's own postdrop


def _delete_from(folder: str, mark: str, ids: list[str]) -> Iterable[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        queue_id, dash, _ = name.partition("-")
        if dash == mark and (ids == ["ALL"] or queue_id in ids):
            try:
                os.unlink(os.path.join(folder, name))
            except FileNotFoundError:
                continue  # pickup was faster
            yield queue_id


def check(queue_directory: str, report: Report) -> None:
    """-p and -s: left-over content files go, and the shards are checked, where nobody has them open."""
    root = queue_root(queue_directory)
    if not _any_shard(root):
        return
    from posthouse.queue.shard import adopt_shard, shard_names

    for name in shard_names(root):
        shard = adopt_shard(root, name)
        if shard is None:
            continue
        try:
            shard.prepare()
            database = shard.open()
            try:
                if not database.sound():
                    report.say(f"{shard.folder}/queue.db is damaged", "warning")
            finally:
                database.close()
        finally:
            shard.lock.release()
