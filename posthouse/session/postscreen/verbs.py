"""The verbs of postscreen's own small server. None of them takes mail.

Standards: RFC 5321 section 4; RFC 3207; not RFC 2920 (PIPELINING).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.address.local_part import quote_address, unquote_address
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.session.postscreen.dialogue import Dialogue
from posthouse.session.postscreen.ends import Dropped, HungUp
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.ehlo import discarded_words, offer
from posthouse.wire.smtp.reply import Reply

OK = Reply(250, "2.0.0", "Ok")
MAIL_OK = Reply(250, "2.1.0", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
HELLO_FIRST = Reply(503, "5.5.1", "Error: send HELO/EHLO first")
HELO_SYNTAX = Reply(501, "", "Syntax: HELO hostname")
EHLO_SYNTAX = Reply(501, "", "Syntax: EHLO hostname")
NESTED = Reply(503, "5.5.1", "Error: nested MAIL command")
MAIL_SYNTAX = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
NEED_MAIL = Reply(503, "5.5.1", "Error: need MAIL command")
RCPT_SYNTAX = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
DATA_SYNTAX = Reply(501, "5.5.4", "Syntax: DATA")
NEED_RCPT = Reply(503, "5.5.1", "Error: need RCPT command")
NO_RECIPIENTS = Reply(554, "5.5.1", "Error: no valid recipients")
BDAT_SYNTAX = Reply(501, "5.5.4", "Syntax: BDAT count [LAST]")
BDAT_NEED_MAIL = Reply(554, "5.5.1", "Error: need MAIL command")
VRFY_SYNTAX = Reply(501, "5.5.4", "Syntax: VRFY address")
VRFY_OFF = Reply(502, "5.5.1", "VRFY command is disabled")
ETRN_SYNTAX = Reply(500, "", "Syntax: ETRN domain")
ETRN_NO = Reply(458, "", "Unable to queue messages")
TLS_ACTIVE = Reply(554, "5.5.1", "Error: TLS already active")
TLS_OFF = Reply(502, "5.5.1", "Error: command not implemented")
TLS_UNAVAILABLE = Reply(454, "4.7.0", "TLS not available due to local problem")
TLS_READY = Reply(220, "2.0.0", "Ready to start TLS")


async def _hello(session: Dialogue, argument: str, syntax: Reply) -> bool:
    name = argument.partition(" ")[0]
    if not name:
        await session.say(syntax)
        return False
    session.helo = "".join([c if c.isprintable() else "?" for c in name])
    session.sender = None
    return True


async def _helo(session: Dialogue, argument: str) -> None:
    if await _hello(session, argument, HELO_SYNTAX):
        await session.say(Reply(250, "", session.visit.service.settings.myhostname))


async def _ehlo(session: Dialogue, argument: str) -> None:
    if not await _hello(session, argument, EHLO_SYNTAX):
        return
    session.protocol = "ESMTP"  # and stays so when HELO follows
    visit = session.visit
    service, settings = visit.service, visit.service.settings
    words: str | None = None
    try:
        words = await service.discard_ehlo(visit.client.host)
    except TableRetry:
        words = None
    found = settings.postscreen_discard_ehlo_keywords if words is None else words.replace(",", " ").split()
    discard = frozenset([word.upper() for word in found])
    if words is not None and discard and "SILENT-DISCARD" not in discard:
        told = discarded_words(discard)
        visit.log.info(f"[{visit.client.host}]{visit.client.port}: discarding EHLO keywords: {told}")
    reply = offer(
        settings.myhostname,
        size=settings.message_size_limit,
        vrfy=True,  # announced even where it is refused, as Postfix does
        etrn=True,
        starttls=service.starttls and not session.tls,
        mechanisms=(),
        broken_clients=False,
        smtputf8=settings.smtputf8_enable,
        discard=discard | {"PIPELINING"},
    )
    visit.stream.write(reply)


async def _starttls(session: Dialogue, argument: str) -> None:
    visit = session.visit
    service = visit.service
    if argument:
        await session.say(EHLO_SYNTAX)  # Postfix's own words
        return
    if session.tls:
        await session.say(TLS_ACTIVE)
        return
    if not service.starttls:
        await session.say(TLS_OFF)
        return
    if service.tls_context is None:
        await session.say(TLS_UNAVAILABLE)
        return
    await session.say(TLS_READY)
    log = visit.log.program("tlsproxy")
    log.info(f"CONNECT from {visit.where_from}")
    try:
        info = await visit.stream.start_tls(
            service.tls_context, server_side=True, timeout=service.settings.postscreen_starttls_timeout
        )
    except (TlsFailed, StreamTimeout, StreamClosed) as error:
        if isinstance(error, TlsFailed) and str(error) != "lost connection":
            log.warning(f"TLS library problem: {error}")
        log.info(f"TLS handshake failed for service=smtpd peer={visit.where_from}")
        log.info(f"DISCONNECT {visit.where_from}")
        raise HungUp from None
    if service.settings.postscreen_tls_loglevel > 0:
        trust = "Anonymous" if info.peer_certificate is None else "Trusted" if info.verified else "Untrusted"
        log.info(
            f"{trust} TLS connection established from {visit.where_from}: {info.protocol} with cipher {info.cipher} "
            f"({info.bits}/{info.bits} bits)"
        )
    session.tls = True
    # RFC 3207 section 4.2: what the client said before is forgotten, and so is what it sent ahead in plain text.
    session.helo, session.sender = "", None
    session.ahead = b""


def _path(argument: str) -> str | None:
    """The address behind the colon, without brackets and source route; None where there is no colon. Nothing depends on
    it but the log: what stands before the colon is not looked at, nor whether the address can be one."""
    _, colon, rest = argument.partition(":")
    return logged_address(rest.lstrip(" ")) if colon else None


def logged_address(text: str) -> str:
    """What the log tells of a path: up to the closing bracket, or to the first blank where none opens."""
    end = ">" if text.startswith("<") else " "
    quoted = False
    place = start = int(end == ">")
    while place < len(text) and (quoted or text[place] != end):
        if text[place] == "\\":
            place += 1
        elif text[place] == '"':
            quoted = not quoted
        place += 1
    address = text[start:place]
    if address.startswith("@"):  # RFC 5321 section 3.3: source routes are stripped
        address = address.partition(":")[2] or address
    return quote_address(unquote_address(address))


async def _mail(session: Dialogue, argument: str) -> None:
    if session.visit.service.settings.postscreen_helo_required and not session.helo:
        await session.say(HELLO_FIRST)
    elif session.sender is not None:
        await session.say(NESTED)
    elif (sender := _path(argument)) is None:
        await session.say(MAIL_SYNTAX)
    else:
        session.sender = sender
        await session.say(MAIL_OK)


async def _rcpt(session: Dialogue, argument: str) -> None:
    visit = session.visit
    if session.sender is None:
        await session.say(NEED_MAIL)
    elif (recipient := _path(argument)) is None:
        await session.say(RCPT_SYNTAX)
    else:
        said = " ".join(visit.softened(visit.rcpt_reply).lines())
        visit.log.info(
            f"NOQUEUE: reject: RCPT from {visit.where_from}: {said}; from=<{session.sender}>, to=<{recipient}>, "
            f"proto={session.protocol}, helo=<{session.helo}>"
        )
        visit.record("refused", said, visit.rcpt_evidence, sender=session.sender, recipient=recipient)
        await session.say(visit.rcpt_reply)


async def _data(session: Dialogue, argument: str) -> None:
    visit = session.visit
    visit.log.info(f"DATA without valid RCPT from {visit.where_from}")
    raise Dropped(DATA_SYNTAX if argument else NEED_RCPT if session.sender is None else NO_RECIPIENTS)


async def _bdat(session: Dialogue, argument: str) -> None:
    visit = session.visit
    visit.log.info(f"BDAT without valid RCPT from {visit.where_from}")
    raise Dropped(BDAT_SYNTAX if not argument else BDAT_NEED_MAIL if session.sender is None else NO_RECIPIENTS)


async def _rset(session: Dialogue, argument: str) -> None:
    session.sender = None
    await session.say(OK)


async def _noop(session: Dialogue, argument: str) -> None:
    await session.say(OK)


async def _vrfy(session: Dialogue, argument: str) -> None:
    settings = session.visit.service.settings
    if not argument:
        await session.say(VRFY_SYNTAX)
    elif settings.postscreen_disable_vrfy_command:
        await session.say(VRFY_OFF)
    else:
        await session.say(session.visit.rcpt_reply)


async def _etrn(session: Dialogue, argument: str) -> None:
    if session.visit.service.settings.postscreen_helo_required and not session.helo:
        await session.say(HELLO_FIRST)
    else:
        await session.say(ETRN_NO if argument else ETRN_SYNTAX)


async def _quit(session: Dialogue, argument: str) -> None:
    raise Dropped(BYE)


@dataclass(frozen=True, slots=True)
class Verb:
    """Who answers a verb, and what is so about it."""

    answer: Callable[[Dialogue, str], Awaitable[None]]
    plain: bool = False
    """Whether it may come before STARTTLS where TLS is required."""
    payload: bool = False
    """Whether bytes may come right behind it."""


VERBS: dict[str, Verb] = {
    "HELO": Verb(_helo, plain=True),
    "EHLO": Verb(_ehlo, plain=True),
    "STARTTLS": Verb(_starttls, plain=True),
    "MAIL": Verb(_mail),
    "RCPT": Verb(_rcpt),
    "DATA": Verb(_data),
    "BDAT": Verb(_bdat, payload=True),
    "RSET": Verb(_rset),
    "NOOP": Verb(_noop, plain=True),
    "VRFY": Verb(_vrfy),
    "ETRN": Verb(_etrn),
    "QUIT": Verb(_quit, plain=True),
}

UNSERVED = frozenset({"AUTH", "XCLIENT", "XFORWARD"})
"""Known, but not here."""
