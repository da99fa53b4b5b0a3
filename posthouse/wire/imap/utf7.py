"""Modified UTF-7, in which mailbox names travel.

    "&" base64 "-"     UTF-16 in base64 with "," for "/" and without padding
    "&-"               the character "&"

encode_name() gives printable ASCII for every str. decode_name() takes what clients send: raw
UTF-8 (never in a name by the rules) is taken for what it is, and a name whose "&" begins nothing
valid is taken literally, as people type it.

Standards: RFC 3501 section 5.1.3; RFC 2152.
"""

import binascii
import re

_SHIFT = re.compile(r"&([A-Za-z0-9+,]*)-")
# Printable ASCII but "&" stands for itself.
_SPECIAL = re.compile(r"[^ -%'-~]+|&")


def encode_name(name: str) -> bytes:
    """A mailbox name for the wire. Lone surrogates (a name on disk that is no UTF-8) become U+FFFD."""
    return _SPECIAL.sub(_encode_run, name).encode("ascii")


def _encode_run(match: re.Match[str]) -> str:
    text = match[0]
    if text == "&":
        return "&-"
    text = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    coded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False).decode("ascii")
    return "&" + coded.rstrip("=").replace("/", ",") + "-"


def decode_name(raw: bytes) -> str:
    """A mailbox name from the wire."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "&" not in text:
        return text
    decoded = _SHIFT.sub(_decode_run, text)
    if "\udfff" in decoded or _SHIFT.sub("", text).find("&") >= 0:
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
        return "\udfff"  # marks the whole name as not in this encoding: no decoded name holds a lone surrogate
