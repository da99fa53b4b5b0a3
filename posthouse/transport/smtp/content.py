"""Content on its way over the wire: dots doubled, over-long lines broken, line ends made whole.

Works by the chunk: one replace for the dots, one step per kilobyte for the line lengths; never a
step of Python per line. A CR at the end of a chunk waits for the next one, so that every cut of
the same content gives the same bytes.

Standards: RFC 5321 section 4.5.2 (transparency), 4.5.3.1.6 (998 octets; Postfix breaks a longer
line with CRLF SPACE), 2.3.8 (bare LF is no line end: it must not reach a server that thinks so).
"""

import re

BARE_LF = re.compile(rb"(?<!\r)\n")


class WireContent:
    """Transforms one message's content, chunk by chunk."""

    __slots__ = ("_column", "_held", "_limit", "_line_start", "broke")

    def __init__(self, line_length_limit: int) -> None:
        """line_length_limit: octets of a line without its CRLF; 0 means any length."""
        self._limit = line_length_limit
        self._column = 0
        self._line_start = True
        self._held = b""
        self.broke = False
        """Whether a line was broken."""

    def feed(self, chunk: bytes) -> bytes:
        """What the chunk is on the wire."""
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if chunk.endswith(b"\r"):
            self._held = b"\r"
            chunk = chunk[:-1]
        if not chunk:
            return b""
        if b"\n" in chunk.replace(b"\r\n", b""):  # cheaper than counting, measured
            chunk = BARE_LF.sub(b"\r\n", chunk)
        if self._limit:
            chunk = self._break_lines(chunk)
        out = chunk.replace(b"\r\n.", b"\r\n..")
        if self._line_start and chunk.startswith(b"."):
            out = b"." + out
        self._line_start = chunk.endswith(b"\n")
        return out

    def finish(self) -> bytes:
        """What is still missing before the final dot: the end of the last line."""
        held, self._held = self._held, b""
        if held or not self._line_start:
            self._line_start = True
            return b"\r\n"  # a lone CR at the very end becomes a line end
        return b""

    def _break_lines(self, chunk: bytes) -> bytes:
        # The last line end within the window starts the next window: lines in between are short enough.
        limit = self._limit
        size = len(chunk)
        start = 0
        column = self._column
        pieces: list[bytes] = []
        taken = 0
        while True:
            end = start + limit + 2 - column
            found = chunk.rfind(b"\n", start, end)
            if found >= 0:
                start = found + 1
                column = 0
                continue
            if size - start + column <= limit:
                column += size - start
                break
            cut = start + limit - column
            if chunk.startswith(b"\r\n", cut) and cut + 2 <= size:
                start = cut + 2
                column = 0
                continue
            pieces.append(chunk[taken:cut])
            taken = start = cut
            column = 1
        self._column = column
        if not pieces:
            return chunk
        self.broke = True
        pieces.append(chunk[taken:])
        return b"\r\n ".join(pieces)
