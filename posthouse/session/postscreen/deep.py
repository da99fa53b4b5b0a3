"""The tests behind the greeting: a small SMTP server that takes no mail.

Every recipient is refused, with 450 where the client failed nothing: it cannot be handed over any more once it has said
something, and shall come again. Commands that belong together in a test's eyes are read one by one: pipelining is not
offered. Passes are given at the first RCPT; a test may still fail behind it.

Standards: RFC 5321 section 4; RFC 3207; not RFC 2920 (PIPELINING).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.address.local_part import quote_address
from posthouse.address.path import parse_path, take_path
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.session.postscreen.action import Act
from posthouse.session.postscreen.ends import Dropped, HungUp
from posthouse.session.postscreen.trials import BARE_NEWLINE, DEEP, NON_SMTP, PIPELINING, PREGREET
from posthouse.session.postscreen.visit import Visit, escaped
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.ehlo import discarded_words, offer
from posthouse.wire.smtp.reply import Reply

PIPELINED_LIMIT = 100
"""Bytes of a command, or of what was sent ahead, that are logged."""
TOO_MUCH = "{} Service unavailable - try again later"

OK = Reply(250, "2.0.0", "Ok")
MAIL_OK = Reply(250, "2.1.0", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
NOT_RECOGNIZED = Reply(502, "5.5.2", "Error: command not recognized")
STARTTLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
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
DROPPED = Reply(521, "5.5.1", "Protocol error")
ENFORCED = Reply(550, "5.5.1", "Protocol error")
GOODBYE = Reply(521, "5.7.0", "Error: I can break rules, too. Goodbye.")


class DeepSession:
    """The dialogue of one client."""

    __slots__ = ("_buffer", "_count", "_deadline", "helo", "protocol", "sender", "tls", "visit", "where")

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.helo = ""
        self.protocol = "SMTP"
        self.sender: str | None = None
        self.tls = False
        self.where = "CONNECT"
        self._buffer = b""
        self._count = 0
        self._deadline = 0.0

    async def run(self) -> None:
        """To its end: raises Dropped or HungUp."""
        visit = self.visit
        if visit.noforward:
            # Something failed already: the others are run as well, for the log tells more then.
            visit.due |= DEEP
        self._greet()
        try:
            while True:
                line, bare = await self._line()
                if bare and self._runs(BARE_NEWLINE):
                    self._fail(BARE_NEWLINE, f"BARE NEWLINE from {visit.where_from} after {line}", line, DROPPED)
                await self._command(line)
        finally:
            if self.tls:
                visit.log.program("tlsproxy").info(f"DISCONNECT {visit.where_from}")

    async def turn_away(self, reply: Reply) -> None:
        """The rest of the greeting, and the reply to whatever the client says: raises Dropped or HungUp."""
        self._greet()
        line, _ = await self._line()
        raise Dropped(BYE if line.strip().upper() == "QUIT" else reply)

    def _greet(self) -> None:
        visit = self.visit
        visit.begin("tests after SMTP handshake")
        visit.noforward = True
        if PREGREET not in visit.failed:
            banner = visit.service.settings.smtpd_banner
            visit.stream.write(f"220 {banner}\r\n".encode("utf-8", "surrogateescape"))

    # -- lines ----------------------------------------------------------------------------

    async def _line(self) -> tuple[str, bool]:
        """The next command line, and whether it ended without CR."""
        visit = self.visit
        limit = visit.service.settings.line_length_limit
        patience = visit.service.now_patience.postscreen_command_time_limit
        self._deadline = visit.stream.loop.time() + patience
        while True:
            end = self._buffer.find(b"\n", 0, limit + 2)
            if end >= 0:
                break
            if len(self._buffer) >= limit + 2:
                visit.log.info(f"COMMAND LENGTH LIMIT from {visit.where_from} after {self.where}")
                self._too_much()
            await self._read()
        line = self._buffer[:end]
        self._buffer = self._buffer[end + 1 :]
        bare = not line.endswith(b"\r")
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape"), bare

    async def _read(self) -> None:
        visit = self.visit
        stream = visit.stream
        try:
            data = await stream.read(max(self._deadline - stream.loop.time(), 0.001))
        except StreamTimeout:
            visit.log.info(f"COMMAND TIME LIMIT from {visit.where_from} after {self.where}")
            text = f"{visit.service.settings.myhostname} Error: timeout exceeded"
            raise Dropped(Reply(421, "4.4.2", text)) from None
        except StreamClosed:
            raise HungUp from None
        if not data:
            raise HungUp
        self._buffer += data

    def _too_much(self) -> None:
        raise Dropped(Reply(421, "", TOO_MUCH.format(self.visit.service.settings.myhostname)))

    # -- tests ----------------------------------------------------------------------------

    def _runs(self, test: int) -> bool:
        return test in self.visit.due and test not in self.visit.skipped

    def _fail(self, test: int, log: str, what: str, drop: Reply) -> None:
        """A deep test is failed: at most once in a session."""
        visit = self.visit
        visit.log.info(log)
        visit.skipped.add(test)
        action = visit.service.actions.deep[test]
        name = ("pipelining", "non_smtp_command", "bare_newline")[test - PIPELINING]
        evidence = visit.evidence_of(f"postscreen_{name}_action", what)
        visit.record("screened", f"{name}: {action.value}", evidence)
        if action is Act.IGNORE:
            visit.passes(test, visit.service.tests.shortest_ttl)
            return
        visit.failed.add(test)
        if action is Act.DROP:
            raise Dropped(drop, evidence)
        visit.enforce(ENFORCED, evidence)

    async def _command(self, line: str) -> None:
        visit = self.visit
        service = visit.service
        line = await self._filtered(line)
        word, _, argument = line.strip(" \t").replace("\t", " ").partition(" ")
        argument = argument.lstrip(" ")
        name = word.upper()
        verb = VERBS.get(name)
        shown = "".join([c if c.isprintable() else "?" for c in word])
        if verb is None and name not in UNSERVED and self._runs(NON_SMTP) and await self._foreign(word):
            rest = escaped(argument.encode("utf-8", "surrogateescape")[:PIPELINED_LIMIT])
            log = f"NON-SMTP COMMAND from {visit.where_from} after {self.where}: {shown[:PIPELINED_LIMIT]} {rest}"
            self._fail(NON_SMTP, log, f"{shown} {rest}", GOODBYE)
        if self._buffer == b"" and visit.stream.buffered():
            await self._read()
        if self._buffer and not (verb is not None and verb.payload) and self._runs(PIPELINING):
            ahead = escaped(self._buffer[:PIPELINED_LIMIT])
            log = f"COMMAND PIPELINING from {visit.where_from} after {shown[:PIPELINED_LIMIT]}: {ahead}"
            self._fail(PIPELINING, log, f"after {shown}: {ahead}", DROPPED)
        if name == "RCPT":
            for test in visit.due & DEEP - visit.failed - visit.passed:
                visit.passes(test, service.tests.ttl[test])
        self._count += 1
        if self._count > service.settings.postscreen_command_count_limit and name != "QUIT":
            visit.log.info(f"COMMAND COUNT LIMIT from {visit.where_from} after {self.where}")
            self._too_much()
        self.where = name if verb is not None or name in UNSERVED else "UNIMPLEMENTED"
        if verb is None:
            await visit.send(NOT_RECOGNIZED)
        elif service.settings.tls_required and not self.tls and not verb.plain:
            await visit.send(STARTTLS_FIRST)
        else:
            await verb.answer(self, argument)

    async def _filtered(self, line: str) -> str:
        """postscreen_command_filter."""
        visit = self.visit
        service = visit.service
        try:
            other = await service.command_filter(line)
        except TableRetry:
            visit.log.warning(f'{service.command_filter_name} lookup error for "{line[:PIPELINED_LIMIT]}"')
            return line
        if not other:
            return line
        old, new = line[:PIPELINED_LIMIT], other[:PIPELINED_LIMIT]
        visit.log.info(f'{visit.where_from}: replacing command "{old}" with "{new}"')
        return other

    async def _foreign(self, word: str) -> bool:
        """Whether it is a command of another protocol, or a header field."""
        if len(word) > 1 and word.endswith(":"):
            return True
        try:
            return bool(word) and await self.visit.service.forbidden(word) is not None
        except TableRetry:
            return False

    # -- verbs ----------------------------------------------------------------------------

    async def say(self, reply: Reply) -> None:
        """Answer."""
        await self.visit.send(reply)

    def forget_input(self) -> None:
        """Drop what was received and not looked at."""
        self._buffer = b""


async def _hello(session: DeepSession, argument: str, syntax: Reply, protocol: str) -> bool:
    name = argument.partition(" ")[0]
    if not name:
        await session.say(syntax)
        return False
    session.helo = "".join([c if c.isprintable() else "?" for c in name])
    session.protocol = protocol
    session.sender = None
    return True


async def _helo(session: DeepSession, argument: str) -> None:
    if await _hello(session, argument, HELO_SYNTAX, "SMTP"):
        await session.say(Reply(250, "", session.visit.service.settings.myhostname))


async def _ehlo(session: DeepSession, argument: str) -> None:
    if not await _hello(session, argument, EHLO_SYNTAX, "ESMTP"):
        return
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


async def _starttls(session: DeepSession, argument: str) -> None:
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
    session.forget_input()


def _path(argument: str, keyword: str) -> str | None:
    """The address behind FROM: or TO:, without brackets and source route; None where the keyword is missing."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    path, _ = take_path(argument[len(keyword) :].lstrip(" "))
    address = parse_path(path)
    return quote_address(path.strip("<>") if address is None else address)


