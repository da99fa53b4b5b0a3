"""The header of a message by byte offset: one pass, nothing copied but names.

A field starts with a name of printable characters and a colon; lines that start with a blank
continue it. The first line that is neither ends the header, as the empty line does: what
follows is body.

Standards: RFC 5322 sections 2.1 and 2.2; RFC 6532 section 3.2 (bodies may hold UTF-8).
"""

import re
from typing import NamedTuple

# RFC 5322 section 3.6.8: field-name = 1*ftext; section 4.5: blanks may stand before the colon.
_FIELD = re.compile(rb"([!-9;-~]+)([ \t]*):[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
# A run of CRs is taken whole, with its LF or without: tried at each CR anew, a run of them would cost its square.
_BARE = re.compile(rb"\r+\n?|\n")
_FROM_LINE = re.compile(rb">*From ")


class Field(NamedTuple):
    """One field: content[start:end] is all of it with its CRLF, content[value:end] what follows the colon.

    A tuple, because there are a dozen in each message and a frozen dataclass costs three times as much.
    """

    name: bytes
    """In lower case."""
    start: int
    value: int
    end: int


def scan_fields(content: bytes, limit: int | None = None) -> tuple[list[Field], int]:
    """The fields, and where the header ends: the offset of the first line that is no field."""
    fields = []
    position = 0
    end = len(content) if limit is None else limit
    match = _FIELD.match
    while found := match(content, position, end):
        fields.append(Field(found.group(1).lower(), position, found.end(2) + 1, found.end()))
        position = found.end()
    return fields, position


def field_value(content: bytes, field: Field) -> str:
    """What a field says: unfolded, without the blanks around, bytes that are no UTF-8 as surrogates."""
    return content[field.value : field.end].replace(b"\r\n", b"").decode("utf-8", "surrogateescape").strip(" \t\r\n")


def field_text(content: bytes, field: Field) -> str:
    """The whole field, line breaks as LF, for header_checks and logs; blanks before the colon go."""
    name = content[field.start : field.start + len(field.name)]
    text = name + b":" + content[field.value : field.end]
    return text.replace(b"\r\n", b"\n").rstrip(b"\n").decode("utf-8", "surrogateescape")


def first(fields: list[Field], name: bytes) -> Field | None:
    """The first field of that (lower-case) name."""
    for field in fields:
        if field.name == name:
            return field
    return None


def canonical(chunk: bytes) -> bytes:
    """Lines that end in CRLF and no other CR or LF: a lone LF ends a line too, a lone CR becomes a blank.

    For content that is in canonical form already it costs one copy (cheaper than counting, measured).
    """
    rest = chunk.replace(b"\r\n", b"")
    if b"\n" not in rest and b"\r" not in rest:
        return chunk
    return _BARE.sub(lambda found: b"\r\n" if found.group().endswith(b"\n") else b" " * len(found.group()), chunk)


def without_from_line(content: bytes) -> bytes:
    """An mbox From line in front is kept as X-Mailbox-Line, so that the header after it is still one."""
    if content.startswith((b"From ", b">")) and _FROM_LINE.match(content):
        return b"X-Mailbox-Line: " + content
    return content
