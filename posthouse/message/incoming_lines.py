"""A message as a program writes it to sendmail: any line ends, an mbox From line, a lone dot.

What comes out is in canonical form (lines end in CRLF, no lone CR).

Standards: RFC 5322 section 2.1; RFC 5321 section 4.5.2 is why a lone dot ends a message unless told otherwise.
"""

from posthouse.message.header import canonical

_FROM_LINES = (b"From ", b">From ")


class IncomingLines:
    """Bytes in any cut in, canonical bytes out."""

    def __init__(self, *, dot_ends: bool) -> None:
        self._dot_ends = dot_ends
        self._tail = b""
        self._first = True
        self.ended = False
        """A lone dot came: the rest is not read."""

    def feed(self, data: bytes) -> bytes:
        """The complete lines among the bytes."""
        data = self._tail + data
        end = data.rfind(b"\n") + 1
        self._tail = data[end:]
        return self._lines(data[:end])

    def finish(self) -> bytes:
        """A last line that nothing ended."""
        tail, self._tail = self._tail, b""
        return self._lines(tail + b"\n") if tail and not self.ended else b""

    def _lines(self, data: bytes) -> bytes:
        if self.ended or not data:
            return b""
        data = canonical(data)
        while self._first and data:
            if data.startswith(_FROM_LINES):
                data = data[data.index(b"\n") + 1 :]
            else:
                self._first = False
        if self._dot_ends:
            at = 0 if data.startswith(b".\r\n") else data.find(b"\r\n.\r\n")
            if at >= 0:
                self.ended = True
                self._tail = b""
                return data[: at + 2] if at else (b"" if data.startswith(b".\r\n") else data[:2])
        return data
