"""Queue ids: names that are given once.

Short form (10 to 12 upper-case hex digits): five digits of microseconds, then a number.
Long form (enable_long_queue_ids): seconds in at least six base-52 digits, microseconds in
four, "z", the number in base 51. Both are Postfix's forms, so that its log readers know them.

Numbers come in blocks that a shard's owner reserves durably before it gives the first of
them away: a crash loses the rest of a block, never gives one twice. The short form has room
for 28 bits of the number; what is above (the lap) replaces the low bits of the microseconds,
so that 68,000 million ids pass before the first could come again. number_of() gets the
number back: it is the key of the message's row.
"""

import os
import re

from posthouse.host.durable import write_durable
from posthouse.host.locks import take_lock

BLOCK = 1 << 16
"""Numbers reserved at a time: one sync per 65,536 messages, and at most so many lost by a crash."""

SHORT_NUMBER_BITS = 28
"""Seven hex digits: with the five of microseconds a short id has at most twelve."""

LAP_BITS = 8
LATELY = 4096
"""Blocks behind the counter that a running worker may still give ids from: 268 million messages back."""
NUMBER_LIMIT = 1 << (SHORT_NUMBER_BITS + LAP_BITS)

BASE52 = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_VALUE = {digit: value for value, digit in enumerate(BASE52)}

# What the queue commands take for an id at all; Postfix looks at the characters only.
_ANY = re.compile(r"[0-9A-Za-z]{1,100}")
# Postfix's own short ids may be shorter than ours: it writes small inode numbers without zeros in front.
_SHORT = re.compile(r"[0-9A-F]{6,12}")
_LONG = re.compile(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{1,9}")


def digits52(value: int, base: int, width: int) -> str:
    """A number in base 51 or 52, zero-filled."""
    out = ""
    while value:
        value, rest = divmod(value, base)
        out = BASE52[rest] + out
    return out.rjust(width, "0")


def short_id(microseconds: int, number: int) -> str:
    """The short form of a number."""
    lap = number >> SHORT_NUMBER_BITS
    low = number & ((1 << SHORT_NUMBER_BITS) - 1)
    stamp = (microseconds & ~((1 << LAP_BITS) - 1)) | lap
    return f"{stamp:05X}{low:05X}"


def long_id(seconds: int, microseconds: int, number: int) -> str:
    """The long form of a number."""
    return f"{digits52(seconds, 52, 6)}{digits52(microseconds, 52, 4)}z{digits52(number, 51, 1)}"


def number_of(queue_id: str) -> int | None:
    """The number in an id of ours; None when it cannot be one."""
    if _SHORT.fullmatch(queue_id):
        return (int(queue_id[:5], 16) & ((1 << LAP_BITS) - 1)) << SHORT_NUMBER_BITS | int(queue_id[5:], 16)
    if _LONG.fullmatch(queue_id):
        number = 0
        for digit in queue_id[queue_id.rindex("z") + 1 :]:
            number = number * 51 + _VALUE[digit]
        return number if number < NUMBER_LIMIT else None
    return None


def is_queue_id(text: str) -> bool:
    """Whether a command may take this for a queue id: letters and digits, not too many."""
    return _ANY.fullmatch(text) is not None


def read_aside(path: str) -> set[int]:
    """The blocks that are set aside beside a counter."""
    try:
        with open(path + ".aside", "rb") as file:
            return {int(line) for line in file.read().split() if line.isdigit()}
    except FileNotFoundError:
        return set()


class NumberSource:
    """Numbers that were never given before, from blocks reserved in a file beside the shards."""

    __slots__ = ("_end", "_next", "_path")
    # Beside the counter lies PATH.aside: blocks that ids of another queue fall into (queue/staged.py). They are never
    # given out, so that a number has one message and a block one shard.

    def __init__(self, path: str) -> None:
        self._path = path
        self._next = 0
        self._end = 0

    def reserve(self) -> None:
        """Reserve a block: durable before the first of its numbers is given."""
        lock = take_lock(self._path + ".lock", wait=True)
        assert lock is not None
        try:
            self._next = self._read()
            aside = read_aside(self._path)
            while self._next // BLOCK in aside:
                self._next = (self._next + BLOCK) % NUMBER_LIMIT
            self._end = self._next + BLOCK
            write_durable(self._path, b"%d\n" % (self._end % NUMBER_LIMIT))
        finally:
            lock.release()

    def set_aside(self, blocks: set[int], used: set[int]) -> set[int]:
        """Keep blocks for ids that come from another queue; durable on return. Gives those that could be had.

        `used` are blocks in which messages lie now; blocks reserved lately may be in use too. What was set aside
        before, and holds no message any more, is free again.
        """
        lock = take_lock(self._path + ".lock", wait=True)
        assert lock is not None
        try:
            counter = -1
            if os.path.exists(self._path):
                counter = self._read() // BLOCK
            lately = NUMBER_LIMIT // BLOCK
            aside = read_aside(self._path) & used
            had = {
                block
                for block in blocks
                if block not in used and (counter < 0 or (counter - 1 - block) % lately >= LATELY)
            }
            write_durable(self._path + ".aside", "".join(f"{block}\n" for block in sorted(aside | had)).encode())
            return had
        finally:
            lock.release()

    def _read(self) -> int:
        try:
            with open(self._path, "rb") as file:
                start = int(file.read())
        except (FileNotFoundError, ValueError):
            # Lost: begin where no earlier block is likely to have been. Folders change at least once per start.
            start = int(os.stat(os.path.dirname(self._path)).st_mtime) % (NUMBER_LIMIT // BLOCK) * BLOCK
        return start if 0 <= start < NUMBER_LIMIT else 0

    def next(self) -> int:
        """The next number."""
        if self._next == self._end:
            self.reserve()
        number = self._next
        self._next = number + 1
        return number
