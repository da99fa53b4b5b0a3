"""A small loop over sockets and timers for the test programs: a tenth of asyncio's start, and quicker per message."""

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable

Action = Callable[[], None]


class Poll:
    """Runs actions when sockets can be read or when their time has come."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._stopped = False

    def stop(self) -> None:
        """Leave run()."""
        self._stopped = True

    def _is_over(self) -> bool:
        return self._stopped

    def watch(self, sock: socket.socket, ready: Action) -> None:
        """Call when there is something to read."""
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def watch_to_write(self, sock: socket.socket, ready: Action) -> None:
        """Call when there is room to write."""
        self._selector.register(sock, selectors.EVENT_WRITE, ready)

    def forget(self, sock: socket.socket) -> None:
        """Watch no more."""
        self._selector.unregister(sock)

    def later(self, seconds: float, action: Action) -> None:
        """Call once, in so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), action))

    def run(self) -> None:
        """Until stopped, or nothing is left to wait for."""
        while not self._is_over() and (self._timers or self._selector.get_map()):
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(wait):
                key.data()
                if self._is_over():
                    return
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
                if self._is_over():
                    return


def endpoints(text: str, family: int, *, listen: bool) -> list[tuple[int, object]]:
    """Families and addresses of [inet:][host]:port or unix:path. Raises OSError with text for the operator."""
    if text.startswith("unix:"):
        return [(socket.AF_UNIX, text[5:])]
    text = text.removeprefix("inet:")
    host, port = text, "smtp"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif ":" in text:
        host, _, port = text.rpartition(":")
    elif listen:
        host, port = "", text
    flags = socket.AI_PASSIVE if listen else 0
    try:
        found = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, 0, flags)
    except socket.gaierror as error:
        shown = f"{host}:{port}" if "Servname" in str(error.strerror) or "family" in str(error.strerror) else host
        raise OSError(f"{shown}: {error.strerror}") from error
    return [(one[0], one[4]) for one in found]
