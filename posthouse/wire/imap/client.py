"""The client's side: responses read, literals in place; commands written.

    reader.receive(bytes); reader.next_response() -> Response or None
    atoms and strings are bytes, NIL is None, a parenthesised list is a list; a section such as
    BODY[HEADER.FIELDS (DATE)]<0> is one atom

Standards: RFC 3501 sections 7 and 9.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.response import astring

# Octets of one response with its literals: what a client that reads whole messages must hold.
RESPONSE_LIMIT = 64 << 20
# Lists inside lists. Structures nest as deep as message/mime.py lets them.
DEPTH_LIMIT = 250

Value: TypeAlias = "bytes | list[Value] | None"

_LITERAL_END = re.compile(rb"\{([0-9]{1,10})\}\r?\n\Z")
_LITERAL = re.compile(rb"~?\{([0-9]{1,10})\}\r?\n")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# An atom as servers send them: flags, and sections with what is in their brackets.
_ATOM = re.compile(rb'(?:[^\x00-\x20\x7f(){"\[\]]|\[[^\]\r\n]*\])+')
_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: |\Z)(?:\[([^\]\r\n]*)\] ?)?(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Response:
    """One response."""

    tag: str
    """"*", "+", or the command's."""
    status: str = ""
    """OK, NO, BAD, BYE, PREAUTH; "" for data."""
    code: str = ""
    """What stood in brackets."""
    text: str = ""
    data: tuple[Value, ...] = ()
    """Of data: its words, e.g. (b"3", b"FETCH", [b"FLAGS", []])."""


class ResponseReader:
    """Reads responses however their bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # where the line being looked for begins

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    def next_response(self) -> Response | None:
        """The next one, or None. Raises ImapSyntaxError for what is none."""
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if len(self._buffer) > RESPONSE_LIMIT:
                raise ImapSyntaxError("Response is too long")
            if end < 0:
                return None
            line_start = self._scanned
            match = _LITERAL_END.search(bytes(self._buffer[line_start : end + 1]))
            if match is None:
                break
            after = end + 1 + int(match[1])
            if len(self._buffer) < after:
                if after > RESPONSE_LIMIT:
                    raise ImapSyntaxError("Response is too long")
                return None
            self._scanned = after
        data = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._scanned = 0
        return parse_response(data.rstrip(b"\r\n"))


def parse_response(data: bytes) -> Response:
    """A whole response without its line end. Raises ImapSyntaxError."""
    first, _, rest = data.partition(b" ")
    tag = first.decode("latin-1")
    if tag == "+":
        return Response(tag, text=rest.decode("latin-1"))
    status = _STATUS.match(rest)
    if status is not None:
        code = (status[2] or b"").decode("latin-1")
        return Response(tag, status[1].decode("ascii").upper(), code, status[3].decode("latin-1"))
    values, at = _values(rest, 0)
    if at < len(rest):
        raise ImapSyntaxError("Invalid response")
    return Response(tag, data=tuple(values))


def _values(data: bytes, at: int) -> tuple[list[Value], int]:
    """Values up to an unmatched ")" or the end."""
    stack: list[list[Value]] = [[]]
    while at < len(data):
        octet = data[at : at + 1]
        if octet == b" ":
            at += 1
        elif octet == b"(":
            if len(stack) > DEPTH_LIMIT:
                raise ImapSyntaxError("Response nests too deep")
            inner: list[Value] = []
            stack[-1].append(inner)
            stack.append(inner)
            at += 1
        elif octet == b")":
            stack.pop()
            if not stack:
                raise ImapSyntaxError("Invalid response")
            at += 1
        else:
            value, at = _value(data, at)
            stack[-1].append(value)
    if len(stack) != 1:
        raise ImapSyntaxError("Invalid response")
    return stack[0], at


def _value(data: bytes, at: int) -> tuple[Value, int]:
    match = _QUOTED.match(data, at)
    if match is not None:
        return re.sub(rb"\\(.)", rb"\1", match[1], flags=re.DOTALL), match.end()
    match = _LITERAL.match(data, at)
    if match is not None:
        end = match.end() + int(match[1])
        if end > len(data):
            raise ImapSyntaxError("Invalid response")
        return data[match.end() : end], end
    match = _ATOM.match(data, at)
    if match is None:
        raise ImapSyntaxError("Invalid response")
    return (None if match[0].upper() == b"NIL" else match[0]), match.end()


def command(tag: str, verb: str, *arguments: bytes) -> bytes:
    """A command; arguments are written as they are (see quote())."""
    return b" ".join([tag.encode("ascii"), verb.encode("ascii"), *arguments]) + b"\r\n"


def quote(text: str) -> bytes:
    """An astring argument. What needs a literal is refused: the server would have to be asked first."""
    value = astring(text.encode("utf-8"))
    if value.startswith(b"{"):
        raise ImapSyntaxError("Argument needs a literal")
    return value


def pairs(value: Value) -> dict[bytes, Value]:
    """A FETCH's or STATUS's list as a dictionary; names in upper case."""
    if not isinstance(value, list):
        raise ImapSyntaxError("Invalid response")
    found: dict[bytes, Value] = {}
    names: Iterable[Value] = value[::2]
    for name, one in zip(names, value[1::2], strict=False):
        if not isinstance(name, bytes):
            raise ImapSyntaxError("Invalid response")
        found[name.upper()] = one
    return found
