"""An access worker: imapd and pop3d listeners, and the local socket of mail(1).

Accounts of the native store are served here. A system user's mailbox is served by the keeper's
child of that user: this process keeps socket, TLS and login, and carries plain bytes.
"""

import asyncio
import pwd
import socket
import ssl
import time
from collections.abc import Callable, Sequence

from posthouse.access.clients import Clients
from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.local import LocalListener
from posthouse.access.imap.seams import Elsewhere
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings, ImapdTlsSettings
from posthouse.access.login import LoginRetry
from posthouse.access.pop3.front import Pop3Listener
from posthouse.access.pop3.open_service import open_pop3_service
from posthouse.access.pop3.service import LoggedIn
from posthouse.access.pop3.settings import Pop3dTlsSettings
from posthouse.accounts.account import AccountRetry
from posthouse.accounts.accounts import Accounts
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.stub import open_resolver
from posthouse.host.log import ProcessLog, Sink
from posthouse.host.users import become
from posthouse.journal.segments import JournalSettings, SegmentJournal
from posthouse.net.connection import TcpStream
from posthouse.net.tcp import Listener as Serving
from posthouse.net.tcp import start_server
from posthouse.net.tickets import Tickets
from posthouse.routing.router import Router
from posthouse.service import maillog
from posthouse.service.authentication import open_accounts
from posthouse.service.child import Inheritance
from posthouse.service.keeper_client import start_session
from posthouse.service.keeper_wire import SessionStart
from posthouse.service.listeners import BACKLOG, Listener
from posthouse.service.loop import Work, run_worker
from posthouse.service.mail_place import MailPlaces, UserMail
from posthouse.service.people import AccountPeople
from posthouse.service.services import service_configuration, service_log
from posthouse.service.spool import socket_path
from posthouse.service.store_agent import quota_of
from posthouse.session.smtp.open_service import open_tls_context
from posthouse.session.smtp.session_tickets import arrange_tickets
from posthouse.transport.local.people import Person

OnStream = Callable[[TcpStream], "asyncio.Future[None]"]

LOCAL_SERVICE = "mailbox"
"""What the local socket's sessions are called where master.cf has names: none there, so main.cf alone counts."""

CONNECTION_LIMIT = 10000
"""Connections of one listener whose maxproc is "-" or 0: no limit but the system's descriptors."""


class AccountLogin:
    """Login over the account databases."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def authenticate(self, login: str, password: str) -> str | None:
        """The account's login, or None. Raises LoginRetry."""
        try:
            account = await self._accounts.authenticate(login, password)
        except AccountRetry as retry:
            raise LoginRetry(str(retry)) from retry
        return None if account is None else account.login

    async def secret(self, login: str) -> str | None:
        """The password itself where it is kept in plain. Raises LoginRetry."""
        try:
            return await self._accounts.secret(login)
        except AccountRetry as retry:
            raise LoginRetry(str(retry)) from retry


def tls_configuration(own: Configuration, protocol: str) -> Configuration:
    """The listener's certificate and TLS level under the names that smtpd's context is made from."""
    settings: ImapdTlsSettings | Pop3dTlsSettings
    if protocol == "imap":
        settings = read_settings(ImapdTlsSettings, own)
        certificate, key = settings.imapd_tls_cert_file, settings.imapd_tls_key_file
    else:
        settings = read_settings(Pop3dTlsSettings, own)
        certificate, key = settings.pop3d_tls_cert_file, settings.pop3d_tls_key_file
    return own.with_overrides({"smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": key}, f"{protocol}d")


