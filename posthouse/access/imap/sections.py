"""BODY[…]: which octets of a message a section is.

Standards: RFC 3501 section 6.4.5.
"""

import re
from dataclasses import dataclass

from posthouse.message.structure import Part
from posthouse.wire.imap.fetch import Section

# One line with those that continue it; a field when it begins with name ":". Possessive, so that it is linear.
_FIELD = re.compile(rb"(?:([!-9;-~]++)[ \t]*+:)?[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Range:
    """Octets of the stored message."""

    start: int
    stop: int


def locate(section: Section, size: int, header_size: int, root: Part | None) -> Range | None:
    """Where a section lies before any choice of fields and any partial range; None: there is no such part. root is
    needed only for sections with numbers."""
    specifier = section.specifier
    if not section.numbers:
        if specifier.startswith("HEADER"):
            return Range(0, header_size)
        return Range(header_size, size) if specifier == "TEXT" else Range(0, size)
    assert root is not None
    part = root.section(section.numbers)
    if part is None:
        return None
    if specifier == "MIME":
        return Range(part.header_start, part.body_start)
    if not specifier:
        return Range(part.body_start, part.body_end)
    if not part.is_message:
        return None
    inner = part.parts[0]
    if specifier == "TEXT":
        return Range(inner.body_start, inner.body_end)
    return Range(inner.header_start, inner.body_start)


def cut(section: Section, found: Range) -> Range:
    """The partial range."""
    if section.partial is None:
        return found
    start, count = section.partial
    start = min(found.start + start, found.stop)
    return Range(start, min(start + count, found.stop))


def choose_fields(section: Section, header: bytes) -> bytes:
    """HEADER.FIELDS and HEADER.FIELDS.NOT, partial range included. The empty line is kept where there is one."""
    wanted = frozenset(section.fields)
    negative = section.specifier == "HEADER.FIELDS.NOT"
    chosen = [
        match[0]
        for match in _FIELD.finditer(header)
        if match[1] is not None and (match[1].lower() in wanted) is not negative
    ]
    if chosen and not chosen[-1].endswith(b"\n"):
        chosen.append(b"\r\n")  # a message that ends within its header
    if header.endswith(b"\r\n\r\n") or header == b"\r\n":
        chosen.append(b"\r\n")
    data = b"".join(chosen)
    if section.partial is not None:
        start, count = section.partial
        data = data[start : start + count]
    return data
