"""When to try again, and when to give up."""

from posthouse.queue.store import QueuedMessage
from posthouse.schedule.settings import ScheduleSettings

CLOCK_JUMP = 3600.0
"""A wall clock that moved by more than this since the last look was set by somebody: ages are not to be trusted yet."""


def next_attempt(now: float, arrival_time: float, settings: ScheduleSettings) -> float:
    """As long again as the message waited already, within its bounds."""
    waited = now - arrival_time
    return now + min(max(waited, settings.minimal_backoff_time), settings.maximal_backoff_time)


def is_expired(now: float, message: QueuedMessage, settings: ScheduleSettings) -> bool:
    """Whether a message stayed too long. Asked only after an attempt."""
    lifetime = settings.maximal_queue_lifetime if message.envelope.sender else settings.bounce_queue_lifetime
    return now >= message.arrival_time + lifetime


class ClockWatch:
    """Tells whether the wall clock was set: then nothing expires until one queue run later."""

    __slots__ = ("_offset", "_until")

    def __init__(self, now: float, steady: float) -> None:
        self._offset = now - steady
        self._until = float("-inf")

    def look(self, now: float, steady: float, queue_run_delay: float) -> None:
        """Compare the clocks."""
        offset = now - steady
        if abs(offset - self._offset) > CLOCK_JUMP:
            self._until = steady + queue_run_delay
        self._offset = offset

    def trusted(self, steady: float) -> bool:
        """Whether messages may expire now."""
        return steady >= self._until
