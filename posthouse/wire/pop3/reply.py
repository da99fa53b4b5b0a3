"""POP3 replies: a status line, and for some a list or a message that ends in a dot.

    single-line = "+OK" [SP text] CRLF / "-ERR" [SP "[" resp-code "]"] [SP text] CRLF
    multi-line  = single-line *dot-stuffed-line "." CRLF

Standards: RFC 1939 section 3; RFC 2449 sections 4 and 8 (512 octets, response codes); RFC 3206.
"""

from collections.abc import Iterable
from dataclasses import dataclass

LENGTH_LIMIT = 512
"""Octets of a status line with its CRLF (RFC 2449 section 4)."""

IN_USE = "IN-USE"
"""RFC 2449 section 8.1.2: another session has the maildrop."""
AUTH = "AUTH"
"""RFC 3206 section 5: the credentials are wrong; asking the user again helps."""
SYS_TEMP = "SYS/TEMP"
"""RFC 3206 section 4: a failure on our side that will pass."""
SYS_PERM = "SYS/PERM"
"""RFC 3206 section 4: a failure on our side that needs a person."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One status line."""

    positive: bool
    text: str = ""
    code: str = ""
    """The response code without its brackets, or ""."""

    def __bytes__(self) -> bytes:
        words = ["+OK" if self.positive else "-ERR"]
        if self.code:
            words.append(f"[{self.code}]")
        if self.text:
            words.append(self.text)
        line = " ".join(words).encode("utf-8", "surrogateescape").translate(None, b"\r\n\0")
        return line[: LENGTH_LIMIT - 2] + b"\r\n"


def ok(text: str = "") -> Reply:
    """+OK."""
    return Reply(True, text)


def error(text: str, code: str = "") -> Reply:
    """-ERR."""
    return Reply(False, text, code)


def parse_reply(line: bytes) -> Reply | None:
    """A status line without its end, as a client reads it; None for anything else."""
    word, _, rest = line.decode("utf-8", "surrogateescape").partition(" ")
    if word not in ("+OK", "-ERR"):
        return None
    code = ""
    if rest.startswith("[") and "]" in rest:
        code, _, rest = rest[1:].partition("]")
        rest = rest.removeprefix(" ")
    return Reply(word == "+OK", rest, code)


def listing(reply: Reply, lines: Iterable[str]) -> bytes:
    """A multi-line reply of short lines, none of which begins with a dot."""
    return bytes(reply) + "".join(f"{line}\r\n" for line in lines).encode("ascii") + b".\r\n"
