"""VRFY and ETRN: questions about an address, and about mail that waits for a domain.

Standards: RFC 5321 sections 3.5 and 4.1.1.6 (252: cannot verify, but will take it); RFC 1985 (ETRN).
"""

import re

from posthouse.address.path import parse_path
from posthouse.session.smtp.session import SmtpSession
from posthouse.wire.smtp.command import BAD_RECIPIENT
from posthouse.wire.smtp.dialogue import ETRN_IN_TRANSACTION, State
from posthouse.wire.smtp.reply import Reply

VRFY_SYNTAX = Reply(501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]")
VRFY_DISABLED = Reply(502, "5.5.1", "VRFY command is disabled")
ETRN_HELLO_FIRST = Reply(503, "", "Error: send HELO/EHLO first")
ETRN_SYNTAX = Reply(500, "", "Syntax: ETRN domain")
ETRN_INVALID = Reply(501, "", "Error: invalid parameter syntax")

# RFC 1985 section 5: a domain, perhaps with "@" or "#" in front; an address literal
_DOMAIN = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_LITERAL = re.compile(r"\[[0-9A-Za-z:.]+\]")


async def vrfy(session: SmtpSession, argument: str) -> bytes | Reply:
    """VRFY address [SMTPUTF8]."""
    if session.settings.disable_vrfy_command:
        return VRFY_DISABLED
    if not argument:
        return VRFY_SYNTAX
    shown = argument
    if argument.upper().endswith(" SMTPUTF8") and session.settings.smtputf8_enable:
        shown = argument[: -len(" SMTPUTF8")].rstrip()
    address = parse_path(shown, strict=session.settings.strict_rfc821_envelopes)
    if not address:
        session.log.warning(f"Illegal address syntax from {session.namaddr} in VRFY command: {shown}")
        return BAD_RECIPIENT
    refusal = session.judge(await session.stage.vrfy(address), "rcpt", "VRFY", recipient=address)
    if refusal is not None:
        return refusal
    return f"252 2.0.0 {shown}\r\n".encode("utf-8", "surrogateescape")


async def etrn(session: SmtpSession, argument: str) -> bytes | Reply:
    """ETRN domain."""
    if session.settings.smtpd_helo_required and not session.client.helo:
        return ETRN_HELLO_FIRST
    if session.dialogue.state is not State.READY:
        return ETRN_IN_TRANSACTION
    words = argument.split()
    if len(words) != 1:
        return ETRN_SYNTAX
    domain = words[0][1:] if words[0][0] in "@#" else words[0]
    if not _DOMAIN.fullmatch(domain) and not _LITERAL.fullmatch(domain):
        return ETRN_INVALID
    refusal = session.judge(await session.stage.etrn(domain), "rcpt", "ETRN", recipient="")
    if refusal is not None:
        return refusal
    flush = session.service.flush
    started = None if flush is None else await flush(domain)
    if started is None:
        session.log.warning(f"reject: ETRN {domain[:100]}... from {session.namaddr}")
        return Reply(459, "", f"<{domain}>: service unavailable")
    if not started:
        return Reply(458, "", f"<{domain}>: unable to queue messages")
    return b"250 Queuing started\r\n"