class AccessWorker:
    """The parts of one access worker, wired."""

    def __init__(
        self,
        configuration: Configuration,
        services: Sequence[Service],
        sink: Sink,
        sockets: Sequence[tuple[Listener, socket.socket]],
        *,
        keeper: bool = False,
        mailbox_socket: socket.socket | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        """Everything that reads keys and tables happens here. Raises ConfigError."""
        self._tickets = tickets
        self._sockets = sockets
        self._mailbox_socket = mailbox_socket
        self._serving: list[Serving] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._log = service_log(configuration, sink, "master")
        self._keeper_path = socket_path(configuration.value("queue_directory"), "keeper") if keeper else ""
        self._accounts = open_accounts(configuration, self._keeper_path)
        self._login = AccountLogin(self._accounts)
        data = configuration.value("data_directory")
        self._journal = SegmentJournal(f"{data}/journal", read_settings(JournalSettings, configuration))
        self._resolver = open_resolver(configuration.words("dns_servers"))
        self._hosts = HostsFile()
        router = Router.open(configuration, service_log(configuration, sink, "trivial-rewrite"))
        self._places = MailPlaces(configuration, services, router)
        self._mail = UserMail(self._places, self._person, quota_of(self._accounts), own_native=False)
        self._clients = Clients(time.monotonic)
        self._handlers: dict[int, ImapListener | Pop3Listener] = {}
        for listener, _ in sockets:
            service = listener.service
            if id(service) not in self._handlers:
                own = service_configuration(configuration, service)
                log = service_log(own, sink, service.command)
                make = self._imap if service.command == "imapd" else self._pop3
                self._handlers[id(service)] = make(service, own, log)
        self._local = LocalListener(
            ImapService(
                read_settings(ImapdSettings, configuration),
                self._mail.open,
                service_log(configuration, sink, "imapd"),
                self._journal,
                elsewhere=self._imap_elsewhere(LOCAL_SERVICE),
            ),
            self._login_of,
        )

    def _imap(self, service: Service, own: Configuration, log: ProcessLog) -> ImapListener:
        imap = ImapService(
            read_settings(ImapdSettings, own),
            self._mail.open,
            log,
            self._journal,
            login=self._login,
            tls_context=self._tls_context(service, own, "imap", log),
            resolver=self._resolver,
            hosts=self._hosts,
            clients=self._clients,
        )
        imap.elsewhere = self._imap_elsewhere(service.name)
        return ImapListener(imap)

    def _tls_context(
        self, service: Service, own: Configuration, protocol: str, log: ProcessLog
    ) -> ssl.SSLContext | None:
        own = tls_configuration(own, protocol)
        context = open_tls_context(own, log.warning)
        return arrange_tickets(context, own, self._tickets, service.name, log.warning)

    def _imap_elsewhere(self, service_name: str) -> Elsewhere:
        async def elsewhere(login: str) -> TcpStream | None:
            return await self._child(SessionStart("imap", login, service_name, "", "", 0))

        return elsewhere

    async def _login_of(self, uid: int) -> str | None:
        """Whose mail a process may read: the login that the system has for its uid, unless an account database has
        that name for somebody else. Root's mail is not served, as it is not over the network. Raises OSError."""
        if uid == 0:
            return None
        try:
            login = (await asyncio.to_thread(pwd.getpwuid, uid)).pw_name
        except KeyError:
            return None
        try:
            account = await self._accounts.find(login)
        except AccountRetry as retry:
            raise OSError(str(retry)) from retry
        if account is None:
            return login
        return account.login if account.uid in (None, uid) else None

    def _pop3(self, service: Service, own: Configuration, log: ProcessLog) -> Pop3Listener:
        async def start_child(who: LoggedIn) -> TcpStream | None:
            start = SessionStart("pop3", who.login, service.name, who.client_name, who.client_address, who.number)
            return await self._child(start)

        pop3 = open_pop3_service(
            own,
            login=self._login,
            open_account=self._mail.open,
            log=log,
            name=service.name,
            start_child=start_child,
            resolver=self._resolver,
            hosts=self._hosts,
            tls_context=self._tls_context(service, own, "pop3", log),
            clients=self._clients,
            apop=self._accounts.plain,
        )
        return Pop3Listener(pop3)

    async def _person(self, login: str) -> Person | None:
        account = await self._accounts.find(login)
        if account is not None and not account.is_system:
            return None  # One that no database knows comes by the local socket: a user whom local delivery knows.
        return await asyncio.to_thread(AccountPeople(self._accounts).find, login)

    async def _child(self, start: SessionStart) -> TcpStream | None:
        """The stream of a child that serves this login, or None when it is served here."""
        if not self._keeper_path or await self._mail.is_native(start.login):
            return None
        ours = await start_session(self._keeper_path, start)
        loop = asyncio.get_running_loop()
        _, stream = await loop.connect_accepted_socket(lambda: TcpStream(loop), ours)
        return stream

    async def start(self) -> None:
        """Listen."""
        for listener, bound in self._sockets:
            handler = self._handlers[id(listener.service)]
            limit = listener.service.maxproc or CONNECTION_LIMIT
            bound.listen(BACKLOG)
            self._serving.append(
                await start_server(bound, handler.on_stream, limit=limit, on_error=self._accept_failed)
            )
        if self._mailbox_socket is not None:
            self._serving.append(
                await start_server(
                    self._mailbox_socket, self._local.on_stream, limit=CONNECTION_LIMIT, on_error=self._accept_failed
                )
            )
        self._tasks.append(asyncio.create_task(self._tend_journal_forever()))
        if self._tickets is not None:
            self._tasks.append(asyncio.create_task(self._tickets.renew_forever()))

    def _accept_failed(self, error: OSError) -> None:
        self._log.error(f"accept connection: {error.strerror}")

    async def _tend_journal_forever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._journal.flush()

    async def adopt(self) -> None:
        """Access workers leave nothing behind."""

    def leave(self) -> None:
        """Accept no more."""
        for serving in self._serving:
            serving.leave()

    async def retire(self, grace: float) -> None:
        """Let sessions finish within grace seconds."""
        until = time.monotonic() + grace
        for serving in self._serving:
            await serving.wait(max(0.0, until - time.monotonic()))
        await self.stop()

    async def stop(self, grace: float = 1.0) -> None:
        """End: sessions break off."""
        for serving in self._serving:
            serving.abort()
        for serving in self._serving:
            await serving.wait(grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._mail.close()
        self._journal.flush()


def main(inheritance: Inheritance) -> int:
    """The access worker's process; returns its exit status."""
    import os

    sink = maillog.open_sink(inheritance.configuration, inheritance.log_descriptor, buffered=True)

    def make(_: Callable[[], None]) -> Work:
        worker = AccessWorker(
            inheritance.configuration,
            inheritance.services,
            sink,
            inheritance.sockets,
            keeper=os.geteuid() == 0,
            mailbox_socket=inheritance.mailbox_socket,
            tickets=Tickets(inheritance.ticket_secret) if inheritance.ticket_secret is not None else None,
        )
        become(inheritance.identity)
        return worker

    return run_worker(inheritance, sink, make)
