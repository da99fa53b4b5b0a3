"""qshape: how old the queued mail is, by domain. Manual: qshape(1) of Postfix 3.7.

    qshape [-s] [-p] [-m min_subdomains] [-l] [-b bucket_count] [-t bucket_time] [-w terminal_width]
           [-N batch_msg_count] [-n batch_top_domains] [-c config_directory] [queue_name…]

A row a domain: recipients (with -s senders) in all, then by age in minutes. The queues are the running system's,
or those of the shards when it is down; a name with a slash is a folder of Postfix's own queue files.
"""

import getopt
import itertools
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from posthouse.commands.queue_access import Refused, SystemDown, ask_all, may_open, queue_root
from posthouse.config.error import ConfigError
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.wire.control import ControlRequest

USAGE = """\
Usage: {program} [ -s ] [ -p ] [ -m <min_subdomains> ] [ -l ]
	[ -b <bucket_count> ] [ -t <bucket_time> ] [ -w <terminal_width> ]
	[ -N <batch_msg_count> ] [ -n <batch_top_domains> ]
	[ -c <config_directory> ] [ <queue_name> ... ]
-s counts senders in place of recipients; -p adds parent domains (".example.com") with at least
<min_subdomains> (default 5) subdomains. The columns are ages in minutes: the first is below <bucket_time>
(default 5), each further one twice as wide, with -l as wide. Queues: incoming and active unless named.
"""

QUEUES = frozenset({"maildrop", "incoming", "active", "deferred", "hold", "corrupt"})

FAILED = 255
"""The exit status of a Perl program that dies, as Postfix's qshape does."""

MIN_NAME = 18
"""The least room for a domain, however many columns there are."""

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""Clears a terminal, for the next intermediate result."""

_QUEUE_FILE = re.compile(r"[0-9A-Za-z]{6,100}")
_PARENT = re.compile(r"\.?[^.]+\.(.*\.)", re.DOTALL)

Mail = tuple[float, str, list[str]]
"""Arrival time, sender, recipients."""


class Missing(Exception):
    """There is no queue directory; perl's die ends with the error's number."""

    def __init__(self, queue_directory: str, error: OSError) -> None:
        super().__init__(f"chdir({queue_directory}): {error.strerror}")
        self.status = error.errno or FAILED


class Fatal(Exception):
    """The command cannot go on."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the table is to be."""

    senders: bool = False
    parents: bool = False
    subdomains: int = 5
    linear: bool = False
    buckets: int = 10
    tick: float = 5
    width: int = 80
    batch: int = 0
    """Messages between intermediate results; 0: none."""
    top: int = 0
    """Rows in a result; 0: all."""

    def bucket(self, age: float) -> int:
        """The column of an age in seconds; 0 is the total."""
        ticks = age / (60 * self.tick)
        if ticks < 1:
            return 1
        return min(int(ticks + 1) if self.linear else 2 + int(math.log2(ticks)), self.buckets)

    def headings(self) -> list[str]:
        """Over the columns."""
        ends: list[float] = []
        for _ in range(self.buckets - 1):
            ends.append(self.tick if not ends else ends[-1] + (self.tick if self.linear else ends[-1]))
        return ["T", *(f"{end:.15g}" for end in ends), f"{ends[-1] if ends else 0:.15g}+"]


class Table:
    """The counts so far."""

    def __init__(self, shape: Shape, now: float) -> None:
        self._shape = shape
        self._now = now
        self._counts: dict[str, list[int]] = {"TOTAL": [0] * (shape.buckets + 1)}
        self._subdomains: dict[str, int] = {}

    def add(self, mail: Mail) -> None:
        """One message."""
        arrival, sender, recipients = mail
        column = self._shape.bucket(self._now - arrival)
        for address in (sender,) if self._shape.senders else recipients:
            self._count("TOTAL", column)
            domain: str | None = _domain(address)
            fresh = False
            while domain is not None:
                before = self._count(domain, column)
                if fresh:
                    self._subdomains[domain] = self._subdomains.get(domain, 0) + 1
                fresh = before == 0
                domain = _parent(domain) if self._shape.parents else None

    def _count(self, domain: str, column: int) -> int:
        """Count once; what the total was before."""
        row = self._counts.get(domain)
        if row is None:
            row = self._counts[domain] = [0] * (self._shape.buckets + 1)
        row[0] += 1
        row[column] += 1
        return row[0] - 1

    def lines(self) -> Iterator[str]:
        """The table as it is now."""
        headings = self._shape.headings()
        total = self._counts["TOTAL"]
        widths = [max(len(str(count)), len(heading)) for count, heading in zip(total, headings, strict=True)]
        widths = [width + 1 if width > 2 else 3 for width in widths]
        room = max(self._shape.width - sum(widths), MIN_NAME)
        yield _row("", headings, widths, room)
        shown = 0
        for domain in sorted(self._counts, key=lambda one: (-self._counts[one][0], len(one), one)):
            if domain.startswith(".") and self._subdomains.get(domain, 0) < self._shape.subdomains:
                continue
            shown += 1
            if 0 < self._shape.top < shown:
                return
            yield _row(domain, map(str, self._counts[domain]), widths, room)


def _row(domain: str, cells: Iterable[str], widths: list[int], room: int) -> str:
    if len(domain) > room:
        mark = ".+" if domain.startswith(".") else "+"
        domain = mark + domain[len(domain) - room + len(mark) :]
    return f"{domain:>{room}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _domain(address: str) -> str:
    domain = address.lower().rpartition("@")[2]
    if not address or address == "MAILER-DAEMON":
        return "MAILER-DAEMON"
    domain = domain.replace("..", ".")
    return domain.strip(".") or domain


