"""Opening a connection: connect, greeting, EHLO, TLS if policy says so, login.

Trouble on the way is SiteFailed with the reason. After open() the connection is ready for transactions.

Standards: RFC 5321 sections 3.1, 3.2 and 4.5.3.2 (timeouts); RFC 3207 (STARTTLS: after it
everything starts over); RFC 2033 (LHLO).
"""

import errno
import ssl
from collections.abc import Awaitable, Callable

from posthouse.envelope.outcome import Dsn
from posthouse.envelope.request import DeliveryRequest
from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout, TlsFailed
from posthouse.net.tls import TlsUnusable
from posthouse.tables.table import TableRetry
from posthouse.transport.smtp.connection import Connection
from posthouse.transport.smtp.dane_chain import dane_failure
from posthouse.transport.smtp.hosts import Candidate, os_reason
from posthouse.transport.smtp.login import Login
from posthouse.transport.smtp.lookups import Lookups
from posthouse.transport.smtp.nexthop import Nexthop
from posthouse.transport.smtp.pix import NONE, Pix, is_pix
from posthouse.transport.smtp.reasons import SiteFailed, TlsRejected, failed_status, remote, said, soften
from posthouse.transport.smtp.sasl import RefusedLogins, log_in, note_offer
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.transport.smtp.tls_policy import Contexts, TlsPolicy, certificate_fits
from posthouse.transport.smtp.tls_sessions import TlsSessions
from posthouse.transport.smtp.transcript import Transcript
from posthouse.wire.smtp.client_offer import Offer, parse_offer
from posthouse.wire.smtp.client_reader import ClientReplyReader
from posthouse.wire.smtp.ehlo import discarded_words
from posthouse.wire.smtp.reply import Reply

Connect = Callable[[Candidate, float, str | None], Awaitable[Stream]]
"""Opens a stream to a candidate: (candidate, timeout, local address or None). Raises OSError, StreamTimeout."""

AUTHENTICATED = frozenset({"dane", "fingerprint", "verify", "secure"})
"""Levels at which the server has proved who it is."""


