"""One connection over a TCP or Unix socket: an asyncio Protocol behind the Stream seam.

Bytes gather as they come and read() hands over all of them; above READ_HIGH the socket is
left alone until the reader has caught up. Writes of one turn of the loop leave together.
One timer per connection serves all its deadlines: it is only moved when it fires early, for
a timer per read costs more than the read. TLS is a layer inside (net/tls_layer.py).

Errors: StreamTimeout and StreamClosed from reads and drains.
"""

import asyncio
import socket
import ssl
import struct
from collections import deque
from typing import cast

from posthouse.net.stream import Address, StreamClosed, StreamTimeout, TlsFailed, TlsInfo
from posthouse.net.tls_layer import TlsLayer

READ_HIGH = 262144
"""Unread bytes at which a connection stops reading: one large packet burst, and no more memory than that per peer."""
WRITE_HIGH = 131072
"""Unsent bytes at which drain() begins to wait."""
CLOSE_LINGER = 60.0
"""Seconds that a closed connection may take to send its last bytes."""


NOWHERE = Address("", 0)


def address_of(name: object) -> Address:
    """What the system calls an end of a connection."""
    if isinstance(name, tuple):
        return Address(str(name[0]), int(name[1]))
    return NOWHERE


class TcpStream(asyncio.Protocol):
    """One connection; implements Stream. Made by connect(), start_server() or stream_pair()."""

    __slots__ = (
        "_chunks",
        "_deadline",
        "_drainer",
        "_eof",
        "_flushing",
        "_handshaking",
        "_local",
        "_lost",
        "_out",
        "_paused",
        "_peer",
        "_size",
        "_ticks_at",
        "_timer",
        "_tls",
        "_tls_info",
        "_touched",
        "_transport",
        "_unwritable",
        "_waiter",
        "loop",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, peer: Address | None = None, local: Address | None = None
    ) -> None:
        """Ends that are not given are asked for: a call to the system each, and as much as reading a packet."""
        self.loop = loop
        self._transport: asyncio.Transport | None = None
        self._peer = peer
        self._local = local
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticks_at = 0.0
        self._deadline: float | None = None
        self._tls: TlsLayer | None = None
        self._tls_info: TlsInfo | None = None
        self._handshaking = self._paused = self._unwritable = self._flushing = False
        self._eof = self._lost = self._touched = False

    # -- what asyncio calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        if self._peer is None:
            self._peer = address_of(transport.get_extra_info("peername"))
        if self._local is None:
            self._local = address_of(transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        layer = self._tls
        if layer is not None:
            layer.feed(data)
            if self._handshaking:
                self._wake()
                return
            try:
                data = layer.read()
            except TlsFailed:
                self.abort()
                return
            answer = layer.ciphertext()  # key updates and alerts
            if answer and self._transport is not None:
                self._transport.write(answer)
            if layer.ended:
                self._eof = True
                self._wake()
            if not data:
                return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > READ_HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        waiter = self._waiter  # _wake(), once per packet
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def eof_received(self) -> bool:
        """The peer will send no more; what we still have to say may go out."""
        if self._tls is not None:
            self._tls.feed_eof()
        self._eof = True
        self._wake()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        self._transport = None
        self._out.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Too much is unsent."""
        self._unwritable = True

    def resume_writing(self) -> None:
        """Enough has been sent."""
        self._unwritable = False
        drainer, self._drainer = self._drainer, None
        if drainer is not None and not drainer.done():
            drainer.set_result(None)

    # -- the seam -------------------------------------------------------------------------

    @property
    def peer(self) -> Address:
        """The other end."""
        return self._peer or NOWHERE

    @property
    def local(self) -> Address:
        """Our end."""
        return self._local or NOWHERE

    @property
    def tls(self) -> TlsInfo | None:
        """None in plain text."""
        return self._tls_info

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._lost or self._transport is None

    def peer_credentials(self) -> tuple[int, int, int] | None:
        """Process, user and group number at the other end of a Unix socket (SO_PEERCRED), or None."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return None
        pid, uid, gid = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        return pid, uid, gid

    async def read(self, timeout: float) -> bytes:
        """Whatever has come, at least one byte; b"" at end of file."""
        chunks = self._chunks
        while not chunks:
            if self._eof:
                if self._out:
                    self._flush()
                return b""
            if self._lost or self._transport is None:
                raise StreamClosed
            if self._out:
                self._flush()
            assert self._waiter is None, "two readers on one stream"
            self._arm(timeout)  # here and not in _wait(): a coroutine less for every read
            waiter = self._waiter = self.loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
                self._deadline = None
        self._touched = True
        if len(chunks) == 1:
            data = chunks.popleft()
        else:
            data = b"".join(chunks)
            chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent; they leave at the next read or drain, or at the end of this turn of the loop."""
        if self._transport is None or not data:
            return
        self._touched = True
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush_later)

    def send(self, data: bytes) -> bool:
        """Send at once, with what is queued: for the last bytes before a wait, which need no turn of the loop then.
        False when too much is unsent or the connection is gone: drain() tells."""
        self._touched = True
        if self._out or self._tls is not None or self._transport is None:
            self._out.append(data)
            self._flush()
        else:  # nearly every reply and command
            self._transport.write(data)
        return not self._unwritable and self._transport is not None

    async def drain(self, timeout: float) -> None:
        """Wait until little enough is unsent."""
        self._flush()
        if self._lost or self._transport is None:
            raise StreamClosed
        if self._unwritable:
            self._drainer = self.loop.create_future()
            handle = self.loop.call_later(timeout, self._drain_late, self._drainer)
            try:
                await self._drainer
            finally:
                handle.cancel()
                self._drainer = None
            if self._lost:
                raise StreamClosed

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str = "",
        timeout: float,
        session: ssl.SSLSession | None = None,
    ) -> TlsInfo:
        """Hand-shake. Plaintext read ahead is discarded (RFC 3207 section 4.2: no injection), except where nothing was
        read or written yet: then it is the handshake's own beginning (implicit TLS)."""
        if self._transport is None:
            raise StreamClosed
        self._flush()
        early = b"" if self._touched else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        layer = self._tls = TlsLayer(context, server_side=server_side, server_name=server_name, session=session)
        self._handshaking = True
        self._touched = True
        if early:
            layer.feed(early)
        deadline = self.loop.time() + timeout
        try:
            while True:
                try:
                    done = layer.handshake()
                finally:
                    answer = layer.ciphertext()  # an alert, too, must reach the peer
                    if answer and self._transport is not None:
                        self._transport.write(answer)
                if done:
                    break
                if self._eof:
                    raise TlsFailed("lost connection")
                if self._lost or self._transport is None:
                    raise TlsFailed("lost connection")
                await self._wait(deadline - self.loop.time())
        finally:
            self._handshaking = False
        self._tls_info = layer.info(verified=context.verify_mode is ssl.CERT_REQUIRED)
        self.data_received(b"")  # application data may have come with the last flight
        return self._tls_info

    def tls_session(self) -> ssl.SSLSession | None:
        """What a later connection may go on with."""
        return None if self._tls is None else self._tls.session()

    def tls_chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer has shown."""
        return () if self._tls is None else self._tls.chain()

    def unread(self, data: bytes) -> None:
        """Give back bytes that belong to what comes next; a handshake may begin with them (implicit TLS)."""
        if data:
            self._chunks.appendleft(data)
            self._size += len(data)
        self._touched = False

    def buffered(self) -> bool:
        """Whether bytes wait to be read."""
        return bool(self._chunks)

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is None:
            return
        self._flush()
        if self._tls is not None and not self._handshaking:
            self._transport.write(self._tls.close())
        if self._unwritable or self._transport.get_write_buffer_size():
            self.loop.call_later(CLOSE_LINGER, self.abort)  # a peer that takes nothing must not keep us for ever
        self._transport.close()
        self._eof = True
        self._wake()

    def abort(self) -> None:
        """Close at once."""
        self._out.clear()
        if self._transport is not None:
            self._transport.abort()
        self._eof = True
        self._wake()

    # -- inside ---------------------------------------------------------------------------

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _arm(self, timeout: float) -> None:
        """The deadline of the wait that begins now."""
        deadline = self._deadline = self.loop.time() + timeout
        timer = self._timer
        if timer is None or self._ticks_at > deadline:
            if timer is not None:
                timer.cancel()
            self._timer = self.loop.call_at(deadline, self._tick)
            self._ticks_at = deadline

    async def _wait(self, timeout: float) -> None:
        assert self._waiter is None, "two readers on one stream"
        self._arm(timeout)
        waiter = self._waiter = self.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None
            self._deadline = None

    def _tick(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None:
            return
        if self.loop.time() + 0.0005 < deadline:  # half a millisecond: clocks of loops are that coarse
            self._timer = self.loop.call_at(deadline, self._tick)
            self._ticks_at = deadline
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(StreamTimeout())

    def _drain_late(self, drainer: asyncio.Future[None]) -> None:
        if not drainer.done():
            drainer.set_exception(StreamTimeout())

    def _flush_later(self) -> None:
        self._flushing = False
        if self._out:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if not out or self._transport is None:
            out.clear()
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if self._tls is not None:
            data = self._tls.write(data)
        self._transport.write(data)
