"""A local socket whose caller the kernel knows: IMAP that begins logged in, for mail(1) and programs like it.

Whoever connects reads the mail of the login that the process's uid has, and nobody else's: there is
nothing to say before, and no password. From the greeting on it is the dialogue of every IMAP session.

Standards: RFC 3501 section 7.1.4 (PREAUTH).
"""

import asyncio
from collections.abc import Awaitable, Callable

from posthouse.access.imap.connection import Connection, SessionEnded
from posthouse.access.imap.dialogue import converse, denied, open_session
from posthouse.access.imap.front import LINE_LIMIT, LITERAL_LIMIT, LOGIN_TIMEOUT
from posthouse.access.imap.handover import PREAUTHENTICATED, Handover
from posthouse.access.imap.login import Denied
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.session import ImapSession
from posthouse.access.imap.splice import splice
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Entry
from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.wire.imap.response import untagged

NAME = "local"
"""The client's name in the log: a process of this machine."""

NOBODY = Denied("NO", "This user has no mail here.")
AWAY = Denied("NO", "Mail is temporarily unavailable.")

LoginOf = Callable[[int], Awaitable[str | None]]
"""From a uid to the login whose mail it may read, or None. Raises OSError when that cannot be told now."""


class LocalListener:
    """Runs the sessions of the local socket."""

    def __init__(self, service: ImapService, login_of: LoginOf) -> None:
        self._service = service
        self._login_of = login_of

    async def on_stream(self, stream: TcpStream) -> None:
        """One session, to its end."""
        service = self._service
        log = service.log.session(next(service.numbers))
        credentials = stream.peer_credentials()
        if credentials is None:
            return
        caller = f"uid={credentials[1]}"
        connection = Connection(
            stream, service.settings, line_limit=LINE_LIMIT, literal_limit=LITERAL_LIMIT, timeout=LOGIN_TIMEOUT
        )
        log.info(f"connect from {NAME}[{caller}]")
        number = service.connections[caller] = service.connections.get(caller, 0) + 1
        reason = "lost connection"
        try:
            await self._serve(connection, log, credentials[1], caller, number)
            reason = ""
        except SessionEnded as end:
            reason = str(end)
        except asyncio.CancelledError:
            reason = "shutdown"
            stream.write(untagged("BYE", "Server shutting down."))
            raise
        finally:
            service.connections[caller] -= 1
            if not service.connections[caller]:
                del service.connections[caller]
            if reason:
                log.info(f"{reason} after {connection.where} from {NAME}[{caller}]")
            log.info(f"disconnect from {NAME}[{caller}] {connection.tally()}")
            stream.close()

    async def _serve(self, connection: Connection, log: ProcessLog, uid: int, caller: str, number: int) -> None:
        service = self._service
        handover = Handover("", "*", PREAUTHENTICATED, NAME, caller, log.number)
        limit = service.settings.imapd_client_connection_count_limit
        if limit and number > limit:
            log.warning(f"Connection concurrency limit exceeded: {number} from {NAME}[{caller}] for service imapd")
            await self._deny(connection, handover, Denied("NO", f"Too many connections from {caller}."))
            return
        session: ImapSession | TcpStream | Denied
        try:
            login = await self._login_of(uid)
            if login is None:
                await self._deny(connection, handover, NOBODY)
                return
            handover = Handover(login, "*", PREAUTHENTICATED, NAME, caller, log.number)
            stream = await service.elsewhere(login)
            session = await open_session(service, connection, log, handover) if stream is None else stream
        except (OSError, StreamClosed, StreamTimeout) as error:
            log.warning(f"{NAME}[{caller}]: mail cannot be served: {error}")
            session = AWAY
        if isinstance(session, Denied):
            await self._deny(connection, handover, session)
            return
        log.info(f"login: user=<{handover.login}>, method=uid, rip={NAME}, lip={NAME}")
        service.journal.record(
            Entry(
                time=service.clock(),
                step="login",
                session=f"{log.number:x}",
                recipient=handover.login,
                verdict=f"permit: IMAP uid from {handover.namaddr}",
            )
        )
        if isinstance(session, ImapSession):
            await converse(session)
            return
        connection.where = "login"
        session.write(bytes(handover) + connection.reader.rest())
        await splice(connection.stream, session, service.settings.imapd_timeout + LOGIN_TIMEOUT)

    @staticmethod
    async def _deny(connection: Connection, handover: Handover, why: Denied) -> None:
        connection.send(denied(handover, why))
        await connection.drain()
