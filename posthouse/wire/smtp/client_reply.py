"""Replies as an SMTP or LMTP client reads them, without I/O.

ReplyReader takes bytes in any cut and gives whole replies. A line that is no reply line is
skipped, as deployed clients do: some servers let debugging output slip into the dialogue. What
is skipped and what a reply may be long are bounded, so that hostile bytes end in
RemoteProtocolError and never in memory.

Standards: RFC 5321 sections 4.2 and 4.5.3.1.5; RFC 2034 and RFC 3463 (enhanced status codes).
"""

import re
from dataclasses import dataclass

LINE_LIMIT = 2048
"""Bytes of one reply line that are kept; RFC 5321 section 4.5.3.1.5 says 512, real servers explain at length."""
REPLY_LIMIT = 65536
"""Bytes of one reply with everything skipped before it: a server that sends more is not talking SMTP."""

# RFC 5321 section 4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
REPLY_LINE = re.compile(rb"([0-9]{3})([ -]?)(.*)", re.DOTALL)
# RFC 3463 section 2: status-code = class "." subject "." detail
STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")


class RemoteProtocolError(Exception):
    """The server does not speak the protocol. The text says how."""


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """One reply of a server."""

    code: int
    text: str
    """The whole reply as it came, its lines joined by one blank: "552-5.3.4 too big 552 5.3.4 really"."""
    lines: tuple[str, ...]
    """The lines without code and separator."""
    enhanced: str = ""
    """The RFC 3463 code in it when its class fits the reply code, or ""."""

    @property
    def status(self) -> str:
        """The enhanced code, or the class with ".0.0"."""
        return self.enhanced or f"{self.code // 100}.0.0"


def clean(text: str) -> str:
    """Text that may go into logs and notices: every control or undecodable character is "?"."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


def parse_reply(lines: list[bytes]) -> RemoteReply:
    """A reply from its lines without line ends. Each line must match REPLY_LINE."""
    words = [clean(line[:LINE_LIMIT].decode("utf-8", "replace")) for line in lines]
    code = int(lines[-1][:3])
    texts = tuple(word[4:] for word in words)
    enhanced = ""
    for text in reversed(texts):
        found = STATUS.match(text)
        if found and found[1][0] == words[-1][0]:
            enhanced = found[1]
            break
    return RemoteReply(code, " ".join(words), texts, enhanced)


class ReplyReader:
    """Bytes in, replies out."""

    __slots__ = ("_buffer", "_lines", "_seen")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._seen = 0

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def unread(self) -> bool:
        """Whether bytes wait that belong to no reply given out yet."""
        return bool(self._buffer or self._lines)

    def discard(self) -> None:
        """Forget what waits (STARTTLS, RFC 3207 section 4.2: nothing said before the handshake counts after it)."""
        self._buffer = b""
        self._lines.clear()
        self._seen = 0

    def next_reply(self) -> RemoteReply | None:
        """The next whole reply, or None when more bytes are needed. Raises RemoteProtocolError."""
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) + self._seen > REPLY_LIMIT:
                    raise RemoteProtocolError("reply too long")
                return None
            line = self._buffer[:end].rstrip(b"\r")
            self._buffer = self._buffer[end + 1 :]
            self._seen += end + 1
            if self._seen > REPLY_LIMIT:
                raise RemoteProtocolError("reply too long")
            found = REPLY_LINE.fullmatch(line)
            if found is None or not 200 <= int(found[1]) <= 599:
                continue
            self._lines.append(line)
            if found[2] != b"-":
                reply = parse_reply(self._lines)
                self._lines = []
                self._seen = 0
                return reply
