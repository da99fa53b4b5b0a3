"""What was said on one connection, for a notice to postmaster (notify_classes = protocol).

Standards: RFC 5321 section 4.2.1: a reply of the kind x0z says that our side, or theirs, does not keep to the protocol.
"""

from collections.abc import Sequence

from posthouse.wire.smtp.reply import Reply
from posthouse.wire.smtp.transcript_line import LINES_LIMIT, printable, without_secret


class Transcript:
    """Grows by one entry for each command and reply; the content of messages is no part of it."""

    __slots__ = ("said", "wrong")

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        """"In" or "Out", and a line."""
        self.wrong = False
        """Whether the dialogue had an error of protocol."""

    def sent(self, commands: bytes) -> None:
        """One command of ours or several, with their line ends."""
        for line in commands.decode("utf-8", "replace").splitlines():
            self._add("Out", without_secret(line))

    def heard(self, reply: Reply | None, noise: Sequence[tuple[int, str]]) -> None:
        """A reply of theirs, or none; `noise`: lines between its lines that are no reply, each with its place."""
        self.wrong = self.wrong or bool(noise)
        lines = [] if reply is None else reply.lines()
        for place, line in reversed(noise):
            lines.insert(place, line)
        for line in lines:
            self._add("In", line)

    def judge(self, code: int) -> None:
        """A reply that made something fail: is it one of protocol?"""
        if not 400 <= code <= 599 or code == 555 or 500 <= code < 510:
            self.wrong = True

    def clear(self) -> None:
        """It has been told."""
        self.said.clear()
        self.wrong = False

    def _add(self, side: str, line: str) -> None:
        if len(self.said) < LINES_LIMIT:
            self.said.append((side, printable(line)))
