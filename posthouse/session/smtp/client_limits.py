"""How much one client address may do: connections at once, and events per time unit.

Postfix's anvil(8) counts for all processes; here one object counts for all sessions of a
worker. Rates are counted as anvil does: a client's counters start again when the time unit has
passed since they were started.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

CLIENTS_KEPT = 100_000
"""Addresses remembered at once: idle ones are forgotten first, at the end of their time unit."""


@dataclass(slots=True)
class _Counts:
    started: float
    open: int = 0
    events: dict[str, int] = field(default_factory=dict)


class ClientLimits:
    """The counters of one worker."""

    def __init__(self, clock: Callable[[], float], time_unit: float = 60.0) -> None:
        self._clock = clock
        self._unit = time_unit
        self._clients: dict[tuple[str, str], _Counts] = {}

    def _counts(self, service: str, address: str) -> _Counts:
        key = (service, address)
        now = self._clock()
        counts = self._clients.get(key)
        if counts is None:
            if len(self._clients) >= CLIENTS_KEPT:
                self._forget(now)
            counts = self._clients[key] = _Counts(now)
        elif now - counts.started >= self._unit:
            counts.started = now
            counts.events.clear()
        return counts

    def _forget(self, now: float) -> None:
        for key in [k for k, c in self._clients.items() if not c.open and now - c.started >= self._unit]:
            del self._clients[key]

    def connected(self, service: str, address: str) -> tuple[int, int]:
        """One more connection; gives (open ones, connections in this time unit)."""
        counts = self._counts(service, address)
        counts.open += 1
        rate = counts.events["connection"] = counts.events.get("connection", 0) + 1
        return counts.open, rate

    def disconnected(self, service: str, address: str) -> None:
        """One fewer."""
        counts = self._clients.get((service, address))
        if counts is not None and counts.open:
            counts.open -= 1
            if not counts.open and self._clock() - counts.started >= self._unit:
                del self._clients[(service, address)]

    def count(self, service: str, address: str, event: str) -> int:
        """One more message, recipient, auth or tls event; gives how many in this time unit."""
        counts = self._counts(service, address)
        number = counts.events[event] = counts.events.get(event, 0) + 1
        return number
