"""The listening sockets of the master: bound once, kept open over crashes and reloads, handed out to workers.

A process has a SO_REUSEPORT socket of its own for each endpoint, and the kernel divides the connections among
all that are open. So nobody may have one that no process serves: when a reload wants fewer processes, the
sockets that are left over go to those that stay, and close only with the endpoint. (Closing one would reset
the connections that wait in it.)
"""

import socket
from collections.abc import Callable

from posthouse.service.generation import Generation
from posthouse.service.listeners import Endpoint, Listener

Bind = Callable[[Endpoint], socket.socket]
"""Raises OSError."""


class BindFailed(Exception):
    """An address cannot be had. The text says which, and why."""


class BoundSockets:
    """All of them."""

    def __init__(self, claim: Callable[[Endpoint], None], bind: Bind) -> None:
        """`claim` makes sure that nobody else has an endpoint that is new to us. Raises OSError, as bind does."""
        self._claim = claim
        self._bind = bind
        self._bound: dict[Endpoint, list[socket.socket]] = {}
        self._settled: dict[Endpoint, int] = {}
        """How many of each the generation that settled last has."""

    def open(self, generation: Generation) -> None:
        """Bind what is missing for a generation, all or nothing. Raises BindFailed."""
        new: list[tuple[Endpoint, socket.socket]] = []
        for endpoint, (role, _) in generation.listeners.items():
            have = self._bound.setdefault(endpoint, [])
            try:
                if not have:
                    self._claim(endpoint)
                while len(have) < generation.roles[role]:
                    have.append(self._bind(endpoint))
                    new.append((endpoint, have[-1]))
            except OSError as error:
                for where, bound in new:  # nobody would accept what the kernel gave to them
                    bound.close()
                    self._bound[where].remove(bound)
                self._forget_empty()
                raise BindFailed(f"bind {endpoint.host} port {endpoint.port}: {error.strerror}") from error

    def of(self, generation: Generation, role: str, index: int) -> tuple[tuple[Listener, socket.socket], ...]:
        """What one process of a generation serves."""
        return tuple(
            (listener, bound)
            for endpoint, (serving, listener) in generation.listeners.items()
            if serving == role
            for number, bound in enumerate(self._bound[endpoint])
            if number % generation.roles[role] == index
        )

    def settle(self, generation: Generation) -> None:
        """This generation it is: close the endpoints that it does not want."""
        for endpoint in [endpoint for endpoint in self._bound if endpoint not in generation.listeners]:
            for bound in self._bound.pop(endpoint):
                bound.close()
        self._settled = {endpoint: len(sockets) for endpoint, sockets in self._bound.items()}

    def go_back(self) -> None:
        """The one that settled last it is: close what was opened since, which nobody serves any more."""
        for endpoint, sockets in self._bound.items():
            while len(sockets) > self._settled.get(endpoint, 0):
                sockets.pop().close()
        self._forget_empty()

    def _forget_empty(self) -> None:
        self._bound = {endpoint: sockets for endpoint, sockets in self._bound.items() if sockets}

    @property
    def all(self) -> tuple[socket.socket, ...]:
        """Each of them."""
        return tuple(bound for sockets in self._bound.values() for bound in sockets)

    def close(self) -> None:
        """Close all."""
        for bound in self.all:
            bound.close()
        self._bound.clear()
