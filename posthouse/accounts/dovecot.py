"""Logins that a Dovecot server decides (smtpd_sasl_type = dovecot).

One connection carries the exchanges of all sessions of a process, told apart by their numbers. It is
made when it is first needed and anew when it is gone; what was being asked meanwhile fails for
now, and so does what is asked while nobody listens. The mechanisms of the last handshake stay
known while the server is away, so that clients are told to try later and not that there is no AUTH.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable

from posthouse.accounts.account import AccountRetry
from posthouse.config.error import ConfigError
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.wire.dovecot_auth import (
    Challenged,
    Denied,
    DovecotDialogue,
    DovecotProtocolError,
    Event,
    Granted,
    Greeted,
    Mechanism,
    auth_line,
    cancel_line,
    continue_line,
    handshake,
)

CONNECT_TIMEOUT = 10.0
"""Seconds for connection and handshake, as Postfix has it."""
ANSWER_TIMEOUT = 30.0
"""Seconds for an answer: Dovecot holds back a refusal for up to 17 s to slow down who guesses."""
READ_TIMEOUT = 3600.0
"""Seconds between looks at a silent connection: an idle server has nothing to say."""
IN_FLIGHT_LIMIT = 100
"""Questions that wait for their answer at once: each costs the server a hash."""
WAITING_LIMIT = 1000
"""Further ones that wait for their turn; beyond that clients are told to try later."""
RETRY_DELAY = 1.0
"""Seconds before the connection is tried again after it could not be made: many sessions, one attempt."""
PIDS = 22
"""Bits of a process id on Linux: above them we count connections, for an id must not come twice."""

LOST = "Connection lost to authentication server"
UNREACHABLE = "Can't connect to authentication server"

_connections = itertools.count()


class DovecotExchange:
    """One client's exchange."""

    def __init__(self, server: "DovecotServer", mechanism: str, parameters: tuple[tuple[str, str | None], ...]) -> None:
        self._server = server
        self._mechanism = mechanism
        self._parameters = parameters
        self._number = 0
        self._connection: _Connection | None = None

    async def begin(self, initial: str | None) -> Challenged | Granted | Denied:
        """The client's first word, in base64, or None. Raises AccountRetry."""
        async with self._server.turn():
            self._connection = await self._server.connected()
            self._number = self._connection.new_number()
            line = auth_line(self._number, self._mechanism, self._parameters, initial)
            return await self._connection.ask(self._number, line)

    async def go_on(self, response: str) -> Challenged | Granted | Denied:
        """The client's response, in base64. Raises AccountRetry."""
        assert self._connection is not None
        async with self._server.turn():
            return await self._connection.ask(self._number, continue_line(self._number, response))

    def cancel(self) -> None:
        """The client gave up."""
        if self._connection is not None:
            self._connection.cancel(self._number)


class DovecotServer:
    """The server at one smtpd_sasl_path, as one process sees it."""

    def __init__(self, path: str, open_stream: Callable[[], Awaitable[Stream]], warn: Callable[[str], None]) -> None:
        self._path = path
        self._open_stream = open_stream
        self._warn = warn
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._failed_until = 0.0
        self._turns = asyncio.Semaphore(IN_FLIGHT_LIMIT)
        self._waiting = 0
        self.known: tuple[Mechanism, ...] = ()
        """The mechanisms of the last handshake."""

    async def mechanisms(self) -> tuple[Mechanism, ...]:
        """What the server runs, or last ran: nobody waits for one that is away. () when it never answered."""
        if not self.known:
            try:
                await self.connected()
            except AccountRetry:
                pass
        return self.known

    def exchange(self, mechanism: str, parameters: tuple[tuple[str, str | None], ...]) -> DovecotExchange:
        """An exchange, not yet begun. `parameters` are the words of AUTH: service, lip, rip, secured, …"""
        return DovecotExchange(self, mechanism, parameters)

    def turn(self) -> "_Turn":
        """One question's turn."""
        return _Turn(self)

    async def take_turn(self) -> None:
        """Wait until there may be one question more. Raises AccountRetry when too many wait."""
        if self._waiting >= WAITING_LIMIT:
            raise AccountRetry("too many logins at once")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1

    def give_turn(self) -> None:
        """An answer came."""
        self._turns.release()

    async def connected(self) -> "_Connection":
        """The connection, made if need be. Raises AccountRetry."""
        connection = self._connection
        if connection is not None and not connection.lost:
            return connection
        async with self._connecting:
            connection = self._connection
            if connection is not None and not connection.lost:
                return connection
            now = asyncio.get_running_loop().time()
            if now < self._failed_until:
                raise AccountRetry(UNREACHABLE)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    self._connection = connection = await _connect(await self._open_stream())
            except (OSError, StreamTimeout, StreamClosed, TimeoutError, DovecotProtocolError) as error:
                self._failed_until = asyncio.get_running_loop().time() + RETRY_DELAY
                self._warn(self._complaint(error))
                raise AccountRetry(UNREACHABLE) from error
            self.known = connection.mechanisms
            connection.start(self._warn)
            return connection

    def _complaint(self, error: Exception) -> str:
        if isinstance(error, DovecotProtocolError):
            return f"SASL: {error}"
        reason = "Connection timed out"
        if isinstance(error, StreamClosed):
            reason = "Connection reset by peer"
        elif isinstance(error, OSError) and not isinstance(error, TimeoutError):
            reason = os.strerror(error.errno) if error.errno else str(error)
        return f"SASL: Connect to Dovecot auth socket '{self._path}' failed: {reason}"

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Turn:
    """A question's turn, as a context."""

    __slots__ = ("_server",)

    def __init__(self, server: DovecotServer) -> None:
        self._server = server

    async def __aenter__(self) -> None:
        await self._server.take_turn()

    async def __aexit__(self, *_: object) -> None:
        self._server.give_turn()


