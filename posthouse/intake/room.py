"""Whether the queue has room for one more message, before it is taken.

Standards: RFC 1870 section 6.1 (452 when there is no room now, 552 when there never will be).
"""

import os
import time
from collections.abc import Callable

from posthouse.envelope.verdict import Evidence
from posthouse.intake.transaction import Refused

SPACE_FACTOR = 1.5
"""Free space must be this many times message_size_limit: the largest message and what is being written beside it."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the disk: a burst asks once."""


def disk_space(path: str) -> Callable[[], int]:
    """Free bytes on the file system of a folder."""

    def look() -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    return look


class Room:
    """Free space against queue_minfree and message_size_limit."""

    def __init__(
        self,
        message_size_limit: int,
        minfree: int,
        free: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = message_size_limit
        self._minfree = minfree
        self._free = free
        self._clock = clock
        self._looked = -LOOK_EVERY
        self._space = 0

    def refused(self, size: int) -> Refused | None:
        """Why a message of that size (0: not known) is not taken, or None."""
        if self._limit and size > self._limit:
            return Refused(552, "5.3.4", "Message size exceeds fixed limit")
        now = self._clock()
        if now - self._looked >= LOOK_EVERY:
            self._space, self._looked = self._free(), now
        if self._space <= self._minfree or self._space < max(self._limit, size) * SPACE_FACTOR:
            short = Evidence("queue_minfree", fact=f"{self._space} bytes < {SPACE_FACTOR:g}*message size limit")
            return Refused(452, "4.3.1", "Insufficient system storage", (short,))
        return None
