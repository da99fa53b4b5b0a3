"""SMTP replies: three digits, a status code, text in one or more lines.

Standards: RFC 5321 section 4.2 and 4.2.1 (form, continuation lines); RFC 2034 (status codes in
replies); RFC 3463 section 2.
"""

import functools
import re
from collections.abc import Sequence

from posthouse.envelope.value import value

LINE_LIMIT = 2048
"""Bytes in one reply line: four times RFC 5321 section 4.5.3.1.5's 512, for wordy servers."""
LINES_LIMIT = 100
"""Lines in one reply; an EHLO of today has about 15."""
KNOWN_LINES = 1024
"""Replies of one line that are remembered: servers say the same few all day."""

# RFC 5321 section 4.2:
# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)
# RFC 3463 section 2: status-code = class "." subject "." detail
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")


class RemoteProtocolError(Exception):
    """The peer broke the protocol; the text says how."""


@value
class Reply:
    """One reply. text has its lines parted by "\\n"; status "" where none is sent (greeting, EHLO, 354)."""

    code: int
    status: str
    text: str
    odd: str = ""
    """The lines as they came, parted by "\\n", where each has a code or a status of its own; or ""."""

    def lines(self) -> list[str]:
        """The lines as they go over the wire, without CRLF."""
        if self.odd:
            return self.odd.split("\n")
        texts = self.text.split("\n")
        status = f"{self.status} " if self.status else ""
        lines = [f"{self.code}-{status}{text}" for text in texts[:-1]]
        lines.append(f"{self.code} {status}{texts[-1]}")
        return lines

    def __bytes__(self) -> bytes:
        """The reply on the wire; text that is no ASCII goes as UTF-8 (RFC 6531 section 3.7.4.1)."""
        return ("\r\n".join(self.lines()) + "\r\n").encode("utf-8", "surrogateescape")

    @property
    def enhanced_status(self) -> str:
        """The status code: the reply's own, one that stands in its text, or x.0.0 by the first digit."""
        if self.status:
            return self.status
        found = _STATUS.match(self.text)
        if found is not None and found[1][0] == str(self.code)[0]:
            return found[1]
        return f"{self.code // 100}.0.0"


@functools.lru_cache(KNOWN_LINES)
def _parse_line(line: bytes) -> Reply:
    return _parse((line,))


def parse_reply(lines: Sequence[bytes]) -> Reply:
    """The reply in these lines (without line ends), the last one final. Raises RemoteProtocolError."""
    return _parse_line(lines[0]) if len(lines) == 1 else _parse(lines)


def _parse(lines: Sequence[bytes]) -> Reply:
    code = b""
    texts = []
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            raise RemoteProtocolError(f"malformed reply: {line[:80].decode('ascii', 'backslashreplace')}")
        code = found[1]  # RFC 5321 section 4.2.1 wants the same in each line; the last one decides, as in Postfix
        texts.append((found[3] or b"").decode("utf-8", "surrogateescape").replace("\n", " "))
    if not texts:
        raise RemoteProtocolError("empty reply")
    statuses = {match[1] if (match := _STATUS.match(text)) is not None else "" for text in texts}
    status = statuses.pop()
    if statuses or status[:1] != code[:1].decode():
        status = ""
    if status:
        texts = [text[len(status) + 1 :] for text in texts]
    return Reply(int(code), status, "\n".join(texts))


class ReplyReader:
    """Cuts replies out of a stream of bytes."""

    __slots__ = ("_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None. Raises RemoteProtocolError on a malformed, too long or endless one."""
        while True:
            end = self._buffer.find(b"\n", 0, LINE_LIMIT + 1)
            if end < 0:
                if len(self._buffer) > LINE_LIMIT:
                    raise RemoteProtocolError("reply line too long")
                return None
            line = self._buffer[:end]
            self._buffer = self._buffer[end + 1 :]
            self._lines.append(line[:-1] if line.endswith(b"\r") else line)
            if line[3:4] != b"-":
                lines, self._lines = self._lines, []
                return parse_reply(lines)
            if len(self._lines) >= LINES_LIMIT:
                raise RemoteProtocolError("reply has too many lines")

    @property
    def leftover(self) -> bytes:
        """Bytes that belong to no whole reply yet."""
        return self._buffer