async def _connect(stream: Stream) -> "_Connection":
    """The handshake. Raises DovecotProtocolError, StreamTimeout, StreamClosed."""
    dialogue = DovecotDialogue()
    try:
        stream.write(handshake(next(_connections) % 512 << PIDS | os.getpid()))
        while True:
            data = await stream.read(CONNECT_TIMEOUT)
            if not data:
                raise StreamClosed
            for event in dialogue.receive_data(data):
                if isinstance(event, Greeted):
                    return _Connection(stream, dialogue, event)
    except BaseException:
        stream.abort()
        raise


class _Connection:
    """A connection after its handshake; its reader gives each answer to whoever waits for it."""

    def __init__(self, stream: Stream, dialogue: DovecotDialogue, greeted: Greeted) -> None:
        self.mechanisms = greeted.mechanisms
        self.lost = False
        self._cancels = greeted.cancels
        self._stream = stream
        self._dialogue = dialogue
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Challenged | Granted | Denied]] = {}
        self._reader: asyncio.Task[None] | None = None

    def start(self, warn: Callable[[str], None]) -> None:
        """Read until the connection ends."""
        self._reader = asyncio.get_running_loop().create_task(self._read(warn))

    def new_number(self) -> int:
        """The number of a new exchange."""
        return next(self._numbers)

    async def ask(self, number: int, line: bytes) -> Challenged | Granted | Denied:
        """Send a line, wait for the answer. Raises AccountRetry."""
        if self.lost:
            raise AccountRetry(LOST)
        answer: asyncio.Future[Challenged | Granted | Denied] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._stream.write(line)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._stream.drain(ANSWER_TIMEOUT)
                return await answer
        except (TimeoutError, StreamTimeout) as error:
            self.cancel(number)
            raise AccountRetry(LOST) from error
        except StreamClosed as error:
            raise AccountRetry(LOST) from error
        finally:
            self._waiting.pop(number, None)

    def cancel(self, number: int) -> None:
        """Nobody waits for this exchange any more."""
        if self._cancels and not self.lost:
            self._stream.write(cancel_line(number))

    async def _read(self, warn: Callable[[str], None]) -> None:
        try:
            while True:
                try:
                    data = await self._stream.read(READ_TIMEOUT)
                except StreamTimeout:
                    continue
                if not data:
                    return
                for event in self._dialogue.receive_data(data):
                    self._tell(event)
        except StreamClosed:
            pass
        except DovecotProtocolError as error:
            warn(f"SASL: {error}")
        finally:
            self._end()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Greeted):
            return
        waiting = self._waiting.get(event.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(event)

    def _end(self) -> None:
        self.lost = True
        self._stream.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AccountRetry(LOST))

    def close(self) -> None:
        """End it."""
        if self._reader is not None:
            self._reader.cancel()
        self._end()


def dovecot_stream(path: str, queue_directory: str) -> Callable[[], Awaitable[Stream]]:
    """How to connect to smtpd_sasl_path: a path (in queue_directory unless it is absolute), unix:path or
    inet:host:port. Raises ConfigError."""
    from posthouse.net.tcp import connect_unix

    kind, colon, rest = path.partition(":")
    if colon and kind == "inet":
        return _inet(rest, path)
    name = rest if colon and kind == "unix" else path
    if not name:
        raise ConfigError("bad parameter smtpd_sasl_path: no path")
    where = name if name.startswith("/") else f"{queue_directory}/{name}"

    async def open_unix() -> Stream:
        return await connect_unix(where, timeout=CONNECT_TIMEOUT)

    return open_unix


def _inet(rest: str, path: str) -> Callable[[], Awaitable[Stream]]:
    from posthouse.net.tcp import connect

    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"bad parameter smtpd_sasl_path: {path}: need inet:host:port")
    number = int(port)

    async def open_inet() -> Stream:
        found = await asyncio.get_running_loop().getaddrinfo(host, number, proto=6)
        failure: OSError | StreamTimeout = OSError(f"host not found: {host}")
        for *_, address in found:
            try:
                return await connect(str(address[0]), number, timeout=CONNECT_TIMEOUT)
            except (OSError, StreamTimeout) as error:
                failure = error
        raise failure

    return open_inet
