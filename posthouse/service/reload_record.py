"""What became of reloads: written by the master, read by `postfix reload`, which waits for it.

queue_directory/pid/master.reload, three lines: how many reloads began, how many ended (in new workers, or in a
failure), and why the last one that ended failed ("" when it did not). A reload that began after the reader's
first look has read the configuration that the reader means. Only the master's user can write there.
"""

import os
from dataclasses import dataclass

SIZE_LIMIT = 16384
"""Bytes of the file: two numbers and a reason, which was one message of a worker at most."""


@dataclass(frozen=True, slots=True)
class ReloadRecord:
    """The state of it."""

    begun: int = 0
    ended: int = 0
    failure: str = ""

    def __bytes__(self) -> bytes:
        return f"{self.begun}\n{self.ended}\n{' '.join(self.failure.split())}\n".encode("utf-8", "surrogateescape")


def parse_reload_record(data: bytes) -> ReloadRecord | None:
    """The record of these bytes, or None when they are none."""
    lines = data.split(b"\n", 3)
    if len(lines) < 3 or not all(line.isdigit() and len(line) < 19 for line in lines[:2]):
        return None
    return ReloadRecord(int(lines[0]), int(lines[1]), lines[2].decode("utf-8", "surrogateescape"))


def _path(queue_directory: str) -> str:
    return os.path.join(queue_directory, "pid", "master.reload")


def read_reload_record(queue_directory: str) -> ReloadRecord:
    """What is written down; nothing is as if nothing had begun."""
    try:
        with open(_path(queue_directory), "rb") as file:
            return parse_reload_record(file.read(SIZE_LIMIT)) or ReloadRecord()
    except OSError:
        return ReloadRecord()


def write_reload_record(queue_directory: str, record: ReloadRecord) -> None:
    """Write it down, whole or not at all. Raises OSError."""
    path = _path(queue_directory)
    with open(f"{path}.new", "wb") as file:
        file.write(bytes(record))
    os.rename(f"{path}.new", path)
