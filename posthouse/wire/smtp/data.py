"""The content of a message as DATA and BDAT carry it, turned into canonical form.

Only <CRLF>.<CRLF> ends the data (RFC 5321 section 4.1.1.4): <LF>.<CRLF>, <LF>.<LF> and
<CR>.<CR> never do, so no message can be smuggled inside another. A bare LF becomes CRLF, for
content is lines; a bare CR stays what it is. Dots are taken off by one replace per chunk: no
code runs per line.

Standards: RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2; RFC 3030 section 2.
"""

import re

END = b"\r\n.\r\n"

# What the end of a chunk may be the beginning of: a line end, a dot, the end of data.
_OPEN = re.compile(rb"(?:\r?\n(?:\.\r?)?|\r)\Z")
_OPEN_LIMIT = 4
"""Bytes held back at most: all of END but its last."""


def whole_line_ends(piece: bytes) -> bytes:
    """Bare LFs made CRLF. Two replaces: a pattern's substitution took 2 s for 9 MB of line ends, which is no text."""
    return piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _unstuffed(piece: bytes) -> bytes:
    """Without stuffed dots. Behind a bare LF, which is no line end to a client that keeps rules, a dot counts as
    stuffed only before another one."""
    piece = piece.replace(b"\r\n.", b"\r\n")
    # What still stands behind CRLF gets one dot more, to lose just that one.
    return piece.replace(b"\r\n.", b"\r\n..").replace(b"\n..", b"\n.")


class DataReader:
    """Reads content up to the end of data, in any cut."""

    __slots__ = ("_held", "_start", "ended", "leftover", "lines_received", "received")

    def __init__(self) -> None:
        self._held = b"\r\n"  # the line end of the DATA command: ".\r\n" may follow at once
        self._start = 2
        self.ended = False
        self.leftover = b""
        """What followed the end of data: the next commands."""
        self.received = 0
        """Bytes taken from the network, end of data included."""
        self.lines_received = 0
        """Bytes of whole lines among them: what the log says of a connection that broke."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes; gives content in canonical form, possibly none. When `ended`, the rest is in leftover."""
        line_end = data.rfind(b"\n")
        if line_end >= 0:
            self.lines_received = self.received + line_end + 1
        self.received += len(data)
        buffer = self._held + data
        end = buffer.find(END)
        if end >= 0:
            self.ended = True
            self.leftover = buffer[end + 5 :]
            self.received -= len(self.leftover)
            self._held = b""
            piece = buffer[: end + 2]
        else:
            open_end = _OPEN.search(buffer, max(0, len(buffer) - _OPEN_LIMIT))
            cut = len(buffer) if open_end is None else open_end.start()
            self._held = buffer[cut:]
            piece = buffer[:cut]
        if not piece:
            return b""
        if b"\n" in piece.replace(b"\r\n", b""):  # cheaper than counting, measured
            piece = whole_line_ends(_unstuffed(piece))
        elif b"\r\n." in piece:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self._start:
            piece, self._start = piece[self._start :], 0
        return piece


class ChunkReader:
    """Reads the chunks of BDAT: counted bytes, no dots. Line ends are made CRLF all the same."""

    __slots__ = ("_held", "_last")

    def __init__(self) -> None:
        self._held = b""
        self._last = b"\n"

    def receive(self, data: bytes) -> bytes:
        """Take bytes of a chunk; gives content in canonical form."""
        buffer = self._held + data
        self._held = b""
        if buffer.endswith(b"\r"):
            self._held, buffer = b"\r", buffer[:-1]
        if not buffer:
            return b""
        self._last = buffer[-1:]
        if buffer.count(b"\n") != buffer.count(b"\r\n"):
            buffer = whole_line_ends(buffer)
        return buffer

    def finish(self) -> bytes:
        """After the last chunk: what was held back, and the line end that a message must have."""
        held, self._held = self._held, b""
        if held:
            return held + b"\n"
        return b"" if self._last == b"\n" else b"\r\n"
