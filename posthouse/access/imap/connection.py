"""One IMAP connection's bytes: responses gathered, commands read, commands counted.

The same object serves before and after login. Responses leave in one write when there is nothing
more to read; drain() is where a client that reads slowly slows us down.

Standards: RFC 3501 sections 2.2 and 5.4 (autologout timer).
"""

from posthouse.access.imap.settings import ImapdSettings
from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.wire.imap.reader import CommandReader, Continue, Event
from posthouse.wire.imap.response import untagged

HELD = 65_536
"""Octets of responses gathered before they are written."""

CONTINUE = b"+ OK\r\n"
"""RFC 3501 section 7.5; clients choke on a "+" without text."""


class SessionEnded(Exception):
    """The session is over; the text is for the log: "lost connection", "timeout", "too many errors", or ""."""


class Connection:
    """Stream, reader and counters of one client."""

    __slots__ = ("_held", "_out", "counters", "deadline", "errors", "reader", "settings", "stream", "timeout", "where")

    def __init__(
        self, stream: TcpStream, settings: ImapdSettings, *, line_limit: int, literal_limit: int, timeout: float
    ) -> None:
        self.stream = stream
        self.settings = settings
        self.reader = CommandReader(line_limit, literal_limit)
        self.timeout = timeout
        self.deadline: float | None = None
        """When reading ends whatever comes, by the loop's clock: strangers must log in by then."""
        self.counters: dict[str, list[int]] = {}
        self.errors = 0
        self.where = "CONNECT"
        self._out: list[bytes] = []
        self._held = 0

    # -- out ------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue part of a response."""
        self._out.append(data)
        self._held += len(data)

    @property
    def full(self) -> bool:
        """Whether enough is queued to be worth a drain()."""
        return self._held >= HELD

    def _write(self) -> None:
        if self._out:
            self.stream.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
            self._held = 0

    async def drain(self) -> None:
        """Send what is queued, and wait until the client has taken most of it. Raises SessionEnded."""
        self._write()
        try:
            await self.stream.drain(self.timeout)
        except StreamTimeout:
            raise SessionEnded("timeout") from None
        except StreamClosed:
            raise SessionEnded("lost connection") from None

    # -- in -------------------------------------------------------------------------------

    async def receive(self) -> None:
        """Read more for the reader. Raises SessionEnded."""
        if self._out:
            await self.drain()
        timeout = self.timeout
        if self.deadline is not None:
            timeout = min(timeout, self.deadline - self.stream.loop.time())
        try:
            if timeout <= 0:
                raise StreamTimeout  # whatever waits to be read
            data = await self.stream.read(timeout)
        except StreamTimeout:
            self.send(untagged("BYE", "Disconnected for inactivity."))
            self._write()
            raise SessionEnded("timeout") from None
        except StreamClosed:
            raise SessionEnded("lost connection") from None
        if not data:
            raise SessionEnded("lost connection")
        self.reader.receive(data)

    async def event(self) -> Event:
        """The next command, or part of APPEND; literals are asked for. Raises SessionEnded."""
        while True:
            event = self.reader.next_event()
            if event is None:
                await self.receive()
            elif isinstance(event, Continue):
                self.send(CONTINUE)
            else:
                return event

    async def line(self) -> bytes:
        """One line that is no command. Raises SessionEnded, ImapSyntaxError."""
        while (line := self.reader.next_line()) is None:
            await self.receive()
        return line

    @property
    def idle(self) -> bool:
        """Whether the client has sent nothing behind the command being answered."""
        return not self.reader.pending and not self.stream.buffered()

    # -- counts ---------------------------------------------------------------------------

    def count(self, verb: str, *, good: bool) -> None:
        """Count a command for the disconnect line."""
        counter = self.counters.setdefault(verb.lower().replace(" ", "-"), [0, 0])
        counter[1] += 1
        counter[0] += good

    def tally(self) -> str:
        """The counters: "login=1 fetch=3/4 commands=4/5"."""
        parts = []
        good = total = 0
        for verb, (well, all_) in self.counters.items():
            good += well
            total += all_
            parts.append(f"{verb}={well}" if well == all_ else f"{verb}={well}/{all_}")
        parts.append(f"commands={good}" if good == total and total else f"commands={good}/{total}")
        return " ".join(parts)

    async def refuse(self, tag: str, text: str, *, fatal: bool = False, status: str = "BAD") -> None:
        """BAD; too many in a row end the session. Raises SessionEnded."""
        self.errors += status == "BAD"
        self.send(f"{tag} {status} {text}.\r\n".encode("ascii", "replace"))
        if fatal or self.errors >= self.settings.imapd_hard_error_limit:
            self.send(untagged("BYE", "Too many invalid commands." if not fatal else "Cannot go on."))
            await self.drain()
            raise SessionEnded("too many errors")
