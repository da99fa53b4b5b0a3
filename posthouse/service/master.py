"""The master: binds every listener and keeps it open, starts, restarts, reloads and stops the others.

It has one thread, no event loop and no database, so that it can fork at any time, and it
does nothing that a peer's bytes could reach.

* SIGTERM stops, SIGHUP reloads, SIGUSR1 opens the log anew; SIGCHLD tells of a dead child.
* queue_directory/pid/master.pid and data_directory/master.lock are locked as Postfix's master
  locks them (flock, exclusive), so that the two never run at once on one spool.
* A child that dies is started anew; one that dies within THROTTLE seconds of its start waits that long.
* A reload starts new processes beside the old ones, which serve until all new ones listen. When one of the new
  ones cannot start, or not in time, the new ones go and the old ones stay. The outcome is written down
  (service/reload_record.py).
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from posthouse.config.error import ConfigError
from posthouse.host.log import FileSink, SyslogSink
from posthouse.net.ticket_secret import SECRET, TicketSecret
from posthouse.queue.handed_back import settle_broken_off
from posthouse.service import maillog, spool
from posthouse.service.bound_sockets import BindFailed, BoundSockets
from posthouse.service.channel import ADOPT, FATAL, LEFT, LOG, READY, RETIRE, STOP, Channel
from posthouse.service.child import Child, Inheritance, spawn
from posthouse.service.generation import Generation, read_generation
from posthouse.service.listeners import bind_shared, claim
from posthouse.service.master_locks import AlreadyRunning, take_master_locks
from posthouse.service.reload_record import ReloadRecord, write_reload_record

THROTTLE = 1.0
"""Seconds: a child that lived less long waits as long before its successor starts, so that a fault does not spin."""

STOP_GRACE = 4.0
"""Seconds between asking children to stop and killing them: `postfix stop` itself uses force after five."""

START_GRACE = 60.0
"""Seconds that the children of a generation have to report that they listen."""

LEAVE_GRACE = 5.0
"""Seconds that old processes have to accept no more, after which a reload counts as over all the same."""

Main = Callable[[Inheritance], int]


class StartFailed(Exception):
    """A child or a listener did not come up. The text says which."""


class Master:
    """One running instance. `mains` maps a role to what its child runs."""

    def __init__(self, directory: str, mains: dict[str, Main], ready: Callable[[], None]) -> None:
        self._directory = directory
        self._mains = mains
        self._ready = ready
        self._settled: Generation | None = None
        """The last generation of which all processes listened: what a reload that fails goes back to."""
        self._failure = ""
        """Why the generation that starts cannot."""
        self._leaving: float | None = None
        """Until when the old processes may take to accept no more, before a reload is said to be over."""
        self._patience = 0.0
        """Until when it may take."""
        self._last_number = 0
        self._reloads = ReloadRecord()
        self._children: dict[int, Child] = {}
        self._waiting: list[tuple[float, str, int]] = []
        self._sockets = BoundSockets(claim, bind_shared)
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._locks: list[int] = []
        self._log_descriptor: int | None = None
        self._log_opened = False
        self._secret: TicketSecret | None = None
        self._spool_sockets: dict[str, socket.socket] = {}
        self._controls = 0
        self._wake: tuple[socket.socket, ...] = ()

    def run(self) -> int:
        """Start, serve, stop; returns the exit status. Raises AlreadyRunning, ConfigError, StartFailed, OSError."""
        try:
            return self._run()
        except (AlreadyRunning, StartFailed, ConfigError, OSError) as error:
            if self._log_opened and not self._failure:  # a child's failure is in the log already
                self._log.fatal(str(error))
            raise

    def _run(self) -> int:
        os.environ["MAIL_CONFIG"] = self._directory  # as export_environment gives it to commands
        self._generation = read_generation(self._directory, 0, self._mains)
        settings = self._generation.settings
        self._log_descriptor = maillog.open_descriptor(self._generation.configuration)
        self._open_log()
        spool.prepare(settings.queue_directory, settings.data_directory, self._generation.identity)
        self._locks = take_master_locks(settings.queue_directory, settings.data_directory, self._generation.identity)
        long_ids = self._generation.configuration.boolean("enable_long_queue_ids")
        settle_broken_off(settings.queue_directory, long_ids=long_ids)  # of a give-back that was killed
        self._spool_sockets = spool.bind_sockets(settings.queue_directory, self._generation.identity)
        self._note_reload(self._reloads)
        self._bind(self._generation)
        wake_in, wake_out = socket.socketpair()
        wake_in.setblocking(False)
        wake_out.setblocking(False)
        self._wake = (wake_in, wake_out)
        signal.set_wakeup_fd(wake_out.fileno())
        for expected in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(expected, lambda *_: None)
        self._selector.register(wake_in, selectors.EVENT_READ)
        self._log.info(f"daemon started -- version {settings.mail_version}, configuration {self._directory}")
        self._start_all()
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.fileobj is wake_in:
                    for number in self._drain_wake():
                        self._signalled(number)
                elif isinstance(key.data, Child):
                    self._hear(key.data)
            self._start_waiting()
            if self._stopping:
                return self._stop()
            self._report()
            if self._generation is not self._settled:
                if time.monotonic() > self._patience:
                    self._failure = self._failure or "a process did not come up in time"
                if self._failure and self._settled is not None:
                    self._go_back(self._settled, self._failure)
                elif self._failure:
                    self._stop()
                    raise StartFailed(self._failure)

    def _drain_wake(self) -> bytes:
        """The numbers of the signals that came."""
        try:
            return self._wake[0].recv(4096)
        except BlockingIOError:
            return b""

    def _open_log(self) -> None:
        sink: FileSink | SyslogSink = maillog.open_sink(self._generation.configuration, self._log_descriptor)
        self._log = maillog.program_log(self._generation.configuration, sink, "master")
        self._log_opened = True

    def _bind(self, generation: Generation) -> None:
        """Bind what is new for a generation. Raises StartFailed, OSError."""
        settings = generation.settings
        if generation.has_store:
            spool.prepare_store(settings.mail_store_directory, settings.data_directory, generation.identity)
        if "access" in generation.roles and spool.MAILBOX not in self._spool_sockets:
            self._spool_sockets[spool.MAILBOX] = spool.bind_mailbox(settings.queue_directory, generation.identity)
        try:
            self._sockets.open(generation)
        except BindFailed as error:
            raise StartFailed(str(error)) from error

    def _start_all(self) -> None:
        """Start the processes of the present generation that are neither there nor waited for."""
        self._failure = ""
        self._patience = time.monotonic() + START_GRACE
        number = self._generation.number
        there = {(c.role, c.index) for c in self._children.values() if c.generation == number and not c.retiring}
        there |= {(role, index) for _, role, index in self._waiting}
        for role, count in self._generation.roles.items():
            for index in range(count):
                if (role, index) not in there:
                    self._start_or_wait(role, index)

    def _start_or_wait(self, role: str, index: int) -> None:
        """A machine without room for a process has some later; while starting up, that is why it fails."""
        try:
            self._start(role, index)
        except OSError as error:
            if self._settled is None:
                raise StartFailed(f"cannot start a {role} worker: {error.strerror}") from error
            self._log.error(f"cannot start a {role} worker: {error.strerror}; trying again")
            self._waiting.append((time.monotonic() + THROTTLE, role, index))

    def _current_secret(self) -> TicketSecret:
        """Kept over reloads, so that sessions are, too; a ticket key serves twice as long as a session may rest."""
        step = 2.0 * max(self._generation.settings.smtpd_tls_session_cache_timeout, 1)
        if self._secret is None or self._secret.step != step:
            self._secret = TicketSecret(os.urandom(SECRET), step, time.monotonic())
        self._secret.advance(time.monotonic())
        return self._secret

    def _start(self, role: str, index: int) -> None:
        generation = self._generation
        ours, theirs = Channel.pair()
        control = None
        if role == "mail":
            self._controls += 1
            control = spool.bind_control(generation.settings.queue_directory, self._controls, generation.identity)
        inheritance = Inheritance(
            role=role,
            index=index,
            count=generation.roles[role],
            configuration=generation.configuration,
            services=generation.services,
            sockets=self._sockets.of(generation, role, index),
            identity=generation.identity,
            log_descriptor=self._log_descriptor,
            channel=theirs,
            generation=generation.number,
            intake_socket=self._spool_sockets["intake"] if role == "mail" else None,
            mailbox_socket=self._spool_sockets[spool.MAILBOX] if role == "access" else None,
            control_socket=control,
            keeper_socket=self._spool_sockets["keeper"] if role == "keeper" else None,
            ticket_secret=None if role == "keeper" else self._current_secret(),
        )
        others = [child.channel for child in self._children.values()]
        own: list[socket.socket | selectors.BaseSelector] = [*self._sockets.all, *self._spool_sockets.values()]
        own += [*self._wake, self._selector]
        child = spawn(inheritance, self._mains[role], others, own, self._locks, ours, time.monotonic())
        if control is not None:
            child.control = f"control.{self._controls}"
            control.close()
        self._children[child.pid] = child
        self._selector.register(child.channel.socket, selectors.EVENT_READ, child)

    def _hear(self, child: Child) -> None:
        if child.channel.socket.fileno() == -1:
            return  # its death, told in the same moment, was heard first
        message = child.channel.receive()
        if message is None:
            self._selector.unregister(child.channel.socket)
            child.channel.close()
        elif message.data == READY:
            child.ready = True
            number = self._generation.number
            ready = {(c.role, c.index) for c in self._children.values() if c.ready and c.generation == number}
            if not self._stopping and self._generation is not self._settled and ready == self._generation.processes:
                self._settle()
        elif message.data == LEFT:
            child.left = True
        elif message.data.startswith(FATAL):
            failure = message.data[len(FATAL) :].decode("utf-8", "replace")
            self._log.fatal(f"{child.role} worker {child.pid}: {failure}")
            self._fail(child, failure)

    def _fail(self, child: Child, failure: str) -> None:
        """A process of the generation that starts could not."""
        if self._generation is not self._settled and child.generation == self._generation.number:
            self._failure = self._failure or failure

    def _settle(self) -> None:
        """All processes of the new generation listen: the old ones go."""
        first, self._settled = self._settled is None, self._generation
        self._retire(lambda child: child.generation != self._generation.number)
        self._sockets.settle(self._generation)
        if first:
            self._ready()
            return
        self._close_mailbox()
        self._leaving = time.monotonic() + LEAVE_GRACE

    def _report(self, *, now: bool = False) -> None:
        """Tell of a reload once it is over: the old processes accept no more."""
        staying = any(child.retiring and not child.left for child in self._children.values())
        if self._leaving is None or (staying and not now and time.monotonic() < self._leaving):
            return
        self._leaving = None
        settings = self._generation.settings
        self._log.info(f"reload -- version {settings.mail_version}, configuration {self._directory}")
        self._note_reload(ReloadRecord(self._reloads.begun, self._reloads.begun))

    def _retire(self, chosen: Callable[[Child], bool]) -> None:
        for child in self._children.values():
            if chosen(child) and not child.retiring:
                child.retiring = True
                child.channel.send(RETIRE)

    def _close_mailbox(self) -> None:
        """Let go of the local socket that only another generation served."""
        if "access" not in self._generation.roles and spool.MAILBOX in self._spool_sockets:
            self._spool_sockets.pop(spool.MAILBOX).close()
            spool.unlink_socket(self._generation.settings.queue_directory, spool.MAILBOX)

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._log_descriptor is None:  # Postfix's own postlogd, which writes maillog_file, is gone by then.
                self._log.info(f"terminating on signal {number}")
            self._stopping = True
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            self._reopen_log()
        elif number == signal.SIGCHLD:
            self._reap()

    def _reopen_log(self) -> None:
        try:
            descriptor = maillog.open_descriptor(self._generation.configuration)
        except (OSError, ConfigError) as error:
            self._log.error(f"cannot open the mail log: {error}")
            return
        if descriptor is not None:  # Without maillog_file, those who have a file keep it to their end.
            for child in self._children.values():
                child.channel.send(LOG, descriptor)
        if self._log_descriptor is not None:
            os.close(self._log_descriptor)
        self._log_descriptor = descriptor
        self._open_log()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            while child.channel.socket.fileno() != -1:
                self._hear(child)
            if child.control:
                spool.unlink_socket(self._generation.settings.queue_directory, child.control)
                for other in self._children.values():
                    if other.role == "mail" and not other.retiring:
                        other.channel.send(ADOPT)
            if self._stopping or child.retiring or child.generation != self._generation.number:
                continue
            code = os.waitstatus_to_exitcode(status)
            how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            self._log.warning(f"process {self._directory} {child.role} worker pid {pid} {how}")
            self._fail(child, f"{child.role} worker: {how}")
            if self._settled is not None:
                lived = time.monotonic() - child.started
                pause = THROTTLE if lived < THROTTLE else 0.0
                self._waiting.append((time.monotonic() + pause, child.role, child.index))

    def _pause(self) -> float:
        now = time.monotonic()
        longest = 1.0 if self._generation is not self._settled or self._leaving is not None else 60.0
        return max(0.0, min([now + longest, *(at for at, _, _ in self._waiting)]) - now)

    def _start_waiting(self) -> None:
        now = time.monotonic()
        due = [entry for entry in self._waiting if entry[0] <= now]
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        for _, role, index in due:
            if index < self._generation.roles.get(role, 0):
                self._start_or_wait(role, index)

    def _reload(self) -> None:
        """Start a new generation; a configuration that is broken changes nothing."""
        self._report(now=True)
        self._note_reload(ReloadRecord(self._reloads.begun + 1, self._reloads.ended, self._reloads.failure))
        before = self._generation
        try:
            generation = read_generation(self._directory, self._last_number + 1, self._mains)
            if generation.settings.queue_directory != before.settings.queue_directory:
                raise StartFailed("to change queue_directory, stop and start the mail system")
            self._bind(generation)
        except (ConfigError, StartFailed, OSError) as error:
            self._reload_failed(str(error))
            return
        # One that had not settled is passed over.
        self._retire(lambda child: before is not self._settled and child.generation == before.number)
        self._last_number = generation.number
        self._generation = generation
        self._waiting.clear()
        self._reopen_log()
        self._start_all()

    def _go_back(self, settled: Generation, failure: str) -> None:
        """The new generation cannot start: it goes, and of the old one is started what died meanwhile."""
        failed, self._generation = self._generation, settled
        self._waiting.clear()
        self._retire(lambda child: child.generation == failed.number)
        self._reopen_log()
        self._sockets.go_back()
        self._close_mailbox()
        self._start_all()
        self._reload_failed(failure)

    def _reload_failed(self, failure: str) -> None:
        self._log.error(f"reload: {failure}; going on with the old configuration")
        self._note_reload(ReloadRecord(self._reloads.begun, self._reloads.begun, failure))

    def _note_reload(self, record: ReloadRecord) -> None:
        self._reloads = record
        try:
            write_reload_record(self._generation.settings.queue_directory, record)
        except OSError as error:
            self._log.error(f"cannot write down what became of a reload: {error}")

    def _stop(self) -> int:
        self._stopping = True
        for child in self._children.values():
            child.channel.send(STOP)
        until = time.monotonic() + STOP_GRACE
        while self._children and time.monotonic() < until:
            for key, _ in self._selector.select(0.05):
                if isinstance(key.data, Child):
                    self._hear(key.data)
            self._drain_wake()
            self._reap()
        for pid in self._children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._sockets.close()
        for bound in self._spool_sockets.values():
            bound.close()
        for path in self._spool_sockets:
            spool.unlink_socket(self._generation.settings.queue_directory, path)
        if self._locks:
            os.ftruncate(self._locks[0], 0)
        return 0
