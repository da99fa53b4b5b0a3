"""Connecting and serving, over TCP and Unix sockets.

connect() raises OSError as the system gives it, or StreamTimeout. A listener accepts on a
socket that somebody else bound and keeps; at its limit of connections it stops accepting, so
that further ones wait in the kernel's queue, as they do for Postfix when a service has
reached maxproc. When descriptors run out it pauses for a second instead of spinning.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from posthouse.net.connection import TcpStream, address_of
from posthouse.net.stream import Address, StreamClosed, StreamTimeout

ACCEPT_BURST = 64
"""Connections taken in one turn of the loop: enough for a burst, few enough that sessions go on meanwhile."""
PAUSE_WITHOUT_DESCRIPTORS = 1.0
"""Seconds to wait when accept() fails: another connection must end first."""
CONNECTION_LIMIT = 10000
"""Connections of one listener where nobody named a limit; the system's own limit on descriptors is usually lower."""


class Accepted(socket.socket):
    """An accepted connection, whose family and type are its listener's: socket.socket would make enums of their numbers
    each time somebody asks, a sixth of what a connection costs."""

    __slots__ = ()
    type = socket.SOCK_STREAM


class AcceptedTcp4(Accepted):
    """IPv4."""

    __slots__ = ()
    family = socket.AF_INET


class AcceptedTcp6(Accepted):
    """IPv6."""

    __slots__ = ()
    family = socket.AF_INET6


class AcceptedUnix(Accepted):
    """A local socket."""

    __slots__ = ()
    family = socket.AF_UNIX


EVERYWHERE = ("0.0.0.0", "::")
"""Addresses of a socket that takes connections for all of the machine's."""

ACCEPTED = {kind.family: kind for kind in (AcceptedTcp4, AcceptedTcp6, AcceptedUnix)}

OnStream = Callable[[TcpStream], Awaitable[None]]


class Listener:
    """One listening socket being served. The socket stays open when the listener closes; leave() closes it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_stream: OnStream,
        limit: int,
        on_error: Callable[[OSError], None] | None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_stream = on_stream
        self._family = sock.family
        self._accepted = ACCEPTED[self._family]
        bound = address_of(sock.getsockname())
        self._local: Address | None = None if bound.host in EVERYWHERE else bound
        """Our end of every connection, where the socket is bound to one address."""
        self._limit = limit
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._closed = False
        sock.setblocking(False)
        self._resume()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    def close(self) -> None:
        """Accept no more. Sessions go on."""
        self._closed = True
        self._pause()

    def leave(self) -> None:
        """Take what waits in the socket, for it may be that nobody else will; accept no more, and close the socket in
        this process. Sessions go on."""
        if not self._closed:
            self._accept()
            self.close()
            self._sock.close()

    def abort(self) -> None:
        """Accept no more and cancel every session."""
        self.close()
        for task in self._tasks:
            task.cancel()

    async def wait(self, timeout: float) -> bool:
        """Wait until every session has ended; False when some have not in time."""
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(set(self._tasks), timeout=timeout)
        return not pending

    def _resume(self) -> None:
        if not self._accepting and not self._closed and len(self._tasks) < self._limit:
            self._accepting = True
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._sock.fileno())

    def _accept(self) -> None:
        for _ in range(ACCEPT_BURST):
            if len(self._tasks) >= self._limit:
                self._pause()
                return
            try:
                descriptor, name = self._sock._accept()  # type: ignore[attr-defined]  # what accept() is made of; typeshed hides it
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause()
                if self._on_error is not None:
                    self._on_error(error)
                self._loop.call_later(PAUSE_WITHOUT_DESCRIPTORS, self._resume)
                return
            connection = self._accepted(self._family, socket.SOCK_STREAM, 0, descriptor)
            task = self._loop.create_task(self._serve(connection, address_of(name)))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _serve(self, connection: socket.socket, peer: Address) -> None:
        stream = TcpStream(self._loop, peer, self._local)
        try:
            await self._loop.connect_accepted_socket(lambda: stream, connection)
        except OSError:
            connection.close()
            return
        try:
            await self._on_stream(stream)
        except (StreamClosed, StreamTimeout):
            pass
        finally:
            stream.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._resume()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a session broke off", "exception": error, "task": task})


async def start_server(
    sock: socket.socket,
    on_stream: OnStream,
    *,
    limit: int = CONNECTION_LIMIT,
    on_error: Callable[[OSError], None] | None = None,
) -> Listener:
    """Serve a bound, listening socket (TCP or Unix): one task per connection runs on_stream(stream); the stream is
    closed when it returns. An exception out of it is a defect and goes to the loop's exception handler."""
    return Listener(asyncio.get_running_loop(), sock, on_stream, limit, on_error)


async def connect(host: str, port: int, *, timeout: float, local_address: str | None = None) -> TcpStream:
    """Connect to a numeric address. local_address is where from (smtp_bind_address), or None."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, stream = await loop.create_connection(
                lambda: TcpStream(loop),
                host,
                port,
                local_addr=None if local_address is None else (local_address, 0),
            )
    except TimeoutError as error:
        raise StreamTimeout from error
    return stream


async def connect_unix(path: str, *, timeout: float) -> TcpStream:
    """Connect to a Unix socket."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, stream = await loop.create_unix_connection(lambda: TcpStream(loop), path)
    except TimeoutError as error:
        raise StreamTimeout from error
    return stream
