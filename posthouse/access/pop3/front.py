"""The first half of a POP3 session: from connect to login, without any mail.

Pop3Listener.on_stream() is given to net.tcp.start_server(). The verbs stand in files of their own;
a login that succeeded goes to the service's `serve`.

Standards: RFC 1939 section 4 (authorization state); RFC 2449; RFC 2595; RFC 8314 section 3.3 (implicit TLS).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.access.pop3.authenticate import LoginSucceeded, apop, auth, pass_, user
from posthouse.access.pop3.capabilities import capabilities
from posthouse.access.pop3.conversation import SHOWN, Conversation, SessionEnded
from posthouse.access.pop3.guest import Guest
from posthouse.access.pop3.service import LoggedIn, Pop3Service, Served
from posthouse.access.pop3.stls import handshake, stls
from posthouse.access.pop3.tally import add, written
from posthouse.dns.ptr import client_name
from posthouse.net.stream import Address, Stream
from posthouse.wire.pop3.apop import timestamp
from posthouse.wire.pop3.command import BadCommand, Command, parse_command
from posthouse.wire.pop3.reply import SYS_TEMP, Reply, error, ok

LOGIN_DEADLINE = 600.0
"""Seconds from connect to login, whatever is said: strangers hold no connection for nothing."""

BYE = ok("Bye")
LINE_TOO_LONG = error("Line too long")
STLS_FIRST = error("Must issue a STLS command first")
LOG_IN_FIRST = error("Log in first")


@dataclass(frozen=True, slots=True)
class Verb:
    """Who answers a verb before the login."""

    answer: Callable[[Guest, Command], Awaitable[Reply | bytes]]
    plain: bool = False
    """Whether it may come in plain text where TLS is required."""


async def capa(guest: Guest, command: Command) -> bytes:
    """CAPA."""
    return capabilities(stls=guest.stls_offered, login=guest.login_allowed, guest=True)


async def noop(guest: Guest, command: Command) -> Reply:
    """NOOP, which RFC 1939 has only after the login; monitors send it before."""
    return ok()


VERBS: dict[str, Verb] = {
    "CAPA": Verb(capa, plain=True),
    "STLS": Verb(stls, plain=True),
    "NOOP": Verb(noop, plain=True),
    "USER": Verb(user),
    "PASS": Verb(pass_),
    "APOP": Verb(apop),
    "AUTH": Verb(auth),
}


class Pop3Listener:
    """Runs the sessions of one listener."""

    def __init__(self, service: Pop3Service) -> None:
        self.service = service

    async def on_stream(self, stream: Stream) -> None:
        """One session, to its end."""
        service = self.service
        log = service.log.session(next(service.numbers))
        name, address = await self._client(stream.peer, log.warning)
        conversation = Conversation(stream, service.settings, clock=service.clock, patience=LOGIN_DEADLINE)
        guest = Guest(service, conversation, log, name, address)
        log.info(f"connect from {guest.client}")
        open_now = service.clients.connected(address, "pop3")
        served = Served("lost connection", "CONNECT")
        try:
            try:
                await self._converse(guest, open_now)
                served = Served()
            except SessionEnded as end:
                served = Served(str(end), conversation.where)
            except LoginSucceeded as success:
                log.info(f"login: user=<{success.login}>, method={success.method}")
                served = Served("lost connection", conversation.where)
                served = await self._hand_over(guest, success.login)
        finally:
            service.clients.disconnected(address, "pop3")
            if served.reason:
                log.info(f"{served.reason} after {served.where or conversation.where} from {guest.client}")
            log.info(f"disconnect from {guest.client} {written(add(conversation.tally, served.tally))}")
            stream.close()

    async def _client(self, peer: Address, warn: Callable[[str], None]) -> tuple[str, str]:
        """The verified name, or "unknown", and the address."""
        if not peer.host:  # a Unix socket
            return "localhost", "127.0.0.1"
        address = peer.host.removeprefix("::ffff:") if "." in peer.host else peer.host
        if self.service.resolver is None:
            return "unknown", address
        found = await client_name(address, self.service.resolver, hosts=self.service.hosts, warn=warn)
        return found.name, address

    async def _hand_over(self, guest: Guest, login: str) -> Served:
        conversation = guest.conversation
        try:
            await conversation.flush()  # replies to what was pipelined before the login
        except SessionEnded as end:
            return Served(str(end), conversation.where)
        logged_in = LoggedIn(login, guest.client_name, guest.address, guest.log.number)
        return await self.service.serve(conversation.stream, logged_in, conversation.lines.take())

    async def _converse(self, guest: Guest, open_now: int) -> None:
        """Greet, and answer until QUIT."""
        service, settings, conversation = self.service, self.service.settings, guest.conversation
        if settings.pop3d_tls_wrappermode:
            if service.tls_context is None:
                guest.log.warning("pop3d_tls_wrappermode is on, but there is no usable certificate")
                raise SessionEnded("lost connection")
            await handshake(guest)
        limit = settings.pop3d_client_connection_count_limit
        if limit and open_now > limit:
            guest.log.warning(
                f"Connection concurrency limit exceeded: {open_now} from {guest.client} for service {service.name}"
            )
            conversation.send(bytes(error(f"too many connections from {guest.address}", SYS_TEMP)))
            await conversation.flush()
            return
        if service.apop():
            guest.timestamp = timestamp(service.unique(), settings.myhostname)
        conversation.send(bytes(ok(f"{settings.pop3d_banner} {guest.timestamp}".strip())))
        await conversation.flush()
        while not await self._command(guest, await conversation.next_line()):
            pass

    async def _command(self, guest: Guest, line: bytes) -> bool:
        """Answer one line; True after QUIT."""
        conversation, settings = guest.conversation, self.service.settings
        if conversation.lines.too_long:
            shown = line[:SHOWN].decode("latin-1")
            guest.log.warning(f"{guest.client}: request longer than {settings.pop3d_line_length_limit}: {shown}...")
            conversation.where = "UNKNOWN"
            await conversation.answer(LINE_TOO_LONG, "unknown")
            return False
        command = parse_command(line)
        conversation.where = command.verb or "UNKNOWN"
        counter = conversation.where.lower()
        if isinstance(command, BadCommand):
            await conversation.answer(error(command.text), counter)
            return False
        if command.verb == "QUIT":
            await conversation.answer(BYE, "quit")
            await conversation.flush()
            return True
        verb = VERBS.get(command.verb)
        if verb is None:
            await conversation.answer(LOG_IN_FIRST, counter)
            return False
        if settings.tls_required and conversation.stream.tls is None and not verb.plain:
            await conversation.answer(STLS_FIRST, counter)
            return False
        try:
            reply = await verb.answer(guest, command)
        except LoginSucceeded:
            conversation.count(counter, good=True)
            raise
        except SessionEnded:
            conversation.count(counter, good=False)
            raise
        await conversation.answer(reply, counter)
        return False
