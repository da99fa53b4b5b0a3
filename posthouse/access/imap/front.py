"""A listener's sessions up to login, and what surrounds them: greeting, TLS, limits, log lines.

ImapListener.on_stream() is given to net.tcp.start_server(). After login the dialogue goes on in
session.py, in this process or behind a stream (see handover.py).

Standards: RFC 3501 sections 6.1, 6.2 and 7.1.5; RFC 2971 (ID); RFC 8314 section 3.2 (implicit TLS).
"""

from posthouse.access.imap import capability
from posthouse.access.imap.connection import SessionEnded
from posthouse.access.imap.handover import Handover
from posthouse.access.imap.login import (
    DELAY_LIMIT,
    FAILED,
    FAILED_LOGIN_DELAY,
    FAILURE_LIMIT,
    PRIVACY,
    UNAVAILABLE,
    Denied,
    decide,
    read_authenticate,
    read_login,
)
from posthouse.access.imap.opening import Opening
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.session import ImapSession
from posthouse.access.imap.verbs.id import SERVER_ID, read_id
from posthouse.dns.ptr import client_name
from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.wire.imap.append import MessageLiteral
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Broken, Command, MessagesEnd
from posthouse.wire.imap.response import tagged, untagged
from posthouse.wire.sasl import Credentials

LOGIN_DEADLINE = 600.0
"""Seconds from connect to login, however slowly the bytes drip."""
TLS_TIMEOUT = 60.0


class ImapListener:
    """Runs the sessions of one listener."""

    def __init__(self, service: ImapService) -> None:
        self.service = service

    async def on_stream(self, stream: TcpStream) -> None:
        """One session, to its end."""
        service = self.service
        log = service.log.session(next(service.numbers))
        peer = stream.peer
        address = peer.host.removeprefix("::ffff:") if "." in peer.host else peer.host
        name = "unknown"
        if address and service.resolver is not None:
            name = (await client_name(address, service.resolver, hosts=service.hosts, warn=log.warning)).name
        elif not address:  # a Unix socket
            name, address = "localhost", "127.0.0.1"
        front = _Front(Opening(service, stream, log, name, address))
        front.connection.deadline = stream.loop.time() + LOGIN_DEADLINE
        await front.opening.attend(front.run)


