"""A keeper's child that speaks IMAP and POP3 for one system user, over plain streams that the access worker feeds.

Socket, TLS and password stay with the access worker; here are only the user's rights and the
client's commands after login.
"""

import asyncio
import os
import socket

from posthouse.access.imap.dialogue import serve_handed_over
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.access.pop3.service import LoggedIn
from posthouse.access.pop3.session import Pop3Session, log_alone
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.host.log import FileSink, SyslogSink
from posthouse.journal.journal import Entry
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.net.connection import TcpStream
from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.service import keeper_wire, maillog
from posthouse.service.child import Inheritance
from posthouse.service.mail_place import MailPlaces, UserMail
from posthouse.service.services import service_configuration, service_log
from posthouse.transport.local.people import People, Person


class NoJournal:
    """The access worker has written down the login already; what a user reads is nobody's business."""

    def record(self, entry: Entry) -> None:
        """Keep nothing."""


class SessionChild:
    """Sessions of one user."""

    def __init__(
        self, inheritance: Inheritance, sink: FileSink | SyslogSink, places: MailPlaces, people: People, uid: int
    ) -> None:
        self._inheritance = inheritance
        self._sink = sink
        self._people = people
        self._uid = uid
        self._mail = UserMail(places, self._person, lambda login: QuotaLimits(), own_native=True)
        self._tasks: set[asyncio.Task[None]] = set()

    async def _person(self, login: str) -> Person | None:
        person = await asyncio.to_thread(self._people.find, login)
        return person if person is not None and person.uid == self._uid else None

    def _own(self, name: str, command: str) -> Configuration:
        for service in self._inheritance.services:
            if service.name == name and service.command == command:
                return service_configuration(self._inheritance.configuration, service)
        return self._inheritance.configuration

    async def serve(self, start: keeper_wire.SessionStart, descriptor: int) -> None:
        """One session, to its end."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(fileno=descriptor)
        connection.setblocking(False)
        _, stream = await loop.connect_accepted_socket(lambda: TcpStream(loop), connection)
        try:
            if await self._person(start.login) is None:
                return  # Not ours: the keeper gave it to the wrong child, which must never open anything.
            await (self._imap if start.protocol == "imap" else self._pop3)(start, stream)
        except (StreamClosed, StreamTimeout):
            pass
        finally:
            stream.close()

    async def _imap(self, start: keeper_wire.SessionStart, stream: TcpStream) -> None:
        own = self._own(start.service, "imapd")
        log = service_log(own, self._sink, "imapd")
        await serve_handed_over(
            ImapService(read_settings(ImapdSettings, own), self._mail.open, log, NoJournal()), stream
        )

    async def _pop3(self, start: keeper_wire.SessionStart, stream: TcpStream) -> None:
        own = self._own(start.service, "pop3d")
        log = service_log(own, self._sink, "pop3d").session(start.number)
        who = LoggedIn(start.login, start.client_name, start.client_address, start.number)
        session = Pop3Session(stream, who, self._mail.open, read_settings(Pop3dSettings, own), log)
        log_alone(await session.run(), who, log)

    def begin(self, start: keeper_wire.SessionStart, descriptor: int) -> None:
        """Start a session."""
        task = asyncio.get_running_loop().create_task(self.serve(start, descriptor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, requests: socket.socket) -> None:
        """Take requests until the parent closes its end; then wait for the sessions that are open."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def take() -> None:
            try:
                data, descriptors = keeper_wire.receive(requests, 2)
            except BlockingIOError:
                return
            if not data:
                loop.remove_reader(requests)
                ended.set()
                return
            if data == keeper_wire.LOG and len(descriptors) == 1:
                maillog.go_on_in(descriptors[0], self._inheritance.log_descriptor)
                return
            start = keeper_wire.decode_request(data)
            if isinstance(start, keeper_wire.SessionStart) and len(descriptors) == 2:
                os.close(descriptors[0])
                self.begin(start, descriptors[1])
                return
            for descriptor in descriptors:
                os.close(descriptor)

        requests.setblocking(False)
        loop.add_reader(requests, take)
        await ended.wait()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._mail.close()


def serve_sessions(
    requests: socket.socket, inheritance: Inheritance, places: MailPlaces, people: People, uid: int
) -> int:
    """The child's life; returns its exit status."""
    sink = maillog.open_sink(inheritance.configuration, inheritance.log_descriptor)
    asyncio.run(SessionChild(inheritance, sink, places, people, uid).run(requests))
    return 0
