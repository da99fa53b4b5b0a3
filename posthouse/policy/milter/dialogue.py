"""The bytes of one milter's connection: commands gather and leave together, answers come one by one.

Standards: none; libmilter's protocol.
"""

import os

from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.policy.milter.endpoint import Endpoint
from posthouse.wire.milter import command
from posthouse.wire.milter.command import NAMES as EVENTS
from posthouse.wire.milter.packet import PacketReader

BUFFERED = 131072
"""Bytes of unanswered commands that gather before they are sent: a few body chunks."""
END_OF_FILE = "Application error"
"""What Postfix says of a connection that the milter closed."""


class MilterFailed(Exception):
    """The milter cannot be used any more; the text is for the log."""


class Dialogue:
    """An open connection to a milter."""

    __slots__ = ("_buffer", "_endpoint", "_packets", "_stream")

    def __init__(self, endpoint: Endpoint, stream: Stream) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._packets = PacketReader()
        self._buffer: list[bytes] = []

    def say(self, data: bytes) -> None:
        """Packets to be sent before the next answer is waited for."""
        self._buffer.append(data)

    @property
    def full(self) -> bool:
        """Whether so much waits that it must leave though no answer is expected."""
        return sum(map(len, self._buffer)) > BUFFERED

    def flush(self) -> None:
        """Send what waits."""
        if self._buffer:
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._stream.write(data)

    async def drain(self, letter: bytes) -> None:
        """Send what waits and let it leave. Raises MilterFailed."""
        self.flush()
        try:
            await self._stream.drain(self._timeout(letter))
        except (StreamTimeout, StreamClosed) as error:
            raise MilterFailed(f"error writing command: {reason(error)}") from error

    async def answer(self, letter: bytes) -> tuple[bytes, bytes]:
        """Send what waits, read one packet. Raises MilterFailed, MilterProtocolError."""
        self.flush()
        timeout = self._timeout(letter)
        while (found := self._packets.next_packet()) is None:
            try:
                await self._stream.drain(timeout)
                data = await self._stream.read(timeout)
            except (StreamTimeout, StreamClosed) as error:
                raise MilterFailed(f"can't read {EVENTS[letter]} reply packet header: {reason(error)}") from error
            if not data:
                raise MilterFailed(f"can't read {EVENTS[letter]} reply packet header: {END_OF_FILE}")
            self._packets.receive_data(data)
        return found

    def close(self) -> None:
        """What waits is not sent any more."""
        self._buffer.clear()
        self._stream.close()

    def _timeout(self, letter: bytes) -> int:
        return self._endpoint.content_timeout if letter in command.CONTENT else self._endpoint.command_timeout


def reason(error: BaseException) -> str:
    """An error in the system's words."""
    if isinstance(error, StreamTimeout | TimeoutError):
        return "Connection timed out"
    if isinstance(error, StreamClosed):
        return "Connection reset by peer"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