async def _mail(session: DeepSession, argument: str) -> None:
    if session.visit.service.settings.postscreen_helo_required and not session.helo:
        await session.say(HELLO_FIRST)
    elif session.sender is not None:
        await session.say(NESTED)
    elif (sender := _path(argument, "FROM:")) is None:
        await session.say(MAIL_SYNTAX)
    else:
        session.sender = sender
        await session.say(MAIL_OK)


async def _rcpt(session: DeepSession, argument: str) -> None:
    visit = session.visit
    if session.sender is None:
        await session.say(NEED_MAIL)
    elif (recipient := _path(argument, "TO:")) is None:
        await session.say(RCPT_SYNTAX)
    else:
        said = " ".join(visit.softened(visit.rcpt_reply).lines())
        visit.log.info(
            f"NOQUEUE: reject: RCPT from {visit.where_from}: {said}; from=<{session.sender}>, to=<{recipient}>, "
            f"proto={session.protocol}, helo=<{session.helo}>"
        )
        visit.record("refused", said, visit.rcpt_evidence, sender=session.sender, recipient=recipient)
        await session.say(visit.rcpt_reply)


async def _data(session: DeepSession, argument: str) -> None:
    visit = session.visit
    visit.log.info(f"DATA without valid RCPT from {visit.where_from}")
    raise Dropped(DATA_SYNTAX if argument else NEED_RCPT if session.sender is None else NO_RECIPIENTS)


