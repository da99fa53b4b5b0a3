"""XCLIENT: a trusted front end (a proxy, a test) says who the client really is.

The session begins anew with the claimed client: greeting, restrictions, log lines. What the
front end does not tell of the client stays as it was, but for HELO and protocol.

Standards: the Postfix XCLIENT howto.
"""

from dataclasses import replace

from posthouse.session.smtp.attributes import UNAUTHORIZED, UNKNOWN, parse_attributes
from posthouse.session.smtp.greeting import greet, know
from posthouse.session.smtp.session import SessionEnded, SmtpSession
from posthouse.wire.smtp.dialogue import IN_TRANSACTION, State
from posthouse.wire.smtp.ehlo import XCLIENT_ATTRIBUTES
from posthouse.wire.smtp.reply import Reply


async def xclient(session: SmtpSession, argument: str) -> bytes | Reply:
    """XCLIENT attribute=value …"""
    if session.dialogue.state is not State.READY:
        return IN_TRANSACTION
    if argument.split() and not session.xclient_authorized:
        return UNAUTHORIZED
    told = parse_attributes("XCLIENT", argument, XCLIENT_ATTRIBUTES, ipv6=session.settings.has_ipv6)
    if isinstance(told, Reply):
        return told
    client = session.client
    name = told.get("NAME", client.name) or UNKNOWN
    reverse = told.get("REVERSE_NAME", name if "NAME" in told else client.reverse_name) or UNKNOWN
    client = replace(
        client,
        name=name,
        reverse_name=reverse,
        address=told.get("ADDR", client.address) or UNKNOWN,
        port=told.get("PORT", client.port) or UNKNOWN,
        helo=told.get("HELO") or "",
        protocol=told.get("PROTO") or "SMTP",
    )
    if "LOGIN" in told:
        login = told["LOGIN"] or ""
        client = replace(client, sasl_method="XCLIENT" if login else "", sasl_username=login, sasl_sender="")
    if "DESTADDR" in told:
        session.server_address = told["DESTADDR"] or ""
    if "DESTPORT" in told:
        session.server_port = int(told["DESTPORT"] or 0)
    session.reset()
    if session.milters is not None:
        session.milters.end()
        session.milters = None
    session.begin_again(client)
    session.stage.facts.helo, session.stage.facts.esmtp = client.helo, client.protocol == "ESMTP"
    xforward = session.xforward_authorized
    await know(session)
    session.xforward_authorized = xforward  # what the front end itself may say does not depend on whom it speaks for
    if session.tls is not None:
        session.stage.tls(session.tls)
    if client.sasl_username:
        session.stage.authenticated(client.sasl_username, client.sasl_method, client.sasl_sender)
    if not await greet(session, "XCLIENT"):
        raise SessionEnded("")
    return b""
