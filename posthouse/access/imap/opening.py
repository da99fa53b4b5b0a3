"""What surrounds a session however it is opened, over the network (front.py) or by a local socket (local.py).

The lines of connect and disconnect, the count of a client's connections, whoever opens the mail of a
login, and the dialogue from there on: in this process, or behind a stream.
"""

import asyncio
from collections.abc import Awaitable, Callable

from posthouse.access.imap.connection import Connection, SessionEnded
from posthouse.access.imap.dialogue import converse, open_session
from posthouse.access.imap.handover import Handover
from posthouse.access.imap.login import Denied
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.session import ImapSession
from posthouse.access.imap.splice import splice
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Entry
from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.wire.imap.response import untagged

PROTOCOL = "imap"
"""Under which connections are counted."""

LOGIN_TIMEOUT = 180.0
"""Seconds of silence before login: nobody types a password longer, and strangers hold no connection for nothing."""
LINE_LIMIT = 8192
"""Octets of a line before login: what strangers may make us hold. RFC 7162 section 4 names the number."""
LITERAL_LIMIT = 4096
"""Octets of literals before login: names and passwords."""

UNAVAILABLE = Denied("NO", "Mail is temporarily unavailable.", "UNAVAILABLE")


class Opening:
    """One connection before its mail is open."""

    def __init__(self, service: ImapService, stream: TcpStream, log: ProcessLog, name: str, address: str) -> None:
        self.service = service
        self.log = log
        self.name, self.address = name, address
        self.namaddr = f"{name}[{address}]"
        self.connection = Connection(
            stream, service.settings, line_limit=LINE_LIMIT, literal_limit=LITERAL_LIMIT, timeout=LOGIN_TIMEOUT
        )

    async def attend(self, run: Callable[[int], Awaitable[None]]) -> None:
        """The session from connect to disconnect; `run` is told how many connections its client has."""
        log, connection, clients = self.log, self.connection, self.service.clients
        log.info(f"connect from {self.namaddr}")
        number = clients.connected(self.address, PROTOCOL)
        reason = "lost connection"
        try:
            await run(number)
            reason = ""
        except SessionEnded as end:
            reason = str(end)
        except asyncio.CancelledError:
            reason = "shutdown"
            connection.stream.write(untagged("BYE", "Server shutting down."))
            raise
        finally:
            clients.disconnected(self.address, PROTOCOL)
            if reason:
                log.info(f"{reason} after {connection.where} from {self.namaddr}")
            log.info(f"disconnect from {self.namaddr} {connection.tally()}")
            connection.stream.close()

    def crowded(self, number: int) -> bool:
        """Whether a client has too many connections; logged."""
        limit = self.service.settings.imapd_client_connection_count_limit
        if not limit or number <= limit:
            return False
        self.log.warning(f"Connection concurrency limit exceeded: {number} from {self.namaddr} for service imapd")
        return True

    def handover(self, login: str, tag: str, verb: str) -> Handover:
        """What whoever goes on has to know."""
        return Handover(login, tag, verb, self.name, self.address, self.log.number)

    async def find(self, handover: Handover) -> ImapSession | TcpStream | Denied:
        """Whoever goes on."""
        try:
            stream = await self.service.elsewhere(handover.login)
        except (OSError, StreamClosed, StreamTimeout) as error:
            self.log.warning(f"{self.namaddr}: mail of {handover.login} cannot be served: {error}")
            return UNAVAILABLE
        if stream is not None:
            return stream
        return await open_session(self.service, self.connection, self.log, handover)

    def record(self, step: str, login: str, verdict: str) -> None:
        """An entry of the journal."""
        self.service.journal.record(
            Entry(
                time=self.service.clock(),
                step=step,
                session=f"{self.log.number:x}",
                recipient=login,
                verdict=f"{verdict} from {self.namaddr}",
            )
        )

    async def go_on(self, handover: Handover, session: ImapSession | TcpStream) -> None:
        """The dialogue after login, to its end. Raises SessionEnded."""
        if isinstance(session, ImapSession):
            await converse(session)
            return
        connection = self.connection
        await connection.drain()
        session.write(bytes(handover) + connection.reader.rest())
        connection.where = "login"
        await splice(connection.stream, session, self.service.settings.imapd_timeout + LOGIN_TIMEOUT)
