"""HELO, EHLO, and LMTP's LHLO.

Standards: RFC 5321 section 4.1.1.1; RFC 2033 section 4.1.
"""

from posthouse.session.smtp.session import SmtpSession
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.ehlo import discarded_words
from posthouse.wire.smtp.reply import Reply

HELO_SYNTAX = Reply(501, "", "Syntax: HELO hostname")
EHLO_SYNTAX = Reply(501, "", "Syntax: EHLO hostname")
LHLO_SYNTAX = Reply(501, "", "Syntax: LHLO hostname")

SILENT = frozenset({"SILENT-DISCARD", "ENHANCEDSTATUSCODES"})
"""Keywords with which the log does not say what is discarded; of the second only Postfix knows why."""

_NEUTER = {ord(character): "?" for character in ' <>()\\";@'}


def printable_name(argument: str) -> str:
    """The name as it may stand in log lines and Received fields."""
    name = " ".join(argument.split()).translate(_NEUTER)
    return name if name.isprintable() else "".join(c if c.isprintable() or c >= "\ud800" else "?" for c in name)


async def helo(session: SmtpSession, argument: str) -> bytes | Reply:
    """HELO hostname."""
    if not argument:
        return HELO_SYNTAX
    reply = await _greet(session, argument, esmtp=False)
    if reply is not None:
        return reply
    return f"250 {session.settings.myhostname}\r\n".encode("utf-8", "surrogateescape")


async def ehlo(session: SmtpSession, argument: str) -> bytes | Reply:
    """EHLO hostname: what we offer depends on the client and on whether TLS is on."""
    if not argument:
        return EHLO_SYNTAX
    reply = await _greet(session, argument, esmtp=True)
    if reply is not None:
        return reply
    return await _offer(session)


async def lhlo(session: SmtpSession, argument: str) -> bytes | Reply:
    """LHLO hostname: EHLO under the name that tells LMTP apart."""
    if not argument:
        return LHLO_SYNTAX
    reply = await _greet(session, argument, esmtp=True)
    if reply is not None:
        return reply
    return await _offer(session)


async def _offer(session: SmtpSession) -> bytes:
    service = session.service
    try:
        words = await service.discard_ehlo(session.client.address)
    except TableRetry:
        words = None
    discard = session.settings.discarded if words is None else frozenset(words.replace(",", " ").upper().split())
    if discard and not discard & SILENT:
        session.log.info("discarding EHLO keywords: " + discarded_words(discard))
    session.discard = discard - {"SILENT-DISCARD"}
    tls = session.tls is not None
    if session.settings.smtpd_sasl_auth_enable:
        await service.learn_mechanisms()
    auth = service.auth_offered(tls=tls) and not session.auth_exempt
    return service.ehlo_reply(
        tls=tls,
        auth=auth,
        xclient=session.xclient_authorized,
        xforward=session.xforward_authorized,
        discard=session.discard,
    )


async def _greet(session: SmtpSession, argument: str, *, esmtp: bool) -> Reply | None:
    name = printable_name(argument)
    before = session.client
    lmtp = session.service.lmtp
    session.rename(helo=name, protocol="LMTP" if lmtp else "SMTP")  # ESMTP begins when EHLO was taken
    verdict = await session.stage.helo(name, esmtp)
    word = "LHLO" if lmtp else "EHLO" if esmtp else "HELO"
    refusal = session.judge(verdict, "helo", word)
    if esmtp and not lmtp:
        session.rename(helo=name, protocol="ESMTP")
    if refusal is None and session.milters is not None:
        refusal = await session.milters.helo(argument, word, before)
    if refusal is not None:
        session.client = before  # RFC 5321 section 4.1.4: a refused EHLO changes nothing
        return refusal
    session.reset()
    if session.milters is not None and before.helo:
        session.milters.reset()
    return None
