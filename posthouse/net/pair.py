"""Two streams joined in memory: what one writes the other reads. For tests, the sandbox and explain.

The very class of the network is used, over a pipe instead of a socket, so that buffering,
deadlines and TLS behave as on a real connection.
"""

import asyncio

from posthouse.net.connection import TcpStream


class _PipeEnd(asyncio.Transport):
    """An asyncio transport that hands bytes to the other end in the next turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, own: tuple[str, int], other: tuple[str, int]) -> None:
        super().__init__({"peername": other, "sockname": own})
        self._loop = loop
        self._closing = False
        self._paused = False
        self._held: list[bytes] = []
        self.protocol: asyncio.Protocol | None = None
        self.other: _PipeEnd | None = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Memory is taken at once; nothing to limit."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over."""
        if not self._closing and self.other is not None and data:
            self._loop.call_soon(self.other.take, bytes(data))

    def take(self, data: bytes) -> None:
        """Bytes from the other end."""
        if self._closing or self.protocol is None:
            return
        if self._paused:
            self._held.append(data)
        else:
            self.protocol.data_received(data)

    def pause_reading(self) -> None:
        """Hold bytes back."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand over what was held back."""
        self._paused = False
        held, self._held = self._held, []
        for data in held:
            self.take(data)

    def is_closing(self) -> bool:
        """Whether close() was called."""
        return self._closing

    def close(self) -> None:
        """End both ways; the other end reads an end of file."""
        if self._closing:
            return
        self._closing = True
        if self.other is not None:
            self._loop.call_soon(self.other.ended)
        if self.protocol is not None:
            self._loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def ended(self) -> None:
        """The other end is gone."""
        if not self._closing and self.protocol is not None:
            self.protocol.eof_received()


def stream_pair(
    client: tuple[str, int] = ("127.0.0.1", 40000), server: tuple[str, int] = ("127.0.0.1", 25)
) -> tuple[TcpStream, TcpStream]:
    """(client's end, server's end), in a running loop."""
    loop = asyncio.get_running_loop()
    near, far = _PipeEnd(loop, client, server), _PipeEnd(loop, server, client)
    near.other, far.other = far, near
    ends = []
    for pipe in (near, far):
        stream = TcpStream(loop)
        pipe.protocol = stream
        stream.connection_made(pipe)
        ends.append(stream)
    return ends[0], ends[1]
