"""A message as a terminal shows it: the fields people read, and the first text part, decoded.

Standards: RFC 2045 section 6 (transfer encodings); RFC 2047 (encoded words).
"""

import base64
import binascii
import quopri

from posthouse.message.header import scan_fields
from posthouse.message.mime import scan
from posthouse.message.mime_words import decode_text, decode_words
from posthouse.message.structure import Part

IGNORED = frozenset(
    """received message-id return-path x-original-to delivered-to mime-version content-type
    content-transfer-encoding content-disposition references in-reply-to status x-status x-uid x-keywords
    dkim-signature""".split()  # noqa: SIM905
)
"""Fields that print leaves out and Print shows."""


def readable(raw: bytes) -> str:
    """A field's body with encoded words decoded and no character that could drive the terminal."""
    return printable(decode_words(raw))


def printable(text: str) -> str:
    """The text with control characters shown as "?": a message must not drive the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def one_line(text: str) -> str:
    """The text as part of a line, or of a field: no line end in it, no control character."""
    return printable(" ".join(text.split()))


def shown_header(content: bytes, *, everything: bool = False) -> str:
    """The header for people."""
    lines: list[str] = []
    header = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    fields, _ = scan_fields(header)
    for field in fields:
        name = header[field.start : field.start + len(field.name)].decode("ascii", "replace")
        if everything or name.lower() not in IGNORED:
            value = header[field.value : field.end].replace(b"\r\n", b"").strip()
            lines.append(f"{name}: {one_line(readable(value))}")
    return "".join(f"{line}\n" for line in lines)


def text_of(content: bytes) -> str:
    """The first text/plain part (else the first text part), decoded; a line for each part that is not shown."""
    whole = scan(content)
    leaves = [part for part in whole.walk() if not part.is_multipart and not part.is_message]
    texts = [part for part in leaves if part.type == "text"]
    chosen = next((part for part in texts if part.subtype == "plain"), texts[0] if texts else None)
    out: list[str] = []
    for part in leaves:
        if part is chosen:
            out.append(_decoded(content, part))
        else:
            name = dict(part.disposition_parameters).get("filename") or part.parameter("name") or ""
            out.append(f"[{part.type}/{part.subtype} {one_line(name)}: {part.size} octets]\n")
    return "".join(out)


def _decoded(content: bytes, part: Part) -> str:
    raw = content[part.body_start : part.body_end]
    try:
        if part.encoding == "base64":
            raw = base64.b64decode(raw)
        elif part.encoding == "quoted-printable":
            raw = quopri.decodestring(raw)
    except binascii.Error:
        pass  # shown as it is
    return printable(decode_text(raw.replace(b"\r\n", b"\n"), part.parameter("charset") or "utf-8"))