class Opener:
    """Opens connections for one transport."""

    def __init__(
        self,
        settings: SmtpSettings,
        contexts: Contexts,
        connect: Connect,
        log: ProcessLog,
        clock: Callable[[], float],
        *,
        lmtp: bool,
        lookups: Lookups,
        watched: bool,
        time: Callable[[], float],
    ) -> None:
        """`watched`: whether transcripts are wanted; `time` is that of the day."""
        self._settings = settings
        self._contexts = contexts
        self._connect = connect
        self._log = log
        self._clock = clock
        self._lmtp = lmtp
        self._lookups = lookups
        self._watched = watched
        self._refused = RefusedLogins(settings, clock)
        self._pix = Pix(settings, lookups.pix, log, time)
        self._discard = frozenset(word.lower() for word in settings.smtp_discard_ehlo_keywords)
        self._sessions = TlsSessions(settings, log, clock, "lmtp" if lmtp else "smtp")
        self._level = int(settings.smtp_tls_loglevel) if settings.smtp_tls_loglevel.isdigit() else 0

    async def open(
        self,
        candidate: Candidate,
        nexthop: Nexthop,
        policy: TlsPolicy,
        login: Login | None,
        request: DeliveryRequest,
        *,
        detect_loop: bool,
    ) -> Connection:
        """A connection ready for mail. Raises SiteFailed."""
        settings = self._settings
        opened = self._clock()
        try:
            stream = await self._bound(candidate)
        except StreamTimeout:
            raise SiteFailed(Dsn("4.4.1", f"connect to {candidate.relay}: Connection timed out")) from None
        except OSError as error:
            raise SiteFailed(Dsn("4.4.1", f"connect to {candidate.relay}: {os_reason(error)}")) from None
        connection = Connection(
            stream,
            candidate,
            settings,
            Offer(),
            ClientReplyReader(),
            opened,
            self._log,
            "LMTP" if self._lmtp else "ESMTP",
            request.queue_id,
            self._lookups.reply_filter,
            Transcript() if self._watched else None,
        )
        try:
            await self._greet(connection, nexthop, policy, login, request, detect_loop)
        except SiteFailed as failure:
            failure.transcript = connection.transcript
            if connection.usable:
                if connection.transcript is not None:
                    connection.transcript.sent(b"QUIT")
                stream.write(b"QUIT\r\n")  # Postfix, too, takes its leave of a server that will not do
            stream.close()
            raise
        except BaseException:
            stream.abort()
            raise
        return connection

    async def _bound(self, candidate: Candidate) -> Stream:
        """A stream from smtp_bind_address. Raises OSError, StreamTimeout and SiteFailed."""
        settings = self._settings
        timeout = settings.smtp_connect_timeout or 30
        bind = settings.smtp_bind_address6 if ":" in candidate.address else settings.smtp_bind_address
        if not bind or candidate.unix:
            return await self._connect(candidate, timeout, None)
        try:
            return await self._connect(candidate, timeout, bind)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            self._log.warning(f"smtp_connect_addr: bind {bind}: {os_reason(error)}")
        if settings.smtp_bind_address_enforce:
            raise SiteFailed(Dsn("4.4.0", "server configuration error"))
        return await self._connect(candidate, timeout, None)

    async def _greet(
        self,
        connection: Connection,
        nexthop: Nexthop,
        policy: TlsPolicy,
        login: Login | None,
        request: DeliveryRequest,
        detect_loop: bool,
    ) -> None:
        settings = self._settings
        candidate = connection.candidate
        if settings.smtp_tls_wrappermode and policy.level != "none":
            await self._start_tls(connection, nexthop, policy)
        greeting = await connection.reply(settings.smtp_helo_timeout, "receiving the initial server greeting")
        if greeting.code // 100 != 2:
            failure = _unwelcome(greeting, connection)
            # RFC 5321 section 3.1: 554 means no mail here; smtp_skip_5xx_greeting hopes for another host.
            if greeting.code // 100 == 5 and settings.smtp_skip_5xx_greeting:
                failure.dsn = soften(failure.dsn)
            raise failure
        workarounds = NONE
        if is_pix(greeting):
            workarounds = await self._pix.workarounds(
                candidate.address, candidate.relay, request.queue_id, request.arrival_time
            )
        connection.delay_dot = "delay_dotcrlf" in workarounds
        if detect_loop and greeting.text.split(" ", 1)[0].lower() == settings.myhostname.lower():
            self._log.warning(f"host {candidate.relay} greeted me with my own hostname {settings.myhostname}")
        extended = self._lmtp or settings.smtp_always_send_ehlo or "ESMTP" in greeting.text
        extended = extended and not settings.smtp_never_send_ehlo and "disable_esmtp" not in workarounds
        await self._hello(connection, nexthop, extended or self._lmtp, detect_loop)
        if not connection.stream.tls:
            if connection.offer.starttls and policy.level == "none" and settings.smtp_tls_note_starttls_offer:
                self._log.info(f"Host offered STARTTLS: [{candidate.host}]")
            if policy.level != "none":
                await self._negotiate_tls(connection, nexthop, policy, detect_loop)
        self._sessions.keep(nexthop, candidate, policy, connection.stream)
        if login is not None and connection.offer.mechanisms is not None:
            verified = policy.level in AUTHENTICATED
            await log_in(connection, login, settings, self._log, self._refused, verified=verified)

    async def _hello(self, connection: Connection, nexthop: Nexthop, extended: bool, detect_loop: bool) -> None:
        settings = self._settings
        candidate = connection.candidate
        name = settings.smtp_helo_name
        if extended:
            verb = "LHLO" if self._lmtp else "EHLO"
            doing = f"performing the {verb} handshake"
            reply = await connection.ask(f"{verb} {name}", settings.smtp_helo_timeout, doing)
            if reply.code // 100 == 2:
                discard = await self._discarded(candidate)
                offer = connection.offer = parse_offer(reply, discard)
                if discard and "silent-discard" not in discard:
                    self._log.info(f"discarding EHLO keywords: {discarded_words(discard)}")
                if offer.bad_size:
                    self._log.warning(f'bad {verb} SIZE limit "{offer.bad_size}" from {candidate.relay}')
                if settings.smtp_sasl_auth_enable:
                    note_offer(connection, settings, self._log)
                self._check_loop(reply, connection, nexthop, detect_loop)
                return
            if self._lmtp or reply.code == 421:
                raise _unwelcome(reply, connection)
        # RFC 5321 section 3.2: a server without EHLO gets HELO.
        reply = await connection.ask(f"HELO {name}", settings.smtp_helo_timeout, "performing the HELO handshake")
        if reply.code // 100 != 2:
            raise _unwelcome(reply, connection)
        connection.offer = Offer()
        self._check_loop(reply, connection, nexthop, detect_loop)

    async def _discarded(self, candidate: Candidate) -> frozenset[str]:
        """Keywords of EHLO that do not count, in lower case."""
        maps = self._lookups.discard
        if maps is not None:
            try:
                row = await maps.lookup(candidate.address)
            except TableRetry as error:
                raise SiteFailed(Dsn("4.3.0", f"{error}")) from None
            if row is not None:
                return frozenset(row.value.lower().replace(",", " ").split())
        return self._discard

    def _check_loop(self, reply: Reply, connection: Connection, nexthop: Nexthop, detect_loop: bool) -> None:
        named = reply.text.split("\n", 1)[0].split(" ", 1)[0]
        if detect_loop and named.lower() == self._settings.myhostname.lower():
            self._log.warning(
                f"host {connection.candidate.relay} replied to HELO/EHLO with my own hostname "
                f"{self._settings.myhostname}"
            )
            raise SiteFailed(Dsn("5.4.6", f"mail for {nexthop.host} loops back to myself"))

    async def _negotiate_tls(
        self, connection: Connection, nexthop: Nexthop, policy: TlsPolicy, detect_loop: bool
    ) -> None:
        candidate = connection.candidate
        if not connection.offer.starttls:
            if policy.mandatory:
                raise SiteFailed(Dsn("4.7.4", f"TLS is required, but was not offered by host {candidate.label}"))
            return
        reply = await connection.ask(
            "STARTTLS", self._settings.smtp_starttls_timeout, "receiving the STARTTLS response"
        )
        if reply.code // 100 != 2:
            if policy.mandatory:
                reason = f"TLS is required, but host {candidate.label} refused to start TLS: {said(reply)}"
                if connection.transcript is not None:
                    connection.transcript.judge(reply.code)
                raise SiteFailed(remote(reply, candidate.host, reason, status=failed_status(reply)))
            return
        await self._start_tls(connection, nexthop, policy)
        # RFC 3207 section 4.2: what the server offered before means nothing now.
        await self._hello(connection, nexthop, True, detect_loop)

    async def _start_tls(self, connection: Connection, nexthop: Nexthop, policy: TlsPolicy) -> None:
        settings = self._settings
        candidate = connection.candidate
        names = {"hostname": candidate.host, "nexthop": nexthop.host}
        server_name = names.get(policy.servername, policy.servername)
        try:
            context: ssl.SSLContext = self._contexts.context(policy)
            connection.reader = ClientReplyReader()
            if self._level > 1:
                self._log.info(f"setting up TLS connection to {candidate.relay}")
            info = await connection.stream.start_tls(
                context,
                server_side=False,
                server_name=server_name,
                timeout=settings.smtp_starttls_timeout,
                **self._sessions.find(nexthop, candidate, policy),
            )
        except TlsUnusable as error:
            self._log.warning(f"{error}")
            raise TlsRejected(Dsn("4.7.5", "TLS is required, but our TLS engine is unavailable")) from None
        except (TlsFailed, StreamTimeout, StreamClosed) as error:
            connection.usable = False
            self._sessions.forget(nexthop, candidate, policy)
            text = str(error) or "lost connection"
            if text.startswith("certificate verification failed"):
                self._log.info(text.replace("failed:", f"failed for {candidate.relay}:", 1))
                raise TlsRejected(Dsn("4.7.5", "Server certificate not trusted")) from None
            self._log.info(f"SSL_connect error to {candidate.relay}: {text}")
            raise TlsRejected(Dsn("4.7.5", "Cannot start TLS: handshake failure")) from None
        if info.resumed and self._level > 1:
            self._log.info(f"{candidate.relay}: Reusing old session")
        if policy.level == "dane":
            # A session is only kept once it has satisfied its policy, records included, and shows no chain again.
            chain = connection.stream.tls_chain()
            failure = None if info.resumed else dane_failure(chain, policy.tlsa, policy.match)
            fits = failure is None
            if failure is not None:
                self._log.info(f"{failure.whose} certificate verification failed for {candidate.relay}: {failure}")
        else:
            fits = certificate_fits(policy, info, nexthop, candidate.host, settings.smtp_tls_fingerprint_digest)
        if self._level > 0:
            word = "Untrusted" if info.peer_certificate is not None else "Anonymous"
            if policy.level in AUTHENTICATED:
                word = "Verified" if fits else "Untrusted" if policy.level == "dane" else "Trusted"
            self._log.info(f"{word} TLS connection established to {candidate.relay}: {info.words}")
        if not fits:
            self._sessions.forget(nexthop, candidate, policy)
            raise TlsRejected(Dsn("4.7.5", "Server certificate not verified"))


def _unwelcome(reply: Reply, connection: Connection) -> SiteFailed:
    candidate = connection.candidate
    if connection.transcript is not None:
        connection.transcript.judge(reply.code)
    reason = f"host {candidate.label} refused to talk to me: {said(reply)}"
    if reply.code // 100 == 2:
        reason = f"Protocol error: {reason}"
    return SiteFailed(remote(reply, candidate.host, reason, status=failed_status(reply)))
