"""Connections to the servers of one table: which host, how many, how long they are kept.

Hosts are tried in random order, Unix sockets before addresses. A host that failed is left alone for a minute. A
connection is kept for the next lookup and closed when nobody has used it for a minute. Several lookups at once have
a connection each, up to a limit; the others wait.

A kept connection that turns out to be dead is replaced by a new one, once and silently: servers restart, and close
what is idle.

Standards: mysql_table(5) and pgsql_table(5), "hosts".
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

RETRY_SECONDS = 60.0
"""How long a host that failed is not tried, as Postfix's RETRY_CONN_INTV."""
IDLE_SECONDS = 60.0
"""How long an unused connection is kept, as Postfix's IDLE_CONN_INTV."""
CONNECTIONS = 4
"""To one table's servers at a time: more would only queue over there."""
CONNECT_SECONDS = 10.0
"""For a connection and the login."""
ANSWER_SECONDS = 60.0
"""For one answer: a query that takes longer than a minute is not a table."""

C = TypeVar("C")
T = TypeVar("T")


class ServerLost(Exception):
    """The connection broke. The text says how."""


class ServerRefused(Exception):
    """The server, or the way to it, says no: a login, a database, a query. The text is its own."""


@dataclass(slots=True)
class Host:
    """One place where the server may be."""

    text: str
    """As configured."""
    name: str
    """Host name, address, or the path of a socket."""
    port: int = 0
    local: bool = False
    """Whether it is a Unix socket."""
    down_until: float = 0.0


@dataclass(slots=True)
class _Kept(Generic[C]):
    host: Host
    connection: C
    since: float


class Servers(Generic[C]):
    """The hosts of one table, and the connections to them."""

    def __init__(
        self,
        hosts: Sequence[Host],
        connect: Callable[[Host], Awaitable[C]],
        close: Callable[[C], None],
        warn: Callable[[str], None],
        *,
        complain: Callable[[str, str], str],
        retry: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        choose: Callable[[Sequence[Host]], Host] = random.choice,
    ) -> None:
        """`connect` raises ServerLost or ServerRefused.

        `complain`: the warning that a host (as configured) cannot be reached because of a text. `retry` 0: each lookup
        tries, and none goes on after a failure.
        """
        self._hosts = tuple(hosts)
        self._connect = connect
        self._close = close
        self._warn = warn
        self._complain = complain
        self._retry = retry
        self._clock = clock
        self._choose = choose
        self._kept: list[_Kept[C]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, question: Callable[[C], Awaitable[T]], complain: Callable[[str, str], str]) -> T | None:
        """What a connection answers; None when no host does, after warnings.

        `question` raises ServerLost or ServerRefused; `complain` makes the warning from the host and the text.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A command's loops end between its lookups, and connections with them.
            self._kept.clear()
            self._loop, self._turns, self._timer = loop, asyncio.Semaphore(CONNECTIONS), None
        async with self._turns:
            while True:
                kept = self._take()
                fresh = kept is None
                if kept is None:
                    kept = await self._open()
                    if kept is None:
                        return None
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        answer = await question(kept.connection)
                except (ServerLost, ServerRefused, TimeoutError) as error:
                    self._close(kept.connection)
                    if not fresh and isinstance(error, ServerLost):
                        continue
                    self._down(kept.host, complain(kept.host.text, str(error) or "timeout"))
                    if not self._retry:
                        return None
                    continue
                except BaseException:
                    # Whoever waited has gone, and half an answer is still on its way.
                    self._close(kept.connection)
                    raise
                kept.since = self._clock()
                self._kept.append(kept)
                if self._timer is None:
                    self._timer = loop.call_later(IDLE_SECONDS, self._sweep)
                return answer

    def _take(self) -> _Kept[C] | None:
        self._drop_idle()
        return self._kept.pop() if self._kept else None

    def _drop_idle(self) -> None:
        limit = self._clock() - IDLE_SECONDS
        for kept in [kept for kept in self._kept if kept.since <= limit]:
            self._kept.remove(kept)
            self._close(kept.connection)

    def _sweep(self) -> None:
        self._timer = None
        self._drop_idle()
        if self._kept and self._loop is not None:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._sweep)

    async def _open(self) -> _Kept[C] | None:
        for local in (True, False):
            while True:
                now = self._clock()
                hosts = [host for host in self._hosts if host.local == local and host.down_until <= now]
                if not hosts:
                    break
                host = self._choose(hosts)
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return _Kept(host, await self._connect(host), now)
                except (ServerLost, ServerRefused) as error:
                    self._down(host, self._complain(host.text, str(error)))
                except TimeoutError:
                    self._down(host, self._complain(host.text, "timeout"))
                if not self._retry:
                    break
        return None

    def _down(self, host: Host, text: str) -> None:
        host.down_until = self._clock() + self._retry
        self._warn(text)

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kept in self._kept:
            self._close(kept.connection)
        self._kept.clear()
