"""Lines of a POP3 client, without I/O.

Bytes go in through receive(), lines come out of next_line(). A line longer than the limit comes
out once, cut, with too_long set; the rest of it is skipped however the bytes are cut.

Standards: RFC 1939 section 3; RFC 2449 section 4 (255 octets with CRLF).
"""


class LineReader:
    """One session's bytes."""

    __slots__ = ("_buffer", "_limit", "_skipping", "too_long")

    def __init__(self, limit: int, pending: bytes = b"") -> None:
        """limit: octets of a line with its CRLF. pending: bytes that came already."""
        self._buffer = pending
        self._limit = limit
        self._skipping = False
        self.too_long = False
        """Whether the line given out last is only the beginning of one that was too long."""

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def widen(self, limit: int) -> None:
        """Another limit for the lines to come: SASL responses may be longer than commands (RFC 5034 section 4)."""
        self._limit = limit

    def next_line(self) -> bytes | None:
        """The next line without its end; None when none is whole yet. A bare LF ends a line, too."""
        buffer = self._buffer
        if self._skipping:
            end = buffer.find(b"\n")
            if end < 0:
                self._buffer = b""
                return None
            self._buffer = buffer = buffer[end + 1 :]
            self._skipping = False
        end = buffer.find(b"\n", 0, self._limit)
        self.too_long = end < 0 and len(buffer) >= self._limit
        if self.too_long:
            self._skipping = True
            self._buffer = buffer[self._limit - 1 :]  # its last octet may be the LF that ends it
            return buffer[: self._limit - 1]
        if end < 0:
            return None
        self._buffer = buffer[end + 1 :]
        return buffer[:end].removesuffix(b"\r")

    @property
    def waiting(self) -> bool:
        """Whether a whole line is there already: replies are then held back and sent together."""
        return b"\n" in self._buffer

    def take(self) -> bytes:
        """Bytes behind the line given out last: for whoever goes on with the connection."""
        assert not self._skipping, "in the middle of a line"
        taken, self._buffer = self._buffer, b""
        return taken
