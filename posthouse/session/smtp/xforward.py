"""XFORWARD: a content filter says whom it got the message from, for logs and delivery agents.

It counts for one transaction. The Received field and the restrictions keep to the filter itself.

Standards: the Postfix XFORWARD howto.
"""

from dataclasses import replace

from posthouse.envelope.envelope import Client
from posthouse.session.smtp.attributes import UNAUTHORIZED, UNKNOWN, parse_attributes
from posthouse.session.smtp.session import SmtpSession
from posthouse.wire.smtp.dialogue import IN_TRANSACTION, State
from posthouse.wire.smtp.ehlo import XFORWARD_ATTRIBUTES
from posthouse.wire.smtp.reply import Reply

NOBODY = Client(name=UNKNOWN, address=UNKNOWN, port="", reverse_name=UNKNOWN)
OF_THE_MESSAGE = frozenset({"IDENT", "SOURCE"})
"""Attributes that tell nothing of the client."""


async def xforward(session: SmtpSession, argument: str) -> bytes | Reply:
    """XFORWARD attribute=value …"""
    if session.dialogue.state is not State.READY:
        return IN_TRANSACTION
    if argument.split() and not session.xforward_authorized:
        return UNAUTHORIZED
    told = parse_attributes("XFORWARD", argument, XFORWARD_ATTRIBUTES, ipv6=session.settings.has_ipv6)
    if isinstance(told, Reply):
        return told
    client = session.forwarded or NOBODY
    name = told.get("NAME", client.name) or UNKNOWN
    session.forwarded = replace(
        client,
        name=name,
        reverse_name=name,
        address=told.get("ADDR", client.address) or UNKNOWN,
        port=told.get("PORT", client.port) or "",
        helo=told.get("HELO", client.helo) or "",
        protocol=told.get("PROTO", client.protocol) or "",
    )
    session.forwarded_shown = session.forwarded_shown or not OF_THE_MESSAGE.issuperset(told)
    session.forwarded_id = told.get("IDENT", session.forwarded_id) or ""
    if "SOURCE" in told:
        session.forwarded_local = None if told["SOURCE"] is None else told["SOURCE"] == "LOCAL"
    return b"250 2.0.0 Ok\r\n"
