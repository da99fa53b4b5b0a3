"""Answers kept for as long as their TTL allows, and no longer than the named limits.

Standards: RFC 1035 section 7.4; RFC 2308 section 5 (negative answers live as long as the SOA says).
"""

from collections import OrderedDict
from collections.abc import Callable

from posthouse.dns.resolver import Answer

ENTRY_LIMIT = 20_000
"""Answers kept: about 10 MB at most. The one unused longest goes first."""
POSITIVE_LIMIT = 3600.0
"""Seconds at most for an answer with records, so that a wrong record does not outlive the operator's patience."""
NEGATIVE_LIMIT = 900.0
"""Seconds at most for an answer without records (RFC 2308 section 5 suggests one to three hours; mail wants less)."""


class AnswerCache:
    """Answers by (name, type)."""

    __slots__ = ("_clock", "_entries", "_limit")

    def __init__(self, clock: Callable[[], float], limit: int = ENTRY_LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Answer | None:
        """The answer, or None when there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: tuple[str, str], answer: Answer, ttl: float) -> None:
        """Keep an answer for `ttl` seconds within the limits."""
        ttl = min(ttl, POSITIVE_LIMIT if answer.records else NEGATIVE_LIMIT)
        if ttl <= 0:
            return
        self._entries[key] = (self._clock() + ttl, answer)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: other servers may answer otherwise."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
