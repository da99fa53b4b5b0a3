"""Command lines and replies of one POP3 connection: what both halves of a session talk through.

Replies gather while whole commands wait to be read and leave in one write (RFC 2449 section 6.8,
PIPELINING). Each command has one deadline, however its bytes come. RFC 1939 section 3: a client
that is silent for too long is cut off without an answer, and nothing is deleted.
"""

import math
import time
from collections.abc import Callable

from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.wire.pop3.lines import LineReader
from posthouse.wire.pop3.reply import Reply, error

OCTETS_HELD = 65_536
"""Replies gathered for one write at most: a client that sends commands and never reads costs no more."""
SASL_LINE_LIMIT = 12_288
"""Octets of a SASL response (RFC 4954 section 4 gives the number; RFC 5034 section 4 wants responses to fit)."""
SHOWN = 30
"""Characters of an overlong line that are logged."""


class SessionEnded(Exception):
    """The session is over; the text is for the log: "lost connection", "timeout", "too many errors", or ""."""


class Conversation:
    """One connection's lines."""

    __slots__ = (
        *("_clock", "_held", "_limit", "_out", "_timeout", "_until"),
        *("errors_left", "lines", "stream", "tally", "where"),
    )

    def __init__(
        self,
        stream: Stream,
        settings: Pop3dSettings,
        *,
        pending: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
        patience: float = math.inf,
    ) -> None:
        """pending: bytes that were read from the stream already. patience: seconds that the whole may take."""
        self.stream = stream
        self._until = clock() + patience
        self.lines = LineReader(settings.pop3d_line_length_limit, pending)
        self.where = "CONNECT"
        """The last command, for the log."""
        self.tally: dict[str, tuple[int, int]] = {}
        """Commands that succeeded, and all, by verb in lower case."""
        self.errors_left = settings.pop3d_hard_error_limit
        self._timeout = float(settings.pop3d_timeout)
        self._limit = settings.pop3d_line_length_limit
        self._clock = clock
        self._out: list[bytes] = []
        self._held = 0

    def send(self, data: bytes) -> None:
        """Queue bytes; they leave when there is nothing more to read."""
        self._out.append(data)
        self._held += len(data)

    async def flush(self) -> None:
        """Send what is queued and wait until the client takes it. Raises SessionEnded."""
        if not self._out:
            return
        self.stream.write(b"".join(self._out))
        self._out.clear()
        self._held = 0
        try:
            await self.stream.drain(self._timeout)
        except StreamTimeout:
            raise SessionEnded("timeout") from None
        except StreamClosed:
            raise SessionEnded("lost connection") from None

    async def flush_full(self) -> None:
        """Send when enough has gathered: between the pieces of a message. Raises SessionEnded."""
        if self._held > OCTETS_HELD:
            await self.flush()

    async def answer(self, reply: Reply | bytes, verb: str) -> None:
        """Queue the reply to a command and count it. Raises SessionEnded when it was one error too many."""
        good = not isinstance(reply, Reply) or reply.positive
        self.count(verb, good=good)
        self.send(bytes(reply))
        if not good:
            self.errors_left -= 1
            if self.errors_left <= 0:
                self.send(bytes(error("Too many errors")))
                await self.flush()
                raise SessionEnded("too many errors")
        await self.flush_full()

    def count(self, verb: str, *, good: bool) -> None:
        """One more command of a verb for the disconnect line."""
        succeeded, total = self.tally.get(verb, (0, 0))
        self.tally[verb] = (succeeded + good, total + 1)

    async def next_line(self) -> bytes:
        """The next command line, perhaps cut (lines.too_long). Raises SessionEnded."""
        if self._clock() >= self._until:
            raise SessionEnded("timeout")
        deadline: float | None = None
        while (line := self.lines.next_line()) is None:
            await self.flush()
            now = self._clock()
            if deadline is None:
                deadline = min(now + self._timeout, self._until)
            try:
                data = await self.stream.read(max(deadline - now, 0.001))
            except StreamTimeout:
                raise SessionEnded("timeout") from None
            except StreamClosed:
                raise SessionEnded("lost connection") from None
            if not data:
                raise SessionEnded("lost connection")
            self.lines.receive(data)
        return line

    async def next_response(self) -> bytes | None:
        """The next line of a SASL exchange; None when it is too long. Raises SessionEnded."""
        self.lines.widen(SASL_LINE_LIMIT)
        try:
            line = await self.next_line()
        finally:
            self.lines.widen(self._limit)
        return None if self.lines.too_long else line

    def begin_again(self) -> None:
        """TLS stands now: what came in plain text behind STLS is forgotten (RFC 2595 section 4)."""
        self.lines = LineReader(self._limit)
