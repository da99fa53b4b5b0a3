"""Messages that say 8bit: which they are, and how they go to a server without 8BITMIME.

Every part that says 8bit or binary is made quoted-printable; multiparts and messages around it
say 7bit. Content that holds 8-bit bytes without saying so is left alone, as Postfix does.

Standards: RFC 6152 section 3 (a server without 8BITMIME gets converted content or none);
RFC 2045 sections 6.2, 6.4 (composite types carry no encoding of their own) and 6.7.
"""

import binascii
import re

from posthouse.envelope.content import Content, MemoryBody
from posthouse.message.header import scan_fields
from posthouse.message.mime import scan
from posthouse.message.structure import Part

CONVERSION_LIMIT = 32 * 1024 * 1024
"""Octets of a body that is converted, since conversion holds it in memory three times; a larger one goes as it is."""

LABEL = re.compile(rb"^content-transfer-encoding:[ \t\r\n]*\"?(?:8bit|binary)\b", re.IGNORECASE | re.MULTILINE)
COMPOSITE = re.compile(rb"^content-type:[ \t\r\n]*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)


def says_eight_bit(content: Content) -> bool:
    """Whether the message, or a part of it, is labelled 8bit or binary. A large body counts as one that may be."""
    header = content.header
    if LABEL.search(header):
        return True
    if not COMPOSITE.search(header):
        return False
    return LABEL.search(content.body.data) is not None if isinstance(content.body, MemoryBody) else True


async def to_seven_bit(content: Content) -> Content:
    """The same message with every 8bit and binary part in quoted-printable."""
    if content.body.size > CONVERSION_LIMIT:
        return content
    data = content.header + b"\r\n" + await content.body.read()
    edits: list[tuple[int, int, bytes]] = []
    for part in scan(data).walk():
        if part.encoding in ("8bit", "binary"):
            edits += _edits(data, part)
    edits.sort(key=lambda edit: edit[:2])
    out: list[bytes] = []
    position = 0
    for start, end, replacement in edits:
        out += [data[position:start], replacement]
        position = end
    out.append(data[position:])
    new = b"".join(out)
    fields, header_end = scan_fields(new)
    del fields
    return Content(new[:header_end], MemoryBody(new[header_end:].removeprefix(b"\r\n")))


def _edits(data: bytes, part: Part) -> list[tuple[int, int, bytes]]:
    composite = part.type == "multipart" or (part.type == "message" and part.subtype in ("rfc822", "global"))
    header = data[part.header_start : part.body_start]
    fields, end = scan_fields(header)
    edits = [
        (part.header_start + field.start, part.header_start + field.end, b"")
        for field in fields
        if field.name == b"content-transfer-encoding"
    ]
    place = part.header_start + end
    encoding = b"7bit" if composite else b"quoted-printable"
    edits.append((place, place, b"Content-Transfer-Encoding: " + encoding + b"\r\n"))
    if not composite:
        body = data[part.body_start : part.body_end]
        edits.append((part.body_start, part.body_end, binascii.b2a_qp(body, istext=True)))
    return edits
