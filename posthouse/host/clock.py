"""Time as an argument.

Rooms that wait or stamp take a Clock, so that a test is exact and never sleeps. The wall
clock may jump; the steady one never goes back.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now(self) -> float:
        """Seconds since the epoch, with microseconds."""

    def steady(self) -> float:
        """Seconds since some moment; never jumps."""


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def steady(self) -> float:
        """The monotonic clock."""
        return time.monotonic()


class VirtualClock:
    """A clock that stands still until it is moved: for tests."""

    __slots__ = ("_now", "_steady")

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._steady = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def steady(self) -> float:
        """Seconds moved in all, jumps left out."""
        return self._steady

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._steady += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock: what NTP or an operator does."""
        self._now += seconds
