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
    "A": "named_attribute",
    "F": "sender_fullname",
    "I": "inspector",
    "L": "unterminated_text",
    "S": "sender",
    "D": "done_recipient",
    "R": "recipient",
    "O": "original_recipient",
    "/": "redirect_to",
    "f": "content_filter",
    "M": "message_content",
    "N": "regular_text",
    "X": "extracted",
    "p": "pointer",
    "w": "padding",
    "E": "message_end",
    "V": "verp_delimiters",
    "K": "killed",
    "d": "errors_to",
    "r": "return_receipt",
    "W": "warning_time",
    "c": "content_filter",
    ">": "mime_type",
    "G": "original_recipient_address",
    "0": "dsn_orig_rcpt",
}

FIRST = frozenset("CTA")
"""A queue file starts with one of these."""

RECORD_LIMIT = 1 << 24


class NotAQueueFile(Exception):
    """The bytes are no queue file."""


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


def parse_records(data: bytes) -> Iterator[tuple[str, str, str]]:
    """(type, name, text) of each record. Raises NotAQueueFile."""
    at = 0
    first = True
    while at < len(data):
        kind = chr(data[at])
        if first and kind not in FIRST:
            raise NotAQueueFile("input is not a valid queue file")
        first = False
        at += 1
        length = shift = 0
        while True:
            if at >= len(data) or shift > 28:
                raise NotAQueueFile("unexpected end of file")
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if length > RECORD_LIMIT or at + length > len(data):
            raise NotAQueueFile("unexpected end of file")
        body = data[at : at + length]
        at += length
        text = body.decode("latin-1" if kind in "NL" else "utf-8", "strict" if kind in "NL" else "surrogateescape")
        name = NAMES.get(kind, "unknown")
        if kind == "A" and text.startswith("create_time="):
            name, text = "create_time", text.removeprefix("create_time=")
        yield kind, name, text
        if kind == "E":
            return
