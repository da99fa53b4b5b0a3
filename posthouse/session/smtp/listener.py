"""A listener's sessions, from connect to disconnect.

SmtpListener.on_stream() is given to net.tcp.start_server(). The dialogue itself is a loop over
command lines; VERBS says who answers each verb.

Standards: RFC 5321 sections 3.1, 3.8, 4.2 and 4.5.3.2 (timeouts).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.dns.ptr import client_name
from posthouse.envelope.envelope import Client
from posthouse.host.log import ProcessLog
from posthouse.net.connection import TcpStream
from posthouse.net.stream import Address
from posthouse.session.smtp.auth import auth
from posthouse.session.smtp.bdat import bdat
from posthouse.session.smtp.control import noop, quit, rset
from posthouse.session.smtp.data import data
from posthouse.session.smtp.greeting import greet, know
from posthouse.session.smtp.hello import ehlo, helo, lhlo
from posthouse.session.smtp.mail import mail
from posthouse.session.smtp.rcpt import rcpt
from posthouse.session.smtp.seams import nothing
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.session import OK, SessionEnded, SmtpSession
from posthouse.session.smtp.starttls import handshake, starttls
from posthouse.session.smtp.upstream import proxied
from posthouse.session.smtp.vrfy import etrn, vrfy
from posthouse.session.smtp.xclient import xclient
from posthouse.session.smtp.xforward import xforward
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.reply import Reply

NOT_RECOGNIZED = Reply(500, "5.5.2", "Error: command not recognized")
BAD_SYNTAX = Reply(500, "5.5.2", "Error: bad syntax")
BAD_UTF8 = Reply(500, "5.5.2", "Error: bad UTF-8 syntax")
STARTTLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
GOODBYE = Reply(221, "2.7.0", "Error: I can break rules, too. Goodbye.")
NOT_SYNCHRONIZED = Reply(554, "5.5.0", "Error: SMTP protocol synchronization")
FILTER_FAILED = Reply(451, "4.3.0", "Server local error")
SHOWN = 30
"""Characters of an overlong command line that are logged."""


@dataclass(frozen=True, slots=True)
class Verb:
    """Who answers a verb, and what is so about it."""

    answer: Callable[[SmtpSession, str], Awaitable[bytes | Reply]]
    name: str
    plain: bool = False
    """Whether it may come before STARTTLS where TLS is required."""
    last: bool = False
    """Whether it must end a group of pipelined commands (RFC 2920 section 3.1)."""
    junk: bool = False
    """Whether smtpd_junk_command_limit counts it."""


VERBS: dict[str, Verb] = {
    "HELO": Verb(helo, "helo", plain=True, last=True),
    "EHLO": Verb(ehlo, "ehlo", plain=True, last=True),
    "STARTTLS": Verb(starttls, "starttls", plain=True, last=True),
    "AUTH": Verb(auth, "auth", last=True),
    "MAIL": Verb(mail, "mail"),
    "RCPT": Verb(rcpt, "rcpt"),
    "DATA": Verb(data, "data", last=True),
    "BDAT": Verb(bdat, "bdat"),
    "RSET": Verb(rset, "rset", junk=True),
    "NOOP": Verb(noop, "noop", plain=True, last=True, junk=True),
    "VRFY": Verb(vrfy, "vrfy", last=True, junk=True),
    "ETRN": Verb(etrn, "etrn", junk=True),
    "QUIT": Verb(quit, "quit", plain=True),
    "XCLIENT": Verb(xclient, "xclient"),
    "XFORWARD": Verb(xforward, "xforward"),
}

LMTP_VERBS: dict[str, Verb] = {
    "LHLO": Verb(lhlo, "lhlo", plain=True, last=True),
    **{name: verb for name, verb in VERBS.items() if name not in ("HELO", "EHLO", "ETRN")},
}
"""RFC 2033 section 4.1: HELO and EHLO are not there."""


UNTIL_HELO = "SMTP"
"""What a client speaks that never said HELO."""


def _denied(session: SmtpSession) -> Reply:
    return Reply(503, "5.7.0", f"Error: access denied for {session.namaddr}")


class SmtpListener:
    """Runs the sessions of one listener."""

    def __init__(self, service: SmtpService) -> None:
        self.service = service
        self._verbs = LMTP_VERBS if service.lmtp else VERBS
        self._no_certificate_told = False

    async def on_stream(self, stream: TcpStream) -> None:
        """One session, to its end."""
        service = self.service
        log = service.log.session(next(service.numbers))
        peer, local = stream.peer, stream.local
        if service.settings.smtpd_upstream_proxy_protocol:
            ends = await proxied(stream, service.settings.smtpd_upstream_proxy_timeout)
            if isinstance(ends, str):
                log.warning(f"haproxy read: {ends}")
                log.info(f"connect from unknown[{peer.host}]")
                stream.write(bytes(Reply(421, "4.3.0", f"{service.settings.myhostname} Server local error")))
                log.info(f"disconnect from unknown[{peer.host}] commands=0/0")
                stream.close()
                return
            peer, local = ends
        await self._serve(stream, log, peer, local)

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        """One session with a client that postscreen hands over, and that it told the ends of."""
        await self._serve(stream, self.service.log.session(next(self.service.numbers)), peer, local)

    async def _serve(self, stream: TcpStream, log: ProcessLog, peer: Address, local: Address) -> None:
        service = self.service
        wanted = service.settings.tls_offered or service.settings.smtpd_tls_wrappermode
        if wanted and service.tls_context is None and not self._no_certificate_told:
            self._no_certificate_told = True
            log.warning("No server certs available. TLS won't be enabled")
        client = await self._client(peer, log.warning)
        session = SmtpSession(service, stream, log, client, local)
        log.info(f"connect from {session.namaddr}")
        session.record("connect", "", f"{session.namaddr}")
        open_now, rate = service.limits.connected(service.name, client.address)
        session.connections = open_now
        reason = "lost connection"
        try:
            await self._converse(session, open_now, rate)
            reason = ""
        except SessionEnded as end:
            reason = str(end)
        finally:
            service.limits.disconnected(service.name, client.address)
            if session.milters is not None:
                session.milters.end()
            if session.transaction is not None:
                session.transaction.rollback()
            # Whoever hangs up behind his message has said all that he had to say.
            if reason and (reason, session.where) != ("lost connection", "END-OF-MESSAGE"):
                log.info(f"{reason} after {session.where} from {session.namaddr}")
            log.info(f"disconnect from {session.namaddr} {session.tally()}")
            session.stream.close()
        transcript, notices = session.transcript, service.notices
        if transcript is not None and notices is not None and notices.wanted(transcript.errors):
            await notices.tell(session.namaddr, list(transcript.lines()), reason)

    async def _client(self, peer: Address, warn: Callable[[str], None]) -> Client:
        if not peer.host:  # a Unix socket
            return Client(protocol=UNTIL_HELO)
        address = peer.host.removeprefix("::ffff:") if "." in peer.host else peer.host
        service = self.service
        if service.resolver is None or not service.settings.smtpd_peername_lookup:
            return Client("unknown", address, str(peer.port), "unknown", protocol=UNTIL_HELO)
        found = await client_name(address, service.resolver, hosts=service.hosts, warn=warn)
        return Client(found.name, address, str(peer.port), found.reverse_name, protocol=UNTIL_HELO)

    async def _converse(self, session: SmtpSession, open_now: int, rate: int) -> None:
        service, settings, client = self.service, session.settings, session.client
        if settings.smtpd_tls_wrappermode:
            if service.tls_context is None:
                session.log.warning(
                    f"Wrapper-mode request dropped from {session.namaddr} for service {service.name}. TLS context "
                    "initialization failed. For details see earlier warnings in your logs."
                )
                raise SessionEnded("")
            await handshake(session)
        await know(session)
        if not session.exempt:
            for limit, number, what in (
                (settings.smtpd_client_connection_count_limit, open_now, "concurrency"),
                (settings.smtpd_client_connection_rate_limit, rate, "rate"),
            ):
                if limit and number > limit:
                    session.log.warning(
                        f"Connection {what} limit exceeded: {number} from {session.namaddr} for service {service.name}"
                    )
                    text = f"{settings.myhostname} Error: too many connections from {client.address}"
                    await session.answer(Reply(421, "4.7.0", text))
                    await session.flush()
                    return
        if not await greet(session):
            return
        await self._commands(session)

    async def _commands(self, session: SmtpSession) -> None:
        settings = session.settings
        while True:
            if session.error_count >= settings.smtpd_hard_error_limit:
                text = f"{settings.myhostname} Error: too many errors"
                await session.answer(Reply(421, "4.7.0", text))
                await session.flush()
                raise SessionEnded("too many errors")
            dialogue = session.dialogue  # another one after STARTTLS
            line = dialogue.next_line()
            if line is None:
                session.new_request()
                while line is None:
                    dialogue.receive(await session.read())
                    line = dialogue.next_line()
            if dialogue.too_long:
                shown = line[:SHOWN].decode("latin-1")
                session.log.warning(f"{session.namaddr}: request longer than {settings.line_length_limit}: {shown}...")
            if await self._command(session, line.decode("utf-8", "surrogateescape")):
                await session.flush()
                return

    async def _command(self, session: SmtpSession, line: str) -> bool:
        """Answer one line; True when the session is over."""
        service, settings = self.service, session.settings
        if session.transcript is not None:
            session.transcript.heard(line)
        if service.command_filter is not nothing:
            try:
                wanted = await service.command_filter(line)
                if wanted is not None and wanted != line:
                    session.log.info(f'{session.namaddr}: replacing command "{line[:100]}" with "{wanted[:100]}"')
                    line = wanted
            except TableRetry:
                session.log.warning("smtpd_command_filter lookup error")
                await self._error(session, "unknown", FILTER_FAILED)
                return False
        if settings.smtputf8_enable and not line.isascii() and any("\ud800" <= c <= "\udfff" for c in line):
            session.misspoke(BAD_UTF8)
            session.error_count += 1
            await session.answer(BAD_UTF8)
            return False
        word, _, argument = line.strip().replace("\t", " ").partition(" ")
        name = word.upper()
        if settings.smtpd_noop_commands and name in {known.upper() for known in settings.smtpd_noop_commands}:
            session.send(OK)  # not in the counters, as in Postfix
            self._junk(session)
            return False
        verb = self._verbs.get(name)
        if verb is None:
            return await self._unknown(session, word, line)
        if session.access_denied and name != "QUIT":
            await self._error(session, verb.name, _denied(session))
            return False
        session.where = name
        if session.tls is None and not verb.plain and settings.tls_required:
            await self._error(session, verb.name, STARTTLS_FIRST)
            return False
        if session.dialogue.pending and (verb.last or session.client.protocol == UNTIL_HELO):
            session.improper_pipelining(name)
            if settings.smtpd_forbid_unauth_pipelining:
                await self._error(session, verb.name, NOT_SYNCHRONIZED)
                return True
        session.stage.facts.pipelined = session.spoke_ahead
        if verb.junk:
            self._junk(session)
        try:
            reply = await verb.answer(session, argument.lstrip())
        except SessionEnded:
            session.counted(verb.name, good=False)
            raise
        except TableRetry:
            reply = Reply(451, "4.3.0", "Temporary lookup failure")
        if isinstance(reply, bytes):
            session.counted(verb.name, good=name != "XCLIENT")  # Postfix never counts one as good
            if reply:
                session.send(reply)
            return name == "QUIT"
        await self._error(session, verb.name, reply)
        return reply.code in (421, 521)

    def _junk(self, session: SmtpSession) -> None:
        """One more command that does nothing; past smtpd_junk_command_limit each is an error."""
        session.junk_count += 1
        if session.junk_count > session.settings.smtpd_junk_command_limit:
            session.error_count += 1

    async def _error(self, session: SmtpSession, counter: str, reply: Reply) -> None:
        session.counted(counter, good=False)
        session.misspoke(reply)
        session.error_count += 1
        await session.answer(reply)

    async def _unknown(self, session: SmtpSession, word: str, line: str) -> bool:
        if not word:
            session.error_count += 1
            await session.answer(BAD_SYNTAX)
            return False
        session.where = "UNKNOWN"
        try:
            forbidden = word.endswith(":") or await self.service.forbidden(word) is not None
        except TableRetry:
            forbidden = False
        if forbidden:
            session.log.warning(f"non-SMTP command from {session.namaddr}: {line}")
            session.counted("unknown", good=False)
            session.error_count += 1
            session.send(bytes(GOODBYE))
            return True
        if session.access_denied:
            await self._error(session, "unknown", _denied(session))
            return False
        reply = None if session.milters is None else await session.milters.unknown(word)
        await self._error(session, "unknown", reply or NOT_RECOGNIZED)
        return reply is not None and reply.code == 421