async def _bdat(session: DeepSession, argument: str) -> None:
    visit = session.visit
    visit.log.info(f"BDAT without valid RCPT from {visit.where_from}")
    raise Dropped(BDAT_SYNTAX if not argument else BDAT_NEED_MAIL if session.sender is None else NO_RECIPIENTS)


async def _rset(session: DeepSession, argument: str) -> None:
    session.sender = None
    await session.say(OK)


async def _noop(session: DeepSession, argument: str) -> None:
    await session.say(OK)


async def _vrfy(session: DeepSession, argument: str) -> None:
    settings = session.visit.service.settings
    if not argument:
        await session.say(VRFY_SYNTAX)
    elif settings.postscreen_disable_vrfy_command:
        await session.say(VRFY_OFF)
    else:
        await session.say(session.visit.rcpt_reply)


async def _etrn(session: DeepSession, argument: str) -> None:
    if session.visit.service.settings.postscreen_helo_required and not session.helo:
        await session.say(HELLO_FIRST)
    else:
        await session.say(ETRN_NO if argument else ETRN_SYNTAX)


async def _quit(session: DeepSession, argument: str) -> None:
    raise Dropped(BYE)


@dataclass(frozen=True, slots=True)
class Verb:
    """Who answers a verb, and what is so about it."""

    answer: Callable[[DeepSession, str], Awaitable[None]]
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
