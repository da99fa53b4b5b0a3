"""POP3 replies: one line, or many with dots doubled; APOP's digest.

Standards: RFC 1939 sections 3 and 7; RFC 2449 section 8 (response codes); RFC 3206 (SYS and AUTH).
"""

import hashlib
import hmac
from collections.abc import Iterable

END = b".\r\n"


def ok(text: str = "") -> bytes:
    """+OK."""
    return _line("+OK", text)


def err(text: str, code: str = "") -> bytes:
    """-ERR, with an extended response code such as IN-USE or SYS/TEMP."""
    return _line("-ERR", f"[{code}] {text}" if code else text)


def challenge(text: str) -> bytes:
    """RFC 5034 section 4: "+ " and base64."""
    return f"+ {text}\r\n".encode("ascii")


def listing(first: str, lines: Iterable[str]) -> bytes:
    """+OK, lines, and the dot. No line of ours begins with a dot."""
    return ok(first) + "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + END


def _line(status: str, text: str) -> bytes:
    # A reply is one line whatever words came in from elsewhere.
    clean = text.replace("\r", " ").replace("\n", " ")
    return f"{status} {clean}\r\n".encode("utf-8", "surrogateescape") if clean else f"{status}\r\n".encode("ascii")


class DotStuffer:
    """RFC 1939 section 3: a line that begins with a dot gets another; the end is CRLF, dot, CRLF.

    One replace per chunk; nothing runs per line.
    """

    __slots__ = ("_carry", "_started")

    def __init__(self) -> None:
        # The text begins at a line's start, as if a line end stood before it.
        self._carry = b"\r\n"
        self._started = False

    def feed(self, chunk: bytes) -> bytes:
        """A piece of the text, ready to send."""
        data = self._carry + chunk
        for tail in (b"\r\n", b"\r", b""):
            if data.endswith(tail):
                break
        self._carry = tail
        return self._out(data[: len(data) - len(tail)].replace(b"\r\n.", b"\r\n.."))

    def end(self) -> bytes:
        """The end: a line that was not ended is."""
        tail = self._carry
        return self._out(tail if tail == b"\r\n" else tail + b"\r\n") + END

    def _out(self, data: bytes) -> bytes:
        if self._started or not data:
            return data
        self._started = True
        return data[2:]


def apop_digest(timestamp: str, secret: str) -> str:
    """RFC 1939 section 7, APOP: MD5 of the greeting's timestamp and the shared secret, in hexadecimal."""
    return hashlib.md5(f"{timestamp}{secret}".encode(), usedforsecurity=False).hexdigest()


def apop_fits(digest: str, timestamp: str, secret: str) -> bool:
    """Whether the client's digest proves the secret."""
    given = digest.lower().encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, apop_digest(timestamp, secret).encode("ascii"))
