"""XCLIENT: a trusted front end (a proxy, a test) says who the client really is.

The session begins anew with the claimed client: greeting, restrictions, log lines.

Standards: the Postfix XCLIENT howto.
"""

import re
from dataclasses import replace
from ipaddress import ip_address

from posthouse.session.smtp.greeting import greet, know
from posthouse.session.smtp.session import SmtpSession
from posthouse.wire.smtp.dialogue import IN_TRANSACTION, State
from posthouse.wire.smtp.ehlo import XCLIENT_ATTRIBUTES
from posthouse.wire.smtp.reply import Reply

SYNTAX = Reply(501, "5.5.4", "Syntax: XCLIENT attribute=value...")
UNAUTHORIZED = Reply(550, "5.7.0", "Error: insufficient authorization")
PORT_DIGITS = 5
"""More digits are no port, and Python reads no number of thousands of them."""
_XTEXT = re.compile(r"\+([0-9A-Fa-f]{2})")


def decode_xtext(text: str) -> str:
    """RFC 3461 section 4: "+2B" is "+"."""
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)


def parse_address(value: str) -> str | None:
    """An IP address in standard form, "IPv6:" in front or not; None when it is none."""
    try:
        return str(ip_address(re.sub(r"(?i)^IPv6:", "", value)))
    except ValueError:
        return None


def is_port(value: str) -> bool:
    """Whether it is a TCP port's number."""
    return value.isascii() and value.isdigit() and len(value) <= PORT_DIGITS and int(value) <= 65535


async def xclient(session: SmtpSession, argument: str) -> bytes | Reply:
    """XCLIENT attribute=value …"""
    if session.dialogue.state is not State.READY:
        return IN_TRANSACTION
    words = argument.split()
    if not words:
        return SYNTAX
    if not session.xclient_authorized:
        return UNAUTHORIZED
    client = session.client
    for word in words:
        name, equals, raw = word.partition("=")
        name = name.upper()
        if not equals:
            return Reply(501, "5.5.4", f"Error: attribute=value expected in: {word}")
        if name not in XCLIENT_ATTRIBUTES:
            return Reply(501, "5.5.4", f"Bad XCLIENT attribute name: {name}")
        value = decode_xtext(raw)
        known = value.upper() not in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
        if name == "NAME":
            client = replace(client, name=value if known else "unknown")
            if "REVERSE_NAME=" not in argument.upper():
                client = replace(client, reverse_name=client.name)
        elif name == "REVERSE_NAME":
            client = replace(client, reverse_name=value if known else "unknown")
        elif name == "ADDR":
            address = parse_address(value) if known else "unknown"
            if address is None:
                return Reply(501, "5.5.4", f"Bad ADDR syntax: {value}")
            client = replace(client, address=address)
        elif name == "PORT":
            if known and not is_port(value):
                return Reply(501, "5.5.4", f"Bad PORT syntax: {value}")
            client = replace(client, port=value if known else "unknown")
        elif name == "HELO":
            client = replace(client, helo=value if known else "")
        elif name == "PROTO":
            if known and value.upper() not in ("SMTP", "ESMTP"):
                return Reply(501, "5.5.4", f"Bad PROTO syntax: {value}")
            client = replace(client, protocol=value.upper() if known else "")
        elif name == "LOGIN":
            client = replace(
                client, sasl_method="XCLIENT" if known else "", sasl_username=value if known else "", sasl_sender=""
            )
        elif name == "DESTADDR":
            try:
                session.server_address = str(ip_address(re.sub(r"(?i)^IPv6:", "", value))) if known else ""
            except ValueError:
                return Reply(501, "5.5.4", f"Bad DESTADDR syntax: {value}")
        elif not known or (value.isascii() and value.isdigit() and int(value) <= 65535):
            session.server_port = int(value) if known else 0
        else:
            return Reply(501, "5.5.4", f"Bad DESTPORT syntax: {value}")
    session.reset()
    if session.milters is not None:
        session.milters.end()
        session.milters = None
    session.begin_again(client)
    xforward = session.xforward_authorized
    await know(session)
    session.xforward_authorized = xforward  # what the front end itself may say does not depend on whom it speaks for
    if session.tls is not None:
        session.stage.tls(session.tls)
    if client.sasl_username:
        session.stage.authenticated(client.sasl_username, client.sasl_method, client.sasl_sender)
    await greet(session)
    return b""
