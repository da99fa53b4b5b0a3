"""XFORWARD: a content filter says whom it got the message from, for logs and delivery agents.

It counts for one transaction. The Received field and the restrictions keep to the filter itself.

Standards: the Postfix XFORWARD howto.
"""

from dataclasses import replace

from posthouse.envelope.envelope import Client
from posthouse.session.smtp.session import SmtpSession
from posthouse.session.smtp.xclient import UNAUTHORIZED, decode_xtext, is_port, parse_address
from posthouse.wire.smtp.dialogue import IN_TRANSACTION, State
from posthouse.wire.smtp.ehlo import XFORWARD_ATTRIBUTES
from posthouse.wire.smtp.reply import Reply

SYNTAX = Reply(501, "5.5.4", "Syntax: XFORWARD attribute=value...")
VALUE_LIMIT = 255
"""Characters of one value: the longest of them is a host name (RFC 1035 section 2.3.4)."""
UNKNOWN = Client(name="unknown", address="unknown", port="", reverse_name="unknown")


async def xforward(session: SmtpSession, argument: str) -> bytes | Reply:
    """XFORWARD attribute=value …"""
    if session.dialogue.state is not State.READY:
        return IN_TRANSACTION
    words = argument.split()
    if not words:
        return SYNTAX
    if not session.xforward_authorized:
        return UNAUTHORIZED
    client = session.forwarded or UNKNOWN
    ident, local = session.forwarded_id, session.forwarded_local
    for word in words:
        name, equals, raw = word.partition("=")
        name = name.upper()
        if not equals:
            return Reply(501, "5.5.4", f"Error: attribute=value expected: {word}")
        if name not in XFORWARD_ATTRIBUTES:
            return Reply(501, "5.5.4", f"Bad XFORWARD attribute name: {name}")
        value = decode_xtext(raw)
        known = value.upper() not in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
        if len(value) > VALUE_LIMIT or not value.isprintable():
            return Reply(501, "5.5.4", f"Bad {name} syntax: {raw[:80]}")
        if name == "NAME":
            client = replace(client, name=value if known else "unknown", reverse_name=value if known else "unknown")
        elif name == "ADDR":
            address = parse_address(value) if known else "unknown"
            if address is None:
                return Reply(501, "5.5.4", f"Bad ADDR syntax: {value}")
            client = replace(client, address=address)
        elif name == "PORT":
            if known and not is_port(value):
                return Reply(501, "5.5.4", f"Bad PORT syntax: {value}")
            client = replace(client, port=value if known else "")
        elif name == "HELO":
            client = replace(client, helo=value if known else "")
        elif name == "PROTO":
            client = replace(client, protocol=value if known else "")
        elif name == "SOURCE":
            if known and value.upper() not in ("LOCAL", "REMOTE"):
                return Reply(501, "5.5.4", f"Bad SOURCE syntax: {value}")
            local = value.upper() == "LOCAL" if known else None
        else:
            ident = value if known else ""
    session.forwarded, session.forwarded_id, session.forwarded_local = client, ident, local
    return b"250 2.0.0 Ok\r\n"
