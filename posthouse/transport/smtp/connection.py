"""One connection to a server: opened, greeted, in TLS if policy says so, logged in.

Trouble on the way is SiteFailed with the reason. After open() the connection is ready for
transactions (transaction.py); session_cache.py keeps it between them.

Standards: RFC 5321 sections 3.1, 3.2 and 4.5.3.2 (timeouts); RFC 3207 (STARTTLS: after it
everything starts over); RFC 4954 (AUTH); RFC 2033 (LHLO).
"""

import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.envelope.outcome import Dsn
from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout, TlsFailed
from posthouse.net.tls import TlsUnusable
from posthouse.transport.smtp.dane_chain import dane_failure
from posthouse.transport.smtp.hosts import Candidate, os_reason
from posthouse.transport.smtp.login import Login, allowed_mechanisms, no_mechanism, no_worthy_mechanism
from posthouse.transport.smtp.nexthop import Nexthop
from posthouse.transport.smtp.reasons import SiteFailed, TlsRejected, remote, said, soften
from posthouse.transport.smtp.settings import SmtpSettings
from posthouse.transport.smtp.tls_policy import Contexts, TlsPolicy, certificate_fits
from posthouse.transport.smtp.tls_sessions import TlsSessions
from posthouse.wire.smtp.client_auth import MECHANISMS, choose_mechanism
from posthouse.wire.smtp.client_offer import Offer, parse_offer
from posthouse.wire.smtp.client_reader import ClientReplyReader
from posthouse.wire.smtp.ehlo import discarded_words
from posthouse.wire.smtp.reply import RemoteProtocolError, Reply

Connect = Callable[[Candidate, float, str | None], Awaitable[Stream]]
"""Opens a stream to a candidate: (candidate, timeout, local address or None). Raises OSError, StreamTimeout."""

AUTHENTICATED = frozenset({"dane", "fingerprint", "verify", "secure"})
"""Levels at which the server has proved who it is."""
AUTH_ROUNDS = 10
"""Challenges in one AUTH exchange; no mechanism we speak needs more than three."""


