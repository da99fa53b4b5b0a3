"""A mail worker: smtpd listeners, the intake socket, queue shards, the schedule, the delivery agents.

Built as root (keys, tables), then mail_owner for good. One event loop; the queue's writer
threads are its only others of note. Several can live in one process, as the sandbox has them.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from posthouse.bounce.notices import BounceNotices
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.native import NativeLookup
from posthouse.dns.stub import open_resolver
from posthouse.envelope.content import Content
from posthouse.host.clock import SystemClock
from posthouse.host.locks import take_lock
from posthouse.host.log import ProcessLog, Sink
from posthouse.host.users import Identity, become
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.local_submission import LocalSubmission
from posthouse.intake.pickup import Pickup
from posthouse.intake.requeue import Requeue
from posthouse.intake.socket import IntakeSocket
from posthouse.intake.stamp import DateStamp
from posthouse.intake.submit_users import SubmitUsers
from posthouse.journal.segments import JournalSettings, SegmentJournal
from posthouse.message.received import received_local
from posthouse.net.connection import TcpStream
from posthouse.net.tcp import Listener as Serving
from posthouse.net.tcp import start_server
from posthouse.net.tickets import Tickets
from posthouse.policy.milter.milters import Milters, open_local_milters
from posthouse.policy.stages import Stages
from posthouse.queue.local import LocalQueueStore, QueueSettings
from posthouse.queue.store import QueuedMessage
from posthouse.routing.router import Router
from posthouse.schedule.control import QueueControl
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings
from posthouse.service import maillog
from posthouse.service.authentication import open_accounts
from posthouse.service.child import Inheritance
from posthouse.service.direct import DirectDoor, DirectStore
from posthouse.service.hands import OwnHands, Workbench
from posthouse.service.keeper_client import KeeperClient
from posthouse.service.listeners import BACKLOG, Listener, own_addresses
from posthouse.service.loop import Work, run_worker
from posthouse.service.people import open_people
from posthouse.service.postscreen import Postscreens
from posthouse.service.queue_rights import QueueRights
from posthouse.service.services import behind_cleanup, cleanup_service, service_configuration, service_log
from posthouse.service.site_flush import SiteFlush
from posthouse.service.smtpd import SmtpdParts, open_smtpd
from posthouse.service.spool import socket_path
from posthouse.service.store_agent import open_native_store, open_store_agent
from posthouse.service.store_recipients import StoreRecipients
from posthouse.service.transports import Neighbours, open_transports
from posthouse.service.unserved import UnservedListener
from posthouse.service.verify import AddressProbes, ListenerProber, open_verification
from posthouse.session.postscreen.listener import PostscreenListener
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.listener import SmtpListener
from posthouse.tables.warning import speaking
from posthouse.transport.hands import Hands
from posthouse.transport.store import StoreAgent

PICKUP_DELAY = 60.0
"""Seconds between looks at the maildrop: the wakeup of Postfix's pickup line."""


RESTART_DELAY = 1.0
"""Seconds before what broke off begins again."""

PICKUP_RETRY = 1.0
"""Seconds to wait while another worker empties the maildrop."""


