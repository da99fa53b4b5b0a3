"""Replies out of a server's stream, with the patience that servers in the field need.

A line that is no reply line is skipped (debugging output slips into dialogues), and a line beyond
LINE_LIMIT is cut instead of ending the delivery. How much is skipped in one reply is bounded.

Standards: RFC 5321 sections 4.2.1 and 4.5.3.1.5.
"""

import re

from posthouse.wire.smtp.reply import LINE_LIMIT, LINES_LIMIT, RemoteProtocolError, Reply, parse_reply

# RFC 5321 section 4.2: Reply-code = %x32-35 %x30-35 %x30-39, then SP, "-" or the end of the line
REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -]|\Z)")


class ClientReplyReader:
    """Bytes in, replies out."""

    __slots__ = ("_buffer", "_count", "_cut", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._count = 0
        """Lines since the last whole reply, skipped ones included."""
        self._cut = b""
        """The beginning of a line that is longer than LINE_LIMIT, while the rest is skipped."""

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None. Raises RemoteProtocolError when too many lines are none."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > LINE_LIMIT:
                    self._cut = self._cut or self._buffer[:LINE_LIMIT]
                    self._buffer = b""
                    self._count += 1  # an endless line is bounded like endless lines
                    self._check()
                return None
            line = self._cut or self._buffer[: min(end, LINE_LIMIT)]
            self._buffer = self._buffer[end + 1 :]
            self._cut = b""
            self._count += 1
            line = line.removesuffix(b"\r")
            if not REPLY_LINE.match(line):
                self._check()
                continue
            self._lines.append(line)
            if line[3:4] != b"-":
                lines, self._lines = self._lines, []
                self._count = 0
                return parse_reply(lines)
            self._check()

    def _check(self) -> None:
        if self._count >= LINES_LIMIT:
            raise RemoteProtocolError("reply has too many lines")
