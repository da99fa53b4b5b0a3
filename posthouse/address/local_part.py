"""The local part: its extension, its quoting on the wire and in header fields.

Standards: RFC 5321 section 4.1.2; RFC 5322 section 3.2.3 and 3.2.4; RFC 6532 section 3.2 (UTF-8 is atext);
RFC 5233 section 1 (the extension).
"""

import re
from functools import lru_cache

KNOWN_ADDRESSES = 4096
"""Addresses whose quoting is remembered: a message's are quoted for its fields and for each of its log lines."""
NEVER_SPLIT = frozenset({"mailer-daemon", "double-bounce", "postmaster"})
"""Local parts that are never split, whatever the delimiter."""

# RFC 5321 section 4.1.2 with RFC 6531 section 3.3:
#   Dot-string = Atom *("." Atom)
#   Atom       = 1*atext
#   atext      =/ UTF8-non-ascii (and, kept as surrogates, any other 8-bit byte)
_ATOM = r"[^\x00-\x20\x7f()<>@,;:\\\".\[\]]+"
DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")

_TO_QUOTE = re.compile(r'[\r\n"\\]')


def split_extension(local_part: str, delimiters: str, *, owner_request: bool = True) -> tuple[str, str]:
    """(base, extension) at the first character that is one of recipient_delimiter's; extension "" when none, or when
    the delimiter ends the local part.

    A local part that starts with the delimiter, and postmaster and its like, stay whole; so do
    owner-list and list-request when the delimiter is "-" (owner_request: owner_request_special).
    """
    if not delimiters:
        return local_part, ""
    folded = local_part.lower()
    if folded in NEVER_SPLIT:
        return local_part, ""
    if owner_request and "-" in delimiters and (folded.startswith("owner-") or folded.endswith("-request")):
        return local_part, ""
    at = -1
    for delimiter in delimiters:
        found = local_part.find(delimiter)
        if found >= 0 and (at < 0 or found < at):
            at = found
    if at <= 0:
        return local_part, ""
    return local_part[:at], local_part[at + 1 :]


def delimiter_of(local_part: str, delimiters: str) -> str:
    """The delimiter at which split_extension cuts, or ""."""
    base, _ = split_extension(local_part, delimiters)
    return local_part[len(base) : len(base) + 1]


def is_dot_string(local_part: str) -> bool:
    """Whether it may stand without quotes."""
    return DOT_STRING.fullmatch(local_part) is not None


def quote_local_part(local_part: str) -> str:
    """As it stands on the wire and in a field: bare, or as a quoted string."""
    if DOT_STRING.fullmatch(local_part):
        return local_part
    return '"' + _TO_QUOTE.sub(r"\\\g<0>", local_part) + '"'


@lru_cache(KNOWN_ADDRESSES)
def quote_address(address: str) -> str:
    """The external form of an internal address (Postfix's quote_821_local and quote_822_local); "" stays ""."""
    if not address:
        return ""
    local_part, at, domain = address.rpartition("@")
    if not at:
        return quote_local_part(domain)
    return f"{quote_local_part(local_part)}@{domain}"


def unquote_address(text: str) -> str:
    """The internal form of an external address: quotes and backslashes of its local part removed."""
    if '"' not in text and "\\" not in text:
        return text
    out: list[str] = []
    end = _domain_start(text)
    position = 0
    while position < end:
        character = text[position]
        if character == "\\":
            position += 1
            out.append(text[position : position + 1])
        elif character != '"':
            out.append(character)
        position += 1
    return "".join(out) + text[max(position, end) :]


def _domain_start(text: str) -> int:
    """Where "@domain" begins: the last @ outside quotes, or the end."""
    start, position, quoted = len(text), 0, False
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "@" and not quoted:
            start = position
        position += 1
    return start