class MailWorker:
    """The parts of one mail worker, wired."""

    def __init__(
        self,
        configuration: Configuration,
        services: Sequence[Service],
        sink: Sink,
        identity: Identity,
        sockets: Sequence[tuple[Listener, socket.socket]],
        *,
        intake_socket: socket.socket | None = None,
        control_socket: socket.socket | None = None,
        keeper: bool = False,
        tickets: Tickets | None = None,
        index: int = 0,
        workers: int = 1,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        """Everything that reads keys and tables happens here. Raises ConfigError, OSError.

        `index` of `workers`: the first alone looks after the maildrop. `on_broken` is called when the queue can no
        longer be written by this process.
        """
        self._configuration = configuration
        self._picks_up = index == 0
        self._sockets = sockets
        self._intake_socket = intake_socket
        self._control_socket = control_socket
        self._serving: list[Serving] = []
        self._control_serving: Serving | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._queue_directory = configuration.value("queue_directory")
        clock = SystemClock()

        def log(program: str) -> ProcessLog:
            return service_log(configuration, sink, program)

        self._log = log("master")
        words = configuration.words("dns_servers")
        self._resolver = open_resolver(words)
        native = NativeLookup()
        own = own_addresses(configuration)
        with speaking(log("trivial-rewrite").warning, log("trivial-rewrite").error):
            self._router = Router.open(configuration, log("trivial-rewrite"))
        data = configuration.value("data_directory")
        self._journal = SegmentJournal(os.path.join(data, "journal"), read_settings(JournalSettings, configuration))
        self._store = LocalQueueStore(
            os.path.join(self._queue_directory, "posthouse", "queue"),
            read_settings(QueueSettings, configuration),
            log("qmgr"),
            clock,
            None,
        )
        self._store.on_broken = on_broken
        self._schedule: Schedule | None = None

        notices: BounceNotices | None = None

        chrooted = any(service.name == "cleanup" and service.chroot for service in services)

        def intake(
            service_configuration: Configuration, internal: str = "", milters: Milters | None = None
        ) -> CleanupIntake:
            line = cleanup_service(service_configuration, services)
            cleanup_log = log("cleanup")
            if line is not None and line.overrides:
                cleanup_log = service_log(configuration.with_overrides(line.overrides, ""), sink, "cleanup")
            with speaking(cleanup_log.warning, cleanup_log.error):
                return CleanupIntake.open(
                    behind_cleanup(service_configuration, line),
                    self._router,
                    self._store,
                    cleanup_log,
                    self._journal,
                    self._on_queued,
                    internal=internal,
                    on_expanded=None if notices is None else notices.succeeded,
                    milters=milters,
                )

        milters = open_local_milters(configuration, chroot=chrooted)
        bounces = intake(configuration, "bounce", milters)
        notices = BounceNotices.open(configuration, bounces, log("bounce"))
        pickup = self._pickup_configuration(services)
        sources = {
            "pickup": intake(pickup, milters=open_local_milters(pickup, chroot=chrooted)),
            "forward": intake(configuration, "forward"),
            "bounce": bounces,
            "notify": intake(configuration, "notify", milters),
        }
        again = intake(pickup)  # without milters
        submissions = LocalSubmission.open(configuration, sources, log("pickup"), notices.failed)
        trusted = frozenset({0, identity.uid})
        self._intake = IntakeSocket(submissions, SubmitUsers.open(configuration), trusted)
        self._pickup = Pickup(
            self._queue_directory, submissions, log("pickup"), configuration.integer("message_size_limit"), trusted
        )
        people = open_people(configuration)
        hands: Hands
        keeper_path = socket_path(self._queue_directory, "keeper") if keeper else ""
        if keeper_path:
            hands = KeeperClient(keeper_path)
        else:
            hands = OwnHands(Workbench(configuration, services, people, log("local")), log("local"))
        accounts = open_accounts(configuration, keeper_path)
        self._mail_store = open_native_store(configuration, accounts)

        def store_agent(service_configuration: Configuration) -> StoreAgent:
            return open_store_agent(service_configuration, self._router, accounts, self._mail_store)

        date = DateStamp()
        hostname, mail_name = configuration.value("myhostname"), configuration.value("mail_name")

        def received(queue_id: str) -> bytes:
            return received_local(
                hostname=hostname, mail_name=mail_name, queue_id=queue_id, date=date(time.time()), uid=None
            )

        neighbours = Neighbours(
            sink,
            self._resolver,
            native,
            own,
            self._router,
            sources["forward"],
            people,
            hands,
            store_agent,
            received,
            sources["notify"],
            workers,
        )
        transports = open_transports(configuration, services, neighbours, self._log)
        self._schedule = Schedule(
            self._store,
            self._router,
            transports,
            notices,
            read_settings(ScheduleSettings, configuration),
            log("qmgr"),
            self._journal,
            clock=clock,
            door=Requeue(configuration, again, log("pickup"), notices.failed, identity.uid),
            cleanup_log=log("cleanup"),
        )
        stores = {service.name for service in services if service.command == "store"}
        agents = {name: found.agent for name, found in transports.items() if name in stores}

        def direct(service_configuration: Configuration) -> DirectDoor:
            own_log = log("lmtpd")
            store = DirectStore(self._store, self._on_queued, self._router.resolve, agents, own_log, self._journal)
            cleanup = CleanupIntake.open(
                service_configuration,
                self._router,
                store,
                log("cleanup"),
                store,
                store.on_queued,
                on_expanded=notices.succeeded,
            )
            return DirectDoor(cleanup, store)

        probes = AddressProbes.open(configuration, self._router, transports, self._store.new_queue_id, clock, log)
        self._verification = open_verification(configuration, probes, clock, log("verify").warning)
        maildrop_of = self._queue_directory if index == 0 else ""
        control = QueueControl(self._schedule, self._store, self._journal, maildrop_of=maildrop_of)
        self._kicked = control.pickup
        self._control = QueueRights(configuration, control, trusted)
        recipients = StoreRecipients(configuration, services, self._router, accounts)
        parts = SmtpdParts(
            sink=sink,
            resolver=self._resolver,
            hosts=HostsFile(),
            stages=lambda own: Stages.open(
                own,
                self._resolver,
                recipients,
                warn=log("smtpd").warning,
                prober=ListenerProber(self._verification, own),
            ),
            intake=intake,
            direct=direct,
            journal=self._journal,
            accounts=accounts,
            limits=ClientLimits(time.monotonic),
            resolve=self._router.resolve,
            flush=SiteFlush(configuration, control).start,
            notify=sources["notify"],
            workers=workers,
            tickets=tickets,
        )
        self._tickets = tickets
        screens = Postscreens(services, configuration, parts)
        self._listeners: dict[int, SmtpListener | PostscreenListener | UnservedListener] = {}
        for listener, _ in sockets:
            if id(listener.service) not in self._listeners:
                try:
                    self._listeners[id(listener.service)] = (
                        screens.open(listener.service)
                        if listener.service.command == "postscreen"
                        else open_smtpd(listener.service, configuration, parts)
                    )
                except ConfigError as error:
                    # One line of master.cf that is wrong must not keep the others from being served.
                    self._listeners[id(listener.service)] = UnservedListener(
                        str(error),
                        service_log(
                            service_configuration(configuration, listener.service), sink, listener.service.command
                        ),
                    )

    def _pickup_configuration(self, services: Sequence[Service]) -> Configuration:
        """pickup's own -o settings (content_filter, receive_override_options)."""
        for service in services:
            if service.command == "pickup":
                return self._configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
        return self._configuration

    def _on_queued(self, message: QueuedMessage, content: Content) -> None:
        if self._schedule is not None:
            self._schedule.on_queued(message, content)

    async def start(self) -> None:
        """Open the queue, deliver, listen. Raises OSError, ConfigError."""
        await self._store.start()
        assert self._schedule is not None
        self._schedule.start()
        self._verification.start()
        default = self._configuration.integer("default_process_limit")
        for listener, bound in self._sockets:
            smtp = self._listeners[id(listener.service)]
            limit = listener.service.maxproc
            limit = default if limit is None else limit
            if listener.service.command == "postscreen":
                limit = 0  # One process of Postfix's serves any number of clients: its own limits count.
            bound.listen(BACKLOG)
            self._serving.append(
                await start_server(bound, smtp.on_stream, limit=limit or 10000, on_error=self._accept_failed)
            )
        if self._intake_socket is not None:
            self._serving.append(await start_server(self._intake_socket, self._serve_intake))
        if self._control_socket is not None:
            self._control_serving = await start_server(self._control_socket, self._serve_control)
        if self._picks_up:
            self._spawn(self._pick_up_forever)
        self._spawn(self._tend_journal_forever)
        if self._tickets is not None:
            self._spawn(self._tickets.renew_forever)

    def _spawn(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what goes on for ever; a fault of ours is told, and it begins again."""
        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, run))

    def _ended(self, task: asyncio.Task[None], run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": f"{run.__name__} broke off", "exception": error, "task": task})
        if not self._stopping:
            loop.call_later(RESTART_DELAY, lambda: None if self._stopping else self._spawn(run))

    def _accept_failed(self, error: OSError) -> None:
        self._log.error(f"accept connection: {error.strerror}")

    async def _serve_intake(self, stream: TcpStream) -> None:
        await self._intake.serve(stream, peer_uid(stream))

    async def _serve_control(self, stream: TcpStream) -> None:
        await self._control.serve(stream, peer_uid(stream))

    async def _pick_up_forever(self) -> None:
        path = os.path.join(self._queue_directory, "posthouse", "queue", "pickup.lock")
        while self._picks_up:
            # One at a time: after a reload the retired worker may still be at it, and mail must not come twice.
            lock = take_lock(path)
            if lock is not None:
                try:
                    await self._pickup.run()
                finally:
                    lock.release()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PICKUP_DELAY if lock is not None else PICKUP_RETRY):
                    await self._kicked.wait()
            self._kicked.clear()

    async def _tend_journal_forever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._journal.flush()

    async def adopt(self) -> None:
        """A brother is gone: deliver what its shards hold."""
        assert self._schedule is not None
        if await self._store.tend():
            self._schedule.feeder.rescan()
            self._schedule.feeder.run_queue(incoming=True, deferred=True, until=None)

    def leave(self) -> None:
        """Accept no more. The queue's commands are answered to the end: what this worker has is still its own."""
        self._picks_up = False  # The maildrop is the successor's.
        if self._schedule is not None:
            self._schedule.leave()
        for serving in self._serving:
            serving.leave()

    async def retire(self, grace: float) -> None:
        """Let sessions and attempts finish within grace seconds, then stop."""
        until = time.monotonic() + grace
        for serving in self._serving:
            await serving.wait(max(0.0, until - time.monotonic()))
        await self.stop(max(0.0, until - time.monotonic()))

    async def stop(self, grace: float = 1.0) -> None:
        """End: sessions break off, what was acknowledged is on disk."""
        for serving in self._serving:
            serving.abort()
        if self._control_serving is not None:
            self._control_serving.abort()
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._verification.stop()
        if self._schedule is not None:
            await self._schedule.stop(grace)
        await self._store.close()
        await self._mail_store.close()
        self._journal.flush()


def peer_uid(stream: TcpStream) -> int:
    """The user at the other end of a local socket; nobody's number when the kernel does not say."""
    credentials = stream.peer_credentials()
    return credentials[1] if credentials is not None else -1


def main(inheritance: Inheritance) -> int:
    """The mail worker's process; returns its exit status."""
    sink = maillog.open_sink(inheritance.configuration, inheritance.log_descriptor, buffered=True)

    def make(broken: Callable[[], None]) -> Work:
        worker = MailWorker(
            inheritance.configuration,
            inheritance.services,
            sink,
            inheritance.identity,
            inheritance.sockets,
            intake_socket=inheritance.intake_socket,
            control_socket=inheritance.control_socket,
            keeper=os.geteuid() == 0,
            tickets=Tickets(inheritance.ticket_secret) if inheritance.ticket_secret is not None else None,
            index=inheritance.index,
            workers=inheritance.count,
            on_broken=broken,
        )
        become(inheritance.identity)
        return worker

    return run_worker(inheritance, sink, make)
