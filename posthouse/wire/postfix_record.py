"""Postfix's queue file records: a type byte, a length in groups of seven bits (low first, the
high bit says that more follow), the data.

Enough of the format to show a file as postcat does: types are named, pointers are followed as
far as they lead out of rewritten regions.
"""

from collections.abc import Iterator

LINE_LIMIT = 2048
"""Characters in one content record (line_length_limit's default)."""

NAMES = {
    "C": "message_size",
    "T": "message_arrival_time",
    "c": "queue_file_create_time",
    "A": "named_attribute",
    "F": "sender_fullname",
    "I": "content_inspector",
    "f": "content_filter",
    "L": "content_filter",
    "S": "sender",
    "D": "done_recipient",
    "R": "recipient",
    "O": "original_recipient",
    "/": "canceled_recipient",
    ">": "redirect_to",
    "M": "message_content",
    "N": "regular_text",
    "X": "extracted",
    "p": "pointer_record",
    "w": "padding",
    "E": "message_end",
    "V": "verp_delimiters",
    "K": "killed_record",
    "e": "errors_to",
    "r": "return_receipt",
    "W": "warning_message_time",
}
"""By type; L means a filter in the envelope, and an unterminated line in the content."""

UNKNOWN = "unknown_record_type"

FIRST = frozenset("CTA")
"""A queue file starts with one of these."""

RECORD_LIMIT = 1 << 24


class NotAQueueFile(Exception):
    """The bytes are no queue file."""


class Truncated(NotAQueueFile):
    """The file ends, or leads nowhere, in the middle of a record; the text is postcat's warning."""


def record_size(kind: str, text: str) -> int:
    """How many bytes a record takes in a queue file."""
    if kind in "MXE":
        return 2
    length = len(text.encode("utf-8", "surrogateescape"))
    size = 2
    rest = length >> 7
    while rest:
        size += 1
        rest >>= 7
    return size + length


def read_record(data: bytes, at: int) -> tuple[str, bytes, int]:
    """Type, data and end of the record at an offset. Raises Truncated."""
    kind = data[at]
    at += 1
    length = shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise Truncated(f"unexpected EOF reading length, record type {kind}")
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    if length > RECORD_LIMIT or at + length > len(data):
        raise Truncated(f"unexpected EOF in data, record type {kind} length {length}")
    return chr(kind), data[at : at + length], at + length


def walk(data: bytes, at: int = 0, *, follow: bool = True) -> Iterator[tuple[int, str, str]]:
    """(offset, type, text) of every record from an offset to the end of the message; pointers are followed, once.

    Raises Truncated.
    """
    turned: set[int] = set()
    while at < len(data):
        start = at
        kind, body, at = read_record(data, start)
        text = body.decode("latin-1") if kind in "NL" else body.decode("utf-8", "surrogateescape")
        yield start, kind, text
        if kind == "E":
            return
        if kind == "p" and follow:
            digits = text.strip()
            if not digits.isdecimal() or not digits.isascii() or len(digits) > 18:
                raise Truncated("malformed pointer record value")
            if int(digits) > 0:
                if start in turned:
                    raise Truncated("pointer record loop")
                turned.add(start)
                at = int(digits)


def parse_records(data: bytes) -> Iterator[tuple[str, str, str]]:
    """(type, name, text) of each record of a queue file. Raises NotAQueueFile."""
    if data and chr(data[0]) not in FIRST:
        raise NotAQueueFile("input is not a valid queue file")
    for _, kind, text in walk(data):
        name = NAMES.get(kind, UNKNOWN)
        if kind == "A" and text.startswith("create_time="):
            name, text = "create_time", text.removeprefix("create_time=")
        yield kind, name, text
