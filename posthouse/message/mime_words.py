"""Encoded words in header text, and RFC 2231 values, as str. Any bytes give a str.

A charset that is unknown or lies falls back to UTF-8, then latin-1: mail shows something.

Standards: RFC 2047 sections 2 and 6.2; RFC 2231 sections 4 and 5; RFC 6532.
"""

import binascii
import re
from urllib.parse import unquote_to_bytes

# encoded-word = "=?" charset [ "*" language ] "?" encoding "?" encoded-text "?="
_WORD = re.compile(rb"=\?([!-)+->@-~]{1,60})(?:\*[!->@-~]{0,60})?\?([bBqQ])\?([ ->@-~]{0,4000})\?=")
# RFC 2047 section 6.2: white space between two encoded words is not shown.
_BETWEEN = re.compile(rb"[ \t\r\n]*\Z")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


def decode_text(raw: bytes, charset: str = "utf-8") -> str:
    """Octets by their charset; UTF-8, then latin-1 where that fails. Codecs that are not of text count as unknown."""
    for name in (charset, "utf-8"):
        try:
            text = raw.decode(name)
        except (LookupError, ValueError, AssertionError):
            # ValueError: UnicodeError, and names with a NUL; AssertionError: a codec of Python's that is no text codec
            continue
        return text
    return raw.decode("latin-1")


def decode_words(raw: bytes) -> str:
    """A field's text with its encoded words decoded and its folding undone.

    Neighbours in one charset are joined before decoding: programs cut characters in two.
    """
    raw = _FOLD.sub(b"", raw)
    out: list[str] = []
    waiting = b""
    charset = ""
    position = 0
    for match in _WORD.finditer(raw):
        between = raw[position : match.start()]
        name = match[1].decode("ascii").lower()
        data = _decode_payload(match[2], match[3])
        if waiting and not between.strip() and name == charset:
            waiting += data
        else:
            if charset:
                out.append(decode_text(waiting, charset))
            if not charset or not _BETWEEN.match(between):
                out.append(decode_text(between))
            waiting, charset = data, name
        position = match.end()
    if charset:
        out.append(decode_text(waiting, charset))
    out.append(decode_text(raw[position:]))
    return "".join(out)


def _decode_payload(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"bB":
        text = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
        text = text[: len(text) - 1] if len(text) % 4 == 1 else text
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    return binascii.a2b_qp(text, header=True)


def decode_parameter(name: str, value: str) -> str:
    """A parameter's value by its name: "filename*" is RFC 2231's charset'language'percent-encoded."""
    raw = value.encode("latin-1", "replace")
    if not name.endswith("*"):
        return decode_words(raw)  # RFC 2047 section 5 forbids encoded words here; half the world writes them
    charset, quote, rest = value.partition("'")
    if not quote:
        return decode_text(unquote_to_bytes(raw))
    _language, _quote, text = rest.partition("'")
    return decode_text(unquote_to_bytes(text.encode("latin-1", "replace")), charset or "utf-8")
