"""The attributes of XCLIENT and XFORWARD: name=value pairs, the values in xtext.

    attribute = name "=" xtext

What cannot be told is [UNAVAILABLE], or [TEMPUNAVAIL] for a name that was looked up in vain. A
bad attribute gives Postfix's reply, and nothing of the command counts.

Standards: the Postfix XCLIENT and XFORWARD howtos; RFC 3461 section 4 (xtext); RFC 5321 section 4.1.3 (IPv6: in front).
"""

from collections.abc import Collection
from ipaddress import ip_address

from posthouse.address.domain import is_hostname
from posthouse.session.smtp.hello import printable_name
from posthouse.wire.smtp.reply import Reply
from posthouse.wire.xtext import decode_xtext

UNAUTHORIZED = Reply(550, "5.7.0", "Error: insufficient authorization")
EXPECTED = Reply(501, "5.5.4", "Error: attribute=value expected")
TOO_LONG = Reply(501, "5.5.4", "Error: attribute value too long")
VALUE_LIMIT = 255
"""Characters of one value: the longest of them is a host name (RFC 1035 section 2.3.4)."""
PROTOCOL_LIMIT = 64
"""Characters of the name of a protocol."""
PORT_DIGITS = 5
"""Digits of a port; Postfix does not look at the number."""
UNAVAILABLE = "[UNAVAILABLE]"
TEMPUNAVAIL = "[TEMPUNAVAIL]"
UNKNOWN = "unknown"

NAMES = ("NAME", "REVERSE_NAME")
ADDRESSES = ("ADDR", "DESTADDR")
PORTS = ("PORT", "DESTPORT")


def parse_attributes(
    command: str, argument: str, known: Collection[str], *, ipv6: bool
) -> dict[str, str | None] | Reply:
    """What an XCLIENT or XFORWARD command says, by attribute; None for what is unavailable. `ipv6`: whether
    inet_protocols has it. The reply when there is something wrong."""
    words = argument.split()
    if not words:
        return Reply(501, "5.5.4", f"Syntax: {command} attribute=value...")
    found: dict[str, str | None] = {}
    for word in words:
        name, _, raw = word.partition("=")
        if not raw:
            return EXPECTED
        if len(raw) > VALUE_LIMIT:
            return TOO_LONG
        upper = name.upper()
        if upper not in known:
            return Reply(501, "5.5.4", f"Bad {command} attribute name: {name}")
        text = decode_xtext(raw)
        value = _value(upper, text, ipv6=ipv6, front_end=command == "XCLIENT")
        if value == "":
            return Reply(501, "5.5.4", f"Bad {upper} syntax: {text}")
        found[upper] = value
    return found


def _value(name: str, text: str, *, ipv6: bool, front_end: bool) -> str | None:
    """The value in standard form; None for what is unavailable; "" when it is none."""
    if text.upper() == UNAVAILABLE and not (front_end and name == "PROTO"):
        return None
    if name in NAMES:
        if front_end and text.upper() == TEMPUNAVAIL:
            return None
        return text if is_hostname(text) and text.isascii() else ""
    if name in ADDRESSES:
        return parse_address(text, ipv6=ipv6) or ""
    if name in PORTS:
        return text if is_port(text) else ""
    if name == "PROTO":
        if front_end:
            return text.upper() if text.upper() in ("SMTP", "ESMTP") else ""
        return printable_name(text) if len(text) <= PROTOCOL_LIMIT else ""
    if name == "SOURCE":
        return text.upper() if text.upper() in ("LOCAL", "REMOTE") else ""
    if name == "LOGIN":
        return text
    return "".join("?" if character.isspace() else character for character in _visible(text))


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() or c >= "\ud800" else "?" for c in text)


def parse_address(value: str, *, ipv6: bool = True) -> str | None:
    """An IP address in standard form, IPv6 with "IPv6:" in front; None when it is none."""
    tagged = value[:5].upper() == "IPV6:"
    if tagged and not ipv6:
        return None
    try:
        if not tagged:
            value = ".".join(
                [str(int(part)) if part.isascii() and part.isdigit() else part for part in value.split(".")]
            )
        address = ip_address(value[5:] if tagged else value)
    except ValueError:
        return None
    return str(address) if (address.version == 6) is tagged else None


def is_port(value: str) -> bool:
    """Whether it may be a TCP port's number."""
    return value.isascii() and value.isdigit() and len(value) <= PORT_DIGITS
