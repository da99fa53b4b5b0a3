"""Connections kept open between two messages for one nexthop.

A connection is kept when it pays: others are on their way to the same nexthop now, or have been
within the last second (smtp_connection_cache_on_demand), or the nexthop is named in
smtp_connection_cache_destinations. It waits smtp_connection_cache_time_limit at most and serves
no longer than the reuse limits say. A server that hangs up meanwhile is noticed at the next use.

Standards: RFC 5321 section 4.5.4.1 (many messages on one connection).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.settings import SmtpSettings

BURST = 3
"""Messages for a nexthop within BURST_SECONDS that make it worth keeping its connections: Postfix, too, keeps none for
a pair."""
BURST_SECONDS = 1.0
LEAVE_LIMIT = 1000
"""Goodbyes being waited for; beyond that connections are just closed."""


class Demand:
    """How much goes to one nexthop just now."""

    __slots__ = ("recent", "running")

    def __init__(self) -> None:
        self.running = 0
        self.recent: deque[float] = deque(maxlen=BURST)


class SessionCache:
    """The kept connections of one transport."""

    def __init__(self, settings: SmtpSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: dict[str, deque[tuple[float, Connection]]] = {}
        self._demand: dict[str, Demand] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    def begin(self, key: str) -> None:
        """A message for this key is on its way."""
        demand = self._demand.get(key)
        if demand is None:
            demand = self._demand[key] = Demand()
        demand.running += 1
        demand.recent.append(self._clock())

    def end(self, key: str) -> None:
        """It is done."""
        self._demand[key].running -= 1
        if self._timer is None:
            self._schedule(BURST_SECONDS)  # what nobody asks for any more is forgotten then

    def take(self, key: str) -> Connection | None:
        """A kept connection, the one used last first, or None."""
        waiting = self._kept.get(key)
        if not waiting:
            return None
        now = self._clock()
        while waiting:
            _, connection = waiting.pop()
            if connection.stream.buffered() or not self._within_limits(connection, now):
                self.leave(connection)
                continue
            if not waiting:
                del self._kept[key]
            return connection
        del self._kept[key]
        return None

    def give_back(self, key: str, connection: Connection, *, always: bool = False) -> None:
        """Keep a connection that is ready for the next message, or say goodbye to it. `always`: whatever is on its
        way."""
        now = self._clock()
        if not connection.usable or not (always or self._wanted(key, now)) or not self._within_limits(connection, now):
            self.leave(connection)
            return
        waiting = self._kept.get(key)
        if waiting is None:
            waiting = self._kept[key] = deque()
        limit = self._settings.smtp_connection_cache_time_limit
        waiting.append((now + limit, connection))
        if self._timer is None:
            self._schedule(limit)

    def leave(self, connection: Connection) -> None:
        """Say goodbye, in the background where the answer is awaited."""
        if not connection.say_quit():
            return
        if len(self._leaving) >= LEAVE_LIMIT:
            connection.stream.close()
            return
        task = asyncio.get_running_loop().create_task(connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Say goodbye to all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._kept.values():
            for _, connection in waiting:
                self.leave(connection)
        self._kept.clear()
        if self._leaving:
            await asyncio.wait(set(self._leaving), timeout=1.0)

    def _wanted(self, key: str, now: float) -> bool:
        if not self._settings.smtp_connection_cache_on_demand:
            return False
        demand = self._demand.get(key)
        if demand is None:
            return False
        recent = demand.recent
        return demand.running >= BURST or (len(recent) == BURST and now - recent[0] <= BURST_SECONDS)

    def _within_limits(self, connection: Connection, now: float) -> bool:
        settings = self._settings
        count = settings.smtp_connection_reuse_count_limit
        return (count <= 0 or connection.uses <= count) and (
            now - connection.opened < settings.smtp_connection_reuse_time_limit
        )

    def _schedule(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock()
        for key, waiting in list(self._kept.items()):
            while waiting and waiting[0][0] <= now:
                self.leave(waiting.popleft()[1])
            if not waiting:
                del self._kept[key]
        for key, demand in list(self._demand.items()):
            if not demand.running and (not demand.recent or now - demand.recent[-1] > BURST_SECONDS):
                del self._demand[key]
        if self._kept or self._demand:
            earliest = min((waiting[0][0] for waiting in self._kept.values()), default=now + BURST_SECONDS)
            self._schedule(max(0.05, earliest - now))
