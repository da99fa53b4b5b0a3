"""Modified UTF-7, in which mailbox names travel.

    "&" base64 "-"     UTF-16 in base64 with "," for "/" and without padding
    "&-"               the character "&"

encode_name() gives printable ASCII for every str. parse_name() takes what encode_name() gives and what
differs from it in its cuts alone ("&AOk-&AOk-"); everything else is no name. decode_pattern() takes
whatever clients send in patterns of LIST, which need not be names: raw UTF-8 for what it is, and
literally where "&" begins nothing valid.

Standards: RFC 3501 section 5.1.3; RFC 2152.
"""

import binascii
import re

_SHIFT = re.compile(r"&([A-Za-z0-9+,]*)-")
# Printable ASCII but "&" stands for itself.
_SPECIAL = re.compile(r"[^ -~]+|&")
_PRINTABLE = re.compile(r"[ -~]")
# What base64 that is none becomes: no decoded name holds a lone surrogate.
_NOTHING = "\udfff"


def encode_name(name: str) -> bytes:
    """A mailbox name for the wire. Lone surrogates (a name on disk that is no UTF-8) become U+FFFD."""
    return _SPECIAL.sub(_encode_run, name).encode("ascii")


def _encode_run(match: re.Match[str]) -> str:
    return "&-" if match[0] == "&" else _encode_run_of(match[0])


def _encode_run_of(text: str) -> str:
    text = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    coded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False).decode("ascii")
    return "&" + coded.rstrip("=").replace("/", ",") + "-"


def parse_name(raw: bytes) -> str | None:
    """A mailbox name from the wire; None for octets above ASCII, an "&" that begins nothing valid, printable ASCII in
    base64 and bits left over (RFC 3501 section 5.1.3: one name has one spelling)."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    if "&" not in text:
        return text
    if "&" in _SHIFT.sub("", text):
        return None
    for match in _SHIFT.finditer(text):
        run = _decode_run(match)
        if run == _NOTHING or (match[1] and (_PRINTABLE.search(run) or _encode_run_of(run) != match[0])):
            return None
    return _SHIFT.sub(_decode_run, text)


def decode_pattern(raw: bytes) -> str:
    """A pattern of mailbox names from the wire."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "&" not in text:
        return text
    decoded = _SHIFT.sub(_decode_run, text)
    if _NOTHING in decoded or _SHIFT.sub("", text).find("&") >= 0:
        return text
    return decoded


def _decode_run(match: re.Match[str]) -> str:
    coded = match[1]
    if not coded:
        return "&"
    try:
        octets = binascii.a2b_base64(coded.replace(",", "/") + "=" * (-len(coded) % 4))
        return octets.decode("utf-16-be")
    except ValueError:
        return _NOTHING