def _parent(domain: str) -> str | None:
    found = _PARENT.match(domain)
    return None if found is None else f".{found[1]}{domain[found.end() :]}"


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    try:
        return _run(arguments)
    except getopt.GetoptError as error:
        if error.opt and "requires argument" not in error.msg:
            _say(f"{sys.argv[0]}: Unknown option: {error.opt}")
        sys.stderr.write(USAGE.format(program=sys.argv[0]))
    except Missing as error:
        _say(f"qshape: {error}")
        return error.status
    except Fatal as error:
        _say(f"qshape: fatal: {error}")
    except ConfigError as error:
        _say(f"qshape: fatal: {error.text}")
    return FAILED


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.buffer.write(f"{text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def _run(arguments: list[str]) -> int:
    options, queues = getopt.getopt(arguments, "lhc:psw:b:t:m:n:N:")
    chosen = dict(options)
    if "-h" in chosen:
        raise getopt.GetoptError("help")
    terminal = os.isatty(1)
    shape = _shape(chosen, terminal=terminal)
    names = queues or ["incoming", "active"]
    directory = configuration_directory(chosen.get("-c"))
    table = Table(shape, time.time())
    for count, mail in enumerate(_mail(names, directory), 1):
        table.add(mail)
        if shape.batch and count % shape.batch == 0:
            _print(table, CLEAR)
    _print(table, CLEAR if shape.batch else "")
    return 0


def _shape(chosen: dict[str, str], *, terminal: bool) -> Shape:
    plain = Shape()

    def number(option: str, default: float, least: float = 0) -> float:
        try:
            value = float(chosen[option])
        except (KeyError, ValueError):
            return default
        return value if least < value < 1e9 else default

    return Shape(
        senders="-s" in chosen,
        parents="-p" in chosen,
        subdomains=int(number("-m", plain.subdomains)),
        linear="-l" in chosen,
        buckets=int(number("-b", plain.buckets)) or plain.buckets,
        tick=number("-t", plain.tick),
        width=int(number("-w", plain.width, least=plain.width)),
        batch=int(number("-N", 1000, least=-1)) if terminal else 0,
        top=int(number("-n", 20, least=-1)) if terminal else 0,
    )


def _print(table: Table, before: str) -> None:
    text = before + "".join(f"{line}\n" for line in table.lines())
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def _mail(names: list[str], directory: str) -> Iterator[Mail]:
    queues = {name for name in names if name in QUEUES}
    if queues:
        queue_directory = read_configuration(directory).value("queue_directory")
        try:
            os.stat(f"{queue_directory}/.")
        except OSError as error:
            raise Missing(queue_directory, error) from error
        yield from _queued(queue_directory, queues)
    for name in names:
        if name not in QUEUES:
            yield from _folder(name, directory)


def _queued(queue_directory: str, queues: set[str]) -> Iterator[Mail]:
    try:
        answers = ask_all(queue_directory, ControlRequest("list"))
        first = next(answers, None)
        for row in answers if first is None else itertools.chain((first,), answers):
            if row["queue_name"] in queues:
                yield row["arrival_time"], row["sender"], [one["address"] for one in row["recipients"]]
        return
    except Refused as refusal:
        raise Fatal(str(refusal)) from refusal
    except SystemDown:
        if not may_open(queue_directory):
            raise Fatal("Queue report unavailable - mail system is down") from None
    if "maildrop" in queues:
        from posthouse.queue.dropped import maildrop_rows

        for row in maildrop_rows(queue_directory):
            yield row["arrival_time"], row["sender"], [one["address"] for one in row["recipients"]]
    root = queue_root(queue_directory)
    if not os.path.isdir(root) or not os.listdir(root):
        return
    from posthouse.queue.offline import OfflineQueue
    from posthouse.queue.operations import queue_name
    from posthouse.queue.store import RecipientState

    queue = OfflineQueue(root)
    try:
        for path in queue.locked:
            _say(f"qshape: warning: {path} is in use")
        for message in queue.messages():
            if queue_name(message) in queues:
                left = [one for one in message.recipients if one.state is not RecipientState.DONE]
                yield message.arrival_time, message.envelope.sender, [one.recipient.address for one in left]
    finally:
        queue.close()


def _folder(name: str, directory: str) -> Iterator[Mail]:
    """The queue files that Postfix has below a folder."""
    from posthouse.wire.postfix_record import NotAQueueFile, parse_records

    path = name
    if not name.startswith("/"):
        path = os.path.join(read_configuration(directory).value("queue_directory"), name)
    if not os.path.exists(path):
        _say(f"Can't stat {name}: {os.strerror(2)}")
        return
    for place, _, files in os.walk(path):
        for file_name in files:
            if not _QUEUE_FILE.fullmatch(file_name):
                continue
            try:
                with open(os.path.join(place, file_name), "rb") as file:
                    records = list(parse_records(file.read()))
            except (OSError, NotAQueueFile):
                continue  # gone meanwhile, or being written
            times = [text.split()[0] for kind, _, text in records if kind == "T"]
            senders = [text for kind, _, text in records if kind == "S"]
            recipients = [text for kind, _, text in records if kind == "R"]
            if times and senders and recipients and times[0].isdigit():
                yield float(times[0]), senders[0], recipients