@dataclass(slots=True)
class Connection:
    """A connection that is ready."""

    stream: Stream
    candidate: Candidate
    settings: SmtpSettings
    offer: Offer
    reader: ClientReplyReader
    opened: float
    """Monotonic seconds."""
    uses: int = 0
    usable: bool = True
    """Whether it is in step: no transaction open, no reply owed."""

    async def reply(self, timeout: float, doing: str) -> Reply:
        """The next reply. Raises SiteFailed when the connection broke while `doing`."""
        reader = self.reader
        stream = self.stream
        try:
            while True:
                reply = reader.next_reply()
                if reply is not None:
                    return reply
                data = await stream.read(timeout)
                if not data:
                    break
                reader.receive(data)
        except StreamTimeout:
            self.usable = False
            raise SiteFailed(
                Dsn("4.4.2", f"conversation with {self.candidate.label} timed out while {doing}")
            ) from None
        except StreamClosed:
            pass
        except RemoteProtocolError as error:
            self.usable = False
            raise SiteFailed(
                Dsn("4.5.0", f"protocol error: {error} from {self.candidate.label} while {doing}")
            ) from None
        self.usable = False
        raise SiteFailed(Dsn("4.4.2", f"lost connection with {self.candidate.label} while {doing}"))

    async def ask(self, line: str, timeout: float, doing: str) -> Reply:
        """Send one command and take its reply."""
        self.stream.send(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self.reply(timeout, doing)

    def say_quit(self) -> bool:
        """Say goodbye; close unless the server's answer is to be awaited (True: quit() does that)."""
        if self.usable:
            self.stream.write(b"QUIT\r\n")
            if not self.settings.smtp_skip_quit_response:
                return True
        self.usable = False
        self.stream.close()
        return False

    async def quit(self) -> None:
        """Wait for the answer to QUIT and close; nothing that happens here matters to any message."""
        try:
            await self.reply(self.settings.smtp_quit_timeout, "sending QUIT")
        except SiteFailed:
            pass
        self.usable = False
        self.stream.close()


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
    ) -> None:
        self._settings = settings
        self._contexts = contexts
        self._connect = connect
        self._log = log
        self._clock = clock
        self._lmtp = lmtp
        self._discard = frozenset(word.lower() for word in settings.smtp_discard_ehlo_keywords)
        self._sessions = TlsSessions(settings, log, clock, "lmtp" if lmtp else "smtp")
        self._level = int(settings.smtp_tls_loglevel) if settings.smtp_tls_loglevel.isdigit() else 0

    async def open(
        self, candidate: Candidate, nexthop: Nexthop, policy: TlsPolicy, login: Login | None, *, detect_loop: bool
    ) -> Connection:
        """A connection ready for mail. Raises SiteFailed."""
        settings = self._settings
        opened = self._clock()
        bind = settings.smtp_bind_address6 if ":" in candidate.address else settings.smtp_bind_address
        try:
            stream = await self._connect(candidate, settings.smtp_connect_timeout or 30, bind or None)
        except StreamTimeout:
            raise SiteFailed(Dsn("4.4.1", f"connect to {candidate.relay}: Connection timed out")) from None
        except OSError as error:
            raise SiteFailed(Dsn("4.4.1", f"connect to {candidate.relay}: {os_reason(error)}")) from None
        connection = Connection(stream, candidate, settings, Offer(), ClientReplyReader(), opened)
        try:
            await self._greet(connection, nexthop, policy, login, detect_loop)
        except SiteFailed:
            if connection.usable:
                stream.write(b"QUIT\r\n")  # Postfix, too, takes its leave of a server that will not do
            stream.close()
            raise
        except BaseException:
            stream.abort()
            raise
        return connection

    async def _greet(
        self, connection: Connection, nexthop: Nexthop, policy: TlsPolicy, login: Login | None, detect_loop: bool
    ) -> None:
        settings = self._settings
        candidate = connection.candidate
        if settings.smtp_tls_wrappermode and policy.level != "none":
            await self._start_tls(connection, nexthop, policy)
        greeting = await connection.reply(settings.smtp_helo_timeout, "receiving the initial server greeting")
        if greeting.code // 100 != 2:
            dsn = _unwelcome(greeting, candidate)
            # RFC 5321 section 3.1: 554 means no mail here; smtp_skip_5xx_greeting hopes for another host.
            raise SiteFailed(soften(dsn) if settings.smtp_skip_5xx_greeting else dsn)
        if detect_loop and greeting.text.split(" ", 1)[0].lower() == settings.myhostname.lower():
            self._log.warning(f"host {candidate.relay} greeted me with my own hostname {settings.myhostname}")
        extended = self._lmtp or settings.smtp_always_send_ehlo or "ESMTP" in greeting.text
        await self._hello(connection, nexthop, extended and not settings.smtp_never_send_ehlo, detect_loop)
        if not connection.stream.tls:
            if connection.offer.starttls and policy.level == "none" and settings.smtp_tls_note_starttls_offer:
                self._log.info(f"Host offered STARTTLS: [{candidate.host}]")
            if policy.level != "none":
                await self._negotiate_tls(connection, nexthop, policy, detect_loop)
        self._sessions.keep(nexthop, candidate, policy, connection.stream)
        if login is not None and connection.offer.mechanisms is not None:
            await self._log_in(connection, policy, login)

    async def _hello(self, connection: Connection, nexthop: Nexthop, extended: bool, detect_loop: bool) -> None:
        settings = self._settings
        candidate = connection.candidate
        name = settings.smtp_helo_name
        if extended:
            verb = "LHLO" if self._lmtp else "EHLO"
            doing = f"performing the {verb} handshake"
            reply = await connection.ask(f"{verb} {name}", settings.smtp_helo_timeout, doing)
            if reply.code // 100 == 2:
                connection.offer = parse_offer(reply, self._discard)
                if self._discard:
                    self._log.info(f"discarding EHLO keywords: {discarded_words(self._discard)}")
                self._check_loop(reply, connection, nexthop, detect_loop)
                return
            if self._lmtp or reply.code == 421:
                raise SiteFailed(_unwelcome(reply, candidate))
        # RFC 5321 section 3.2: a server without EHLO gets HELO.
        reply = await connection.ask(f"HELO {name}", settings.smtp_helo_timeout, "performing the HELO handshake")
        if reply.code // 100 != 2:
            raise SiteFailed(_unwelcome(reply, candidate))
        connection.offer = Offer()
        self._check_loop(reply, connection, nexthop, detect_loop)

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
            "STARTTLS", self._settings.smtp_starttls_timeout, "performing the STARTTLS handshake"
        )
        if reply.code // 100 != 2:
            if policy.mandatory:
                reason = f"TLS is required, but host {candidate.label} refused to start TLS: {said(reply)}"
                raise SiteFailed(soften(remote(reply, candidate.host, reason, status="4.7.5")))
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

    async def _log_in(self, connection: Connection, policy: TlsPolicy, login: Login) -> None:
        settings = self._settings
        label = connection.candidate.label
        allowed = allowed_mechanisms(connection.offer.mechanisms or (), settings)
        if not allowed:
            raise SiteFailed(no_mechanism(label))
        options = settings.smtp_sasl_security_options
        if connection.stream.tls is not None:
            verified = policy.level in AUTHENTICATED
            options = (
                settings.smtp_sasl_tls_verified_security_options
                if verified
                else settings.smtp_sasl_tls_security_options
            )
        mechanism = choose_mechanism(allowed, options)
        if not mechanism:
            self._log.warning("SASL authentication failure: No worthy mechs found")
            raise SiteFailed(no_worthy_mechanism(label))
        exchange = MECHANISMS[mechanism](login.user, login.password)
        doing = "performing SASL authentication"
        first = next(exchange)
        # RFC 4954 section 4: the initial response goes with the command; an empty one is "=".
        line = f"AUTH {mechanism}"
        if first is not None:
            line += " " + (base64.b64encode(first).decode() or "=")
        reply = await connection.ask(line, settings.smtp_mail_timeout, doing)
        for _ in range(AUTH_ROUNDS):
            if reply.code // 100 != 3:
                break
            try:
                answer = exchange.send(base64.b64decode(reply.text))
            except (ValueError, StopIteration):
                # RFC 4954 section 4: "*" gives up on a challenge that cannot be answered.
                reply = await connection.ask("*", settings.smtp_mail_timeout, doing)
                break
            reply = await connection.ask(base64.b64encode(answer or b"").decode(), settings.smtp_mail_timeout, doing)
        if reply.code // 100 != 2:
            reason = f"SASL authentication failed; server {label} said: {said(reply)}"
            dsn = remote(reply, connection.candidate.host, reason)
            if reply.code // 100 == 3:
                dsn = remote(reply, connection.candidate.host, reason, status="4.7.0")
            raise SiteFailed(soften(dsn) if settings.smtp_sasl_auth_soft_bounce else dsn)


def _unwelcome(reply: Reply, candidate: Candidate) -> Dsn:
    status = reply.enhanced_status
    return remote(
        reply,
        candidate.host,
        f"host {candidate.label} refused to talk to me: {said(reply)}",
        status=status if status[0] in "45" else "4.5.0",
    )
