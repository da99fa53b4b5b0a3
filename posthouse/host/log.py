"""The mail log: Postfix's lines, one per event, in batches.

A line is "Mon DD HH:MM:SS host name[number]: text" (maillog_file, stdout) or the part from
name on (syslog). The number is unique to a session, so that log readers can pair the lines
of one; lines that belong to no session carry the process id. Unprintable characters become
"?"; a line is cut at 2,000 characters, as syslog would.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and commands log
    import socket
    from typing import Protocol
else:
    Protocol = object

LINE_LIMIT = 2000
"""Characters of text in one line; longer text is cut, so that no line is split by a reader."""


class Sink(Protocol):
    """Where finished lines go."""

    def write(self, name: str, level: str, text: str, number: int) -> None:
        """Take one event. Level is info, warning, error, fatal or panic."""


def printable(text: str) -> str:
    """The text with every control or undecodable character as "?"."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


class FileSink:
    """Lines to an open descriptor; a batch leaves in one O_APPEND write at flush().

    Outside an event loop (commands, keeper) call with buffered=False: each line leaves at once.
    """

    def __init__(
        self, descriptor: int, hostname: str, *, buffered: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self.descriptor = descriptor
        self._hostname = hostname.split(".", 1)[0]
        self._buffered = buffered
        self._clock = clock
        self._lines: list[str] = []
        self._second = -1
        self._stamp = ""
        self.on_waiting: Callable[[], None] | None = None
        """Called when the first line of a batch waits: somebody is to flush() soon."""
        self._told = False

    def write(self, name: str, level: str, text: str, number: int) -> None:
        """Take one event."""
        now = int(self._clock())
        if now != self._second:
            t = time.localtime(now)
            self._stamp = f"{time.strftime('%b', t)} {t.tm_mday:2d} {time.strftime('%H:%M:%S', t)} {self._hostname}"
            self._second = now
        prefix = "" if level == "info" else f"{level}: "
        self._lines.append(f"{self._stamp} {name}[{number}]: {prefix}{printable(text[:LINE_LIMIT])}\n")
        if not self._buffered:
            self.flush()
        elif self.on_waiting is not None and not self._told:
            self._told = True
            self.on_waiting()

    def flush(self) -> None:
        """Hand the batch to the kernel. A full disk loses log lines, never mail."""
        self._told = False
        if self._lines:
            data = "".join(self._lines).encode("utf-8", "surrogateescape")
            self._lines.clear()
            try:
                os.write(self.descriptor, data)
            except OSError as error:
                print(f"posthouse: warning: mail log: {error}", file=sys.stderr)


class MemorySink:
    """Lines kept in a list: for tests. Each is "name: text" or "name: level: text"."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, name: str, level: str, text: str, number: int) -> None:
        """Take one event."""
        prefix = "" if level == "info" else f"{level}: "
        self.lines.append(f"{name}: {prefix}{printable(text[:LINE_LIMIT])}")


@functools.cache
def _session_numbers(pid: int) -> Iterator[int]:
    base = pid % 1000 * 100_000
    return (base + number % 100_000 for number in itertools.count(1))


def session_numbers() -> Iterator[int]:
    """One run of numbers for all listeners of this process, apart from other processes' runs and, with at most eight
    digits, from queue ids: programs that read the log take nine hex digits for one."""
    return _session_numbers(os.getpid())


class ProcessLog:
    """The log as one program of one service sees it, e.g. "postfix/submission/smtpd"."""

    __slots__ = ("_sink", "name", "number")

    def __init__(self, sink: Sink, name: str, number: int | None = None) -> None:
        self._sink = sink
        self.name = name
        self.number = os.getpid() if number is None else number

    def session(self, number: int) -> ProcessLog:
        """The same program's log under a session's own number."""
        return ProcessLog(self._sink, self.name, number)

    def program(self, name: str) -> ProcessLog:
        """Another program of the same instance: "postfix/smtpd".program("cleanup") is "postfix/cleanup"."""
        return ProcessLog(self._sink, f"{self.name.rpartition('/')[0] or self.name}/{name}", self.number)

    def info(self, text: str) -> None:
        """An event."""
        self._sink.write(self.name, "info", text, self.number)

    def warning(self, text: str) -> None:
        """Something an operator should look at."""
        self._sink.write(self.name, "warning", text, self.number)

    def error(self, text: str) -> None:
        """Something failed that the operator must mend."""
        self._sink.write(self.name, "error", text, self.number)

    def fatal(self, text: str) -> None:
        """This process cannot go on."""
        self._sink.write(self.name, "fatal", text, self.number)


class SyslogSink:
    """Lines to syslog's socket, as syslog(3) writes them (facility mail).

    A socket that is not there is tried again with every line: on a machine without syslog the lines are lost, as they
    are with Postfix; maillog_file is the way out.
    """

    LEVELS = {"info": 6, "warning": 4, "error": 3, "fatal": 2, "panic": 2}
    FACILITIES = {"user": 1, "mail": 2, "daemon": 3, "auth": 4, **{f"local{n}": 16 + n for n in range(8)}}

    def __init__(self, facility: str = "mail", path: str = "/dev/log", clock: Callable[[], float] = time.time) -> None:
        self._facility = self.FACILITIES.get(facility, 2) << 3
        self._path = path
        self._clock = clock
        self._socket: socket.socket | None = None

    def _connect(self) -> socket.socket | None:
        import socket  # here: most commands never say a line

        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            return None
        return connection

    def write(self, name: str, level: str, text: str, number: int) -> None:
        """Take one event."""
        t = time.localtime(self._clock())
        stamp = f"{time.strftime('%b', t)} {t.tm_mday:2d} {time.strftime('%H:%M:%S', t)}"
        prefix = "" if level == "info" else f"{level}: "
        priority = self._facility | self.LEVELS.get(level, 6)
        data = f"<{priority}>{stamp} {name}[{number}]: {prefix}{printable(text[:LINE_LIMIT])}"
        for _ in range(2):
            if self._socket is None:
                self._socket = self._connect()
            if self._socket is None:
                return
            try:
                self._socket.send(data.encode("utf-8", "surrogateescape"))
                return
            except OSError:
                self._socket.close()
                self._socket = None

    def flush(self) -> None:
        """Nothing waits."""
