"""Replies out of a server's stream, with the patience that servers in the field need.

A line that is no reply line is skipped (debugging output slips into dialogues), and a line beyond
LINE_LIMIT is cut instead of ending the delivery, as is a reply of many lines. How much is skipped in one reply is
bounded. What was odd is told as complaints.

Standards: RFC 5321 sections 4.2.1 and 4.5.3.1.5.
"""

import re

from posthouse.wire.smtp.reply import LINE_LIMIT, RemoteProtocolError, Reply, parse_reply

LINES_LIMIT = 1000
"""Lines of one reply, skipped ones included."""
SHOWN = 30
"""Characters of what was too long that a complaint shows."""

# RFC 5321 section 4.2 has codes from 200 to 559 only; servers have others, which fail the command.
REPLY_LINE = re.compile(rb"[0-9]{3}(?:[ -]|\Z)")
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")


class ClientReplyReader:
    """Bytes in, replies out."""

    __slots__ = ("_buffer", "_count", "_cut", "_lines", "_size", "complaints", "skipped")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._size = 0
        """Octets of the lines that are kept of this reply."""
        self._count = 0
        """Lines since the last whole reply, skipped ones included."""
        self._cut = b""
        """The beginning of a line that is longer than LINE_LIMIT, while the rest is skipped."""
        self.complaints: list[str] = []
        """What was too long, for the log; the caller empties it."""
        self.skipped: list[tuple[int, str]] = []
        """Lines that were none, for the log, each with the number of lines of the reply that came before; the caller
        empties it."""

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None. Raises RemoteProtocolError when too many lines are none."""
        while (line := self.next_line()) is not None:
            reply = self.take(line)
            if reply is not None:
                return reply
        return None

    def next_line(self) -> bytes | None:
        """The next whole line, without its end, or None. Raises RemoteProtocolError."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                self._cut = self._cut or self._buffer[:LINE_LIMIT]
                self._buffer = b""
                self._count += 1  # an endless line is bounded like endless lines
                self._check()
            return None
        line = self._cut or self._buffer[: min(end, LINE_LIMIT)]
        if self._cut or end > LINE_LIMIT:
            self._complain(f"response longer than {LINE_LIMIT}:", line)
        self._buffer = self._buffer[end + 1 :]
        self._cut = b""
        return line.removesuffix(b"\r")

    def take(self, line: bytes) -> Reply | None:
        """A line, as it came or as a filter changed it; the reply that it ends. Raises RemoteProtocolError."""
        self._count += 1
        if not REPLY_LINE.match(line):
            self._check()
            if len(self.skipped) < LINES_LIMIT:
                self.skipped.append((len(self._lines), line.decode("utf-8", "surrogateescape")))
            return None
        more = line[3:4] == b"-"
        if self._size < LINE_LIMIT:  # the rest is left out
            self._lines.append(line)
            self._size += len(line)
            if self._size >= LINE_LIMIT and len(self._lines) > 1:
                self._complain(f"multi-line response longer than {LINE_LIMIT}", b"\n".join(self._lines))
        if not more:
            lines, self._lines, self._size = self._lines, [], 0
            self._count = 0
            if len(lines) == 1 and 0x32 <= line[0] <= 0x35:  # "2" to "5"
                return parse_reply(lines)
            return _patient(lines, line)
        self._check()
        return None

    def _complain(self, what: str, shown: bytes) -> None:
        if len(self.complaints) < LINES_LIMIT:
            text = shown[:SHOWN].decode("ascii", "replace")
            self.complaints.append(f"{what} {''.join(c if c.isprintable() else '?' for c in text)}...")

    def _check(self) -> None:
        if self._count >= LINES_LIMIT:
            raise RemoteProtocolError("reply has too many lines")


def _patient(lines: list[bytes], last: bytes) -> Reply:
    """The reply in these lines; the last one has code and status, whatever stands in the others."""
    texts = [line.decode("utf-8", "surrogateescape").replace("\n", " ") for line in lines]
    code = last[:3].decode()
    found = [match[1] if (match := _STATUS.match(text[4:])) is not None else "" for text in texts]
    status = found[-1] if found[-1][:1] == code[:1] else ""
    if len({text[:3] for text in texts}) == 1 and len(set(found)) == 1 and code[0] in "2345":
        return parse_reply(lines)
    return Reply(int(code), status, "\n".join(text[4:] for text in texts), "\n".join(texts))