class _Front:
    """One connection before login."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.service, self.connection, self.log = opening.service, opening.connection, opening.log
        self.namaddr, self.address = opening.namaddr, opening.address
        self.failures = 0

    async def run(self, number: int) -> None:
        """From greeting to the end, for a client with so many connections."""
        service, settings, connection = self.service, self.service.settings, self.connection
        if settings.imapd_tls_wrappermode:
            if service.tls_context is None:
                self.log.warning("imapd_tls_wrappermode is on, but there is no usable certificate")
                raise SessionEnded("lost connection")
            await self._handshake()
        if self.opening.crowded(number):
            connection.send(untagged("BYE", f"Too many connections from {self.address}.", "LIMIT"))
            await connection.drain()
            return
        connection.send(untagged("OK", settings.imapd_banner, f"CAPABILITY {self._capability()}"))
        handover = await self._commands()
        if handover is not None:
            await self.opening.go_on(*handover)

    def _capability(self) -> str:
        service = self.service
        return capability.before_login(
            service.settings,
            tls=self.connection.stream.tls is not None,
            starttls=service.settings.tls_offered and service.tls_context is not None,
            mechanisms=() if service.login is None else service.mechanisms,
        )

    async def _commands(self) -> tuple[Handover, ImapSession | TcpStream] | None:
        """Until login, with whoever goes on; None after LOGOUT."""
        connection = self.connection
        while True:
            event = await connection.event()
            if isinstance(event, Broken):
                connection.where = "UNKNOWN"
                connection.count("unknown", good=False)
                await connection.refuse(event.tag, event.text, fatal=event.fatal)
            elif isinstance(event, MessageLiteral):
                if not connection.reader.refuse_message(event):
                    await connection.refuse(connection.reader.tag, "Log in first")
            elif isinstance(event, MessagesEnd):
                await connection.refuse(connection.reader.tag, "Log in first")
            elif isinstance(event, Command):
                connection.where = event.verb
                try:
                    done = await self._command(event)
                except ImapSyntaxError as error:
                    connection.count(event.verb, good=False)
                    await connection.refuse(event.tag, str(error))
                    continue
                if done is not None:
                    return done or None

    async def _command(self, command: Command) -> tuple[Handover, ImapSession | TcpStream] | tuple[()] | None:
        """Answer one; () ends the session."""
        connection, tag, verb = self.connection, command.tag, command.verb
        if verb == "CAPABILITY":
            command.cursor.end()
            connection.send(f"* CAPABILITY {self._capability()}\r\n".encode("ascii"))
            self._ok(command, "Capability completed.")
        elif verb in ("NOOP", "CHECK"):
            self._ok(command, "NOOP completed.")
        elif verb == "ID":
            read_id(command.cursor)
            connection.send(SERVER_ID)
            self._ok(command, "ID completed.")
        elif verb == "LOGOUT":
            connection.count(verb, good=True)
            connection.send(untagged("BYE", "Logging out") + tagged(tag, "OK", "Logout completed."))
            await connection.drain()
            return ()
        elif verb == "STARTTLS":
            await self._starttls(command)
        elif verb in ("LOGIN", "AUTHENTICATE"):
            return await self._login(command)
        else:
            connection.count(verb, good=False)
            await connection.refuse(tag, "Unknown command, or not before login")
        return None

    def _ok(self, command: Command, text: str) -> None:
        self.connection.count(command.verb, good=True)
        self.connection.errors = 0
        self.connection.send(tagged(command.tag, "OK", text))

    # -- TLS ------------------------------------------------------------------------------

    async def _starttls(self, command: Command) -> None:
        connection, service = self.connection, self.service
        command.cursor.end()
        if connection.stream.tls is not None:
            raise ImapSyntaxError("TLS is already active")
        if not service.settings.tls_offered:
            raise ImapSyntaxError("TLS support isn't enabled")
        if service.tls_context is None:
            connection.count("starttls", good=False)
            connection.send(tagged(command.tag, "NO", "TLS is not available due to a local problem.", "UNAVAILABLE"))
            return
        await connection.drain()
        # No suspension between this and start_tls(): what has come by now is plain text, and dropped.
        connection.stream.write(tagged(command.tag, "OK", "Begin TLS negotiation now."))
        connection.reader.rest()
        await self._handshake()
        connection.count("starttls", good=True)

    async def _handshake(self) -> None:
        context = self.service.tls_context
        assert context is not None
        try:
            await self.connection.stream.start_tls(context, server_side=True, timeout=TLS_TIMEOUT)
        except TlsFailed as error:
            lost = str(error) == "lost connection"
            self.log.info(f"SSL_accept error from {self.namaddr}: {'lost connection' if lost else '-1'}")
            if not lost:
                self.log.warning(f"TLS library problem: {error}")
            raise SessionEnded("lost connection") from None
        except (StreamTimeout, StreamClosed):
            self.log.info(f"SSL_accept error from {self.namaddr}: Connection timed out")
            raise SessionEnded("lost connection") from None

    # -- login ----------------------------------------------------------------------------

    async def _login(self, command: Command) -> tuple[Handover, ImapSession | TcpStream] | None:
        connection, service = self.connection, self.service
        method = command.verb
        if service.settings.tls_required and connection.stream.tls is None:
            await self._deny(command, PRIVACY)
            return None
        credentials: Credentials | None
        if method == "LOGIN":
            credentials = await read_login(command)
        else:
            read = await read_authenticate(connection, command, service.mechanisms)
            if isinstance(read, Denied):
                await self._deny(command, read)
                return None
            method, credentials = read
        outcome = await decide(service, self.log, self.namaddr, method, credentials)
        if isinstance(outcome, Denied):
            name = "" if credentials is None else credentials.login
            self.opening.record("refused", name, f"reject: IMAP {method} {outcome.text}")
            await self._deny(command, outcome)
            return None
        handover = self.opening.handover(outcome, command.tag, command.verb)
        session = await self.opening.find(handover)
        if isinstance(session, Denied):
            await self._deny(command, session)
            return None
        tls = connection.stream.tls
        self.log.info(
            f"login: user=<{outcome}>, method={method}, rip={self.address}, lip={connection.stream.local.host}"
            + ("" if tls is None else f", TLS={tls.protocol}")
        )
        self.opening.record("login", outcome, f"permit: IMAP {method}")
        connection.count(command.verb, good=True)
        connection.errors = 0
        return handover, session

    async def _deny(self, command: Command, denied: Denied) -> None:
        connection = self.connection
        connection.count(command.verb, good=False)
        if denied in (FAILED, UNAVAILABLE):
            self.failures += 1
            await connection.drain()
            delay = self.service.clients.failed(self.address)
            await self.service.sleep(max(delay, min(FAILED_LOGIN_DELAY * 2 ** (self.failures - 1), DELAY_LIMIT)))
        connection.send(tagged(command.tag, denied.status, denied.text, denied.code))
        if self.failures >= FAILURE_LIMIT:
            connection.send(untagged("BYE", "Too many failed logins."))
            await connection.drain()
            raise SessionEnded("too many errors")
