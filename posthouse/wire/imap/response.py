"""Pieces of responses: strings, lists, mailbox names, response codes.

Quoted strings hold printable ASCII only; everything else travels as a literal, so that clients
without UTF8=ACCEPT read it as they should.

Standards: RFC 3501 sections 4.3, 7 and 9; RFC 5530 (codes).
"""

import re
from collections.abc import Iterable

from posthouse.wire.imap.utf7 import encode_name

# Longer strings travel as literals: some clients have line buffers of 1 or 2 KiB.
QUOTED_LIMIT = 1000

_ATOM = re.compile(rb'\A[^\x00-\x20\x7f-\xff(){%*"\\\]\[]+\Z')
_QUOTABLE = re.compile(rb"\A[ -~]*\Z")
_ESCAPED = re.compile(rb'["\\]')


def string(value: bytes) -> bytes:
    """A quoted string, or a literal where it must be one."""
    if len(value) <= QUOTED_LIMIT and _QUOTABLE.match(value):
        if b'"' in value or b"\\" in value:
            value = _ESCAPED.sub(rb"\\\g<0>", value)
        return b'"' + value + b'"'
    return literal(value)


def literal(value: bytes) -> bytes:
    """A literal. RFC 3501 section 9: CHAR8 is any octet but NUL."""
    return b"{%d}\r\n%b" % (len(value), value.replace(b"\0", b"\x80"))


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if value is None else string(value)


def astring(value: bytes) -> bytes:
    """An atom where it can be one."""
    if _ATOM.match(value) and value.upper() != b"NIL":
        return value
    return string(value)


def mailbox_name(name: str) -> bytes:
    """A mailbox name in modified UTF-7."""
    return astring(encode_name(name))


def flag_list(flags: Iterable[str]) -> bytes:
    """Flags in parentheses, system flags first, always in one order."""
    words = sorted(flags, key=lambda flag: (not flag.startswith("\\"), flag))
    return ("(" + " ".join(words) + ")").encode("ascii", "replace")


def printable(text: str) -> bytes:
    """Text of a response: one line of ASCII."""
    return re.sub(r"[^ -~]", "?", text).encode("ascii")


def tagged(tag: str, status: str, text: str, code: str | bytes = "") -> bytes:
    """`tag OK [CODE] text`. Text is never missing: clients choke on a code that ends the line."""
    if isinstance(code, str):
        code = code.encode("ascii")
    middle = b"[" + code + b"] " if code else b""
    return b"%b %b %b%b\r\n" % (tag.encode("ascii"), status.encode("ascii"), middle, printable(text) or b"-")


def untagged(status: str, text: str, code: str | bytes = "") -> bytes:
    """`* OK [CODE] text`."""
    return tagged("*", status, text, code)
