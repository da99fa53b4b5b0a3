"""Sets of numbers: sequence numbers or uids, as "1:4,7,9:*".

    sequence-set = (seq-number / seq-range) *("," sequence-set)
    seq-range    = seq-number ":" seq-number
    seq-number   = nz-number / "*"
    "$"          the last saved search result (RFC 5182)

Standards: RFC 3501 section 9 (sequence-set); RFC 4315 section 4 (uid-set); RFC 5182 section 2.1.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from posthouse.wire.imap.error import ImapSyntaxError

# Ranges of one set. Clients that list a mailbox number by number stay below it within the line limit.
RANGE_LIMIT = 20_000

NUMBER_LIMIT = 0xFFFF_FFFF

_SET = re.compile(rb"\A(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*\Z")  # fmt: skip  # noqa: E501


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as given; 0 stands for "*"."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False
    """"$": the saved result instead of numbers."""

    def resolved(self, largest: int) -> list[tuple[int, int]]:
        """Low and high of each range, "*" as the largest number in use (0: nothing is)."""
        found = []
        for first, last in self.ranges:
            first, last = first or largest, last or largest
            found.append((first, last) if first <= last else (last, first))
        return found

    def among(self, numbers: Sequence[int]) -> list[int]:
        """Those of the ascending numbers that are in the set, ascending."""
        if not numbers:
            return []
        pieces = []
        for low, high in merged(self.resolved(numbers[-1])):
            pieces.append(numbers[bisect_left(numbers, low) : bisect_right(numbers, high)])
        return list(pieces[0]) if len(pieces) == 1 else [number for piece in pieces for number in piece]


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def parse_sequence_set(text: bytes) -> SequenceSet:
    """A set as text. Raises ImapSyntaxError."""
    if text == b"$":
        return SequenceSet((), saved=True)
    if _SET.match(text) is None:
        raise ImapSyntaxError("Invalid message set")
    words = text.split(b",")
    if len(words) > RANGE_LIMIT:
        raise ImapSyntaxError("Too many ranges in message set")
    ranges = []
    for word in words:
        first, colon, last = word.partition(b":")
        low = 0 if first == b"*" else int(first)
        high = low if not colon else 0 if last == b"*" else int(last)
        if low > NUMBER_LIMIT or high > NUMBER_LIMIT:
            raise ImapSyntaxError("Invalid message set")
        ranges.append((low, high))
    return SequenceSet(tuple(ranges))


def gaps(numbers: Sequence[int], low: int, high: int) -> list[tuple[int, int]]:
    """Ranges of [low, high] in which none of the ascending numbers is."""
    found = []
    for number in numbers[bisect_left(numbers, low) : bisect_right(numbers, high)]:
        if number > low:
            found.append((low, number - 1))
        low = number + 1
    if low <= high:
        found.append((low, high))
    return found


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Ranges as a set."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in ranges).encode("ascii")


def format_set(numbers: Iterable[int]) -> bytes:
    """Numbers as a set in the order given, neighbours joined: what COPYUID, APPENDUID and ESEARCH want."""
    pieces: list[str] = []
    first = last = 0
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            pieces.append(str(first) if first == last else f"{first}:{last}")
        first = last = number
    if first:
        pieces.append(str(first) if first == last else f"{first}:{last}")
    return ",".join(pieces).encode("ascii")
