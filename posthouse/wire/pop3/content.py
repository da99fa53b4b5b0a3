"""Messages on the wire: a dot more before each line that begins with one, a line with one dot behind.

Content comes in canonical form (lines end in CRLF) in pieces of any size; one replace per piece.

Standards: RFC 1939 section 3.
"""


class DotStuffer:
    """Writes one message: stuff() for each piece, end() behind the last."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"
        """The last two octets written: the message begins at the start of a line."""

    def stuff(self, piece: bytes) -> bytes:
        """The piece as it is sent."""
        if not piece:
            return b""
        tail = self._tail
        stuffed = piece.replace(b"\r\n.", b"\r\n..")
        # a CRLF and its dot may lie in different pieces
        if (tail == b"\r\n" and piece[:1] == b".") or (tail[-1:] == b"\r" and piece[:2] == b"\n."):
            stuffed = stuffed.replace(b".", b"..", 1)
        self._tail = (tail + piece[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """What ends the message; a last line without its CRLF gets one."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def unstuff(data: bytes) -> bytes | None:
    """The message of a whole multi-line answer behind its status line, as a client reads it; None without its end."""
    if not data.endswith(b"\r\n.\r\n") and data != b".\r\n":
        return None
    lines = b"\r\n" + data[: -len(b".\r\n")]
    return lines.replace(b"\r\n.", b"\r\n")[2:]
