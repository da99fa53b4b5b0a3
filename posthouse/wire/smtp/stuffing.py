"""Dots doubled at the beginning of lines, for content in canonical form, in any cut.

Standards: RFC 5321 section 4.5.2.
"""


class DotStuffing:
    """One message's content on its way out."""

    __slots__ = ("_held", "_line_start")

    def __init__(self) -> None:
        self._held = b""
        self._line_start = True

    def feed(self, piece: bytes) -> bytes:
        """What a piece is on the wire; a CR at its end waits for what follows."""
        piece = self._held + piece if self._held else piece
        self._held = b"\r" if piece.endswith(b"\r") else b""
        if self._held:
            piece = piece[:-1]
        if not piece:
            return b""
        out = piece.replace(b"\r\n.", b"\r\n..")
        if self._line_start and piece.startswith(b"."):
            out = b"." + out
        self._line_start = piece.endswith(b"\r\n")
        return out

    def finish(self) -> bytes:
        """The end of data, with the line end that a last line lacks."""
        ended = self._line_start and not self._held
        return b".\r\n" if ended else b"\r\n.\r\n"
