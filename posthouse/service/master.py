"""The master: binds every listener and keeps it open, starts, restarts, reloads and stops the others.

It has one thread, no event loop and no database, so that it can fork at any time, and it
does nothing that a peer's bytes could reach.

* SIGTERM stops, SIGHUP reloads, SIGUSR1 opens the log anew; SIGCHLD tells of a dead child.
* queue_directory/pid/master.pid and data_directory/master.lock are locked as Postfix's master
  locks them (flock, exclusive), so that the two never run at once on one spool.
* A child that dies is started anew; one that dies within THROTTLE seconds of its start waits that long.
"""

import fcntl
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service, read_master_cf
from posthouse.config.read import read_configuration
from posthouse.config.settings import read_settings
from posthouse.host.log import FileSink, SyslogSink
from posthouse.host.users import Identity, own_identity, user_identity
from posthouse.service import maillog, spool
from posthouse.service.channel import ADOPT, FATAL, LOG, READY, RETIRE, STOP, Channel
from posthouse.service.child import Child, Inheritance, spawn
from posthouse.service.listeners import (
    ACCESS_COMMANDS,
    MAIL_COMMANDS,
    Endpoint,
    Listener,
    bind,
    claim,
    service_endpoints,
)

THROTTLE = 1.0
"""Seconds: a child that lived less long waits as long before its successor starts, so that a fault does not spin."""

STOP_GRACE = 5.0
"""Seconds between asking children to stop and killing them."""

START_GRACE = 60.0
"""Seconds that children have to report that they listen."""

Main = Callable[[Inheritance], int]


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """What the master itself needs."""

    queue_directory: str
    data_directory: str
    mail_owner: str
    mail_version: str
    posthouse_workers: int
    posthouse_access_workers: int
    mail_store_directory: str


class AlreadyRunning(Exception):
    """Another master holds the lock of this spool."""


class StartFailed(Exception):
    """A child or a listener did not come up. The text says which."""


def mail_identity(settings: MasterSettings) -> Identity:
    """mail_owner when we are root, else ourselves. Raises ConfigError."""
    if os.geteuid() != 0:
        return own_identity()
    try:
        identity = user_identity(settings.mail_owner)
    except KeyError:
        raise ConfigError(f"parameter mail_owner: unknown user name value: {settings.mail_owner}") from None
    if identity.uid == 0:
        raise ConfigError(f"parameter mail_owner: user {settings.mail_owner} has privileged user ID")
    return identity


def lock_file(path: str) -> int:
    """Open and lock a file for life. Raises AlreadyRunning, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning(path) from None
    return descriptor


@dataclass(slots=True)
class Generation:
    """One reading of the configuration, and the sockets that it wants."""

    number: int
    configuration: Configuration
    settings: MasterSettings
    services: tuple[Service, ...]
    identity: Identity
    roles: dict[str, int]
    """Role to how many."""
    sockets: dict[tuple[str, int], list[tuple[Listener, socket.socket]]] = field(default_factory=dict)
    """(role, index) to its listeners."""


class Master:
    """One running instance. `mains` maps a role to what its child runs."""

    def __init__(self, directory: str, mains: dict[str, Main], ready: Callable[[], None]) -> None:
        self._directory = directory
        self._mains = mains
        self._ready = ready
        self._announced = False
        self._children: dict[int, Child] = {}
        self._waiting: list[tuple[float, str, int]] = []
        self._bound: dict[tuple[Endpoint, str, int], socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._locks: list[int] = []
        self._log_descriptor: int | None = None
        self._spool_sockets: dict[str, socket.socket] = {}
        self._controls = 0
        self._wake: tuple[socket.socket, ...] = ()

    def run(self) -> int:
        """Start, serve, stop; returns the exit status. Raises AlreadyRunning, ConfigError, StartFailed, OSError."""
        os.environ["MAIL_CONFIG"] = self._directory  # as export_environment gives it to commands
        self._generation = self._read(0)
        settings = self._generation.settings
        self._log_descriptor = maillog.open_descriptor(self._generation.configuration)
        self._open_log()
        spool.prepare(settings.queue_directory, settings.data_directory, self._generation.identity)
        pid_path = os.path.join(settings.queue_directory, "pid", "master.pid")
        self._locks = [lock_file(os.path.join(settings.data_directory, "master.lock")), lock_file(pid_path)]
        os.ftruncate(self._locks[1], 0)
        os.write(self._locks[1], f"{os.getpid()}\n".encode())
        self._spool_sockets = spool.bind_sockets(settings.queue_directory, self._generation.identity)
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
        started = time.monotonic()
        self._start_all()
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.fileobj is wake_in:
                    for number in wake_in.recv(64):
                        self._signalled(number)
                elif isinstance(key.data, Child):
                    self._hear(key.data)
            self._start_waiting()
            if self._stopping:
                return self._stop()
            if not self._announced:
                failures = [child.failure for child in self._children.values() if child.failure]
                if failures or time.monotonic() - started > START_GRACE:
                    self._stop()
                    raise StartFailed(failures[0] if failures else "a process did not come up in time")

    def _open_log(self) -> None:
        sink: FileSink | SyslogSink = maillog.open_sink(self._generation.configuration, self._log_descriptor)
        self._log = maillog.program_log(self._generation.configuration, sink, "master")

    def _read(self, number: int) -> Generation:
        configuration = read_configuration(self._directory)
        settings = read_settings(MasterSettings, configuration)
        services = tuple(read_master_cf(os.path.join(self._directory, "master.cf")))
        roles: dict[str, int] = {"mail": max(1, settings.posthouse_workers)}
        if any(service.command in ACCESS_COMMANDS for service in services):
            roles["access"] = settings.posthouse_access_workers or os.cpu_count() or 1
        elif "access" in self._mains and any(service.command == "store" for service in services):
            roles["access"] = 1  # For mail(1), which reads the store by way of it.
        if os.geteuid() == 0 and "keeper" in self._mains:
            roles = {"keeper": 1, **roles}
        return Generation(number, configuration, settings, services, mail_identity(settings), roles)

    def _bind(self, generation: Generation) -> None:
        """Bind what is new, keep what stays. Raises StartFailed."""
        wanted: dict[tuple[Endpoint, str, int], Listener] = {}
        for service in generation.services:
            role = (
                "mail" if service.command in MAIL_COMMANDS else "access" if service.command in ACCESS_COMMANDS else None
            )
            if role is None:
                continue
            for endpoint in service_endpoints(service, generation.configuration):
                for index in range(generation.roles[role]):
                    wanted[endpoint, role, index] = Listener(service, endpoint)
        ours = {endpoint for endpoint, _, _ in self._bound}
        for key, listener in wanted.items():
            if key not in self._bound:
                endpoint = key[0]
                try:
                    if endpoint not in ours:
                        claim(endpoint)
                        ours.add(endpoint)
                    self._bound[key] = bind(endpoint, shared=True)
                except OSError as error:
                    raise StartFailed(f"bind {endpoint.host} port {endpoint.port}: {error.strerror}") from error
            generation.sockets.setdefault(key[1:], []).append((listener, self._bound[key]))
        if any(service.command == "store" for service in generation.services):
            settings = generation.settings
            spool.prepare_store(settings.mail_store_directory, settings.data_directory, generation.identity)
        if "access" in generation.roles and spool.MAILBOX not in self._spool_sockets:
            queue_directory = generation.settings.queue_directory
            self._spool_sockets[spool.MAILBOX] = spool.bind_mailbox(queue_directory, generation.identity)

    def _start_all(self) -> None:
        for role, count in self._generation.roles.items():
            for index in range(count):
                self._start_or_wait(role, index)

    def _start_or_wait(self, role: str, index: int) -> None:
        """A machine without room for a process has some later; while starting up, that is why it fails."""
        try:
            self._start(role, index)
        except OSError as error:
            if not self._announced:
                raise StartFailed(f"cannot start a {role} worker: {error.strerror}") from error
            self._log.error(f"cannot start a {role} worker: {error.strerror}; trying again")
            self._waiting.append((time.monotonic() + THROTTLE, role, index))

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
            sockets=tuple(generation.sockets.get((role, index), ())),
            identity=generation.identity,
            log_descriptor=self._log_descriptor,
            channel=theirs,
            generation=generation.number,
            intake_socket=self._spool_sockets["intake"] if role == "mail" else None,
            mailbox_socket=self._spool_sockets[spool.MAILBOX] if role == "access" else None,
            control_socket=control,
            keeper_socket=self._spool_sockets["keeper"] if role == "keeper" else None,
        )
        others = [child.channel for child in self._children.values()]
        own: list[socket.socket | selectors.BaseSelector] = [*self._bound.values(), *self._spool_sockets.values()]
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
            current = [c for c in self._children.values() if c.generation == self._generation.number]
            if all(c.ready for c in current) and len(current) == sum(self._generation.roles.values()):
                self._all_ready()
        elif message.data.startswith(FATAL):
            child.failure = message.data[len(FATAL) :].decode("utf-8", "replace")
            self._log.fatal(f"{child.role} worker {child.pid}: {child.failure}")

    def _all_ready(self) -> None:
        for child in self._children.values():
            if child.generation != self._generation.number and not child.retiring:
                child.retiring = True
                child.channel.send(RETIRE)
        if not self._announced:
            self._announced = True
            self._ready()

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
        if descriptor is None:
            return
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
            if not self._announced:
                self._children[pid] = child
                child.failure = child.failure or f"{child.role} worker: {how}"
                return
            lived = time.monotonic() - child.started
            self._waiting.append((time.monotonic() + (THROTTLE if lived < THROTTLE else 0.0), child.role, child.index))

    def _pause(self) -> float:
        if self._waiting:
            return max(0.0, min(at for at, _, _ in self._waiting) - time.monotonic())
        return 1.0 if not self._announced else 60.0

    def _start_waiting(self) -> None:
        now = time.monotonic()
        due = [entry for entry in self._waiting if entry[0] <= now]
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        for _, role, index in due:
            if index < self._generation.roles.get(role, 0):
                self._start_or_wait(role, index)

    def _reload(self) -> None:
        """A new generation of workers; a configuration that is broken changes nothing."""
        try:
            generation = self._read(self._generation.number + 1)
            self._bind(generation)
        except (ConfigError, StartFailed, OSError) as error:
            self._log.error(f"reload: {error}; going on with the old configuration")
            return
        old, self._generation = self._generation, generation
        self._waiting.clear()
        self._reopen_log()
        self._log.info(f"reload -- version {generation.settings.mail_version}, configuration {self._directory}")
        self._start_all()
        kept = {id(bound) for entries in generation.sockets.values() for _, bound in entries}
        for key, bound in list(self._bound.items()):
            if id(bound) not in kept:
                self._bound.pop(key).close()
        if "access" not in generation.roles and spool.MAILBOX in self._spool_sockets:
            self._spool_sockets.pop(spool.MAILBOX).close()
            spool.unlink_socket(generation.settings.queue_directory, spool.MAILBOX)
        del old

    def _stop(self) -> int:
        for child in self._children.values():
            child.channel.send(STOP)
        until = time.monotonic() + STOP_GRACE
        while self._children and time.monotonic() < until:
            self._stopping = True
            self._reap()
            for pid in [pid for pid, child in self._children.items() if child.failure]:
                self._children.pop(pid)
            self._selector.select(0.05)
        for pid in self._children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for bound in (*self._bound.values(), *self._spool_sockets.values()):
            bound.close()
        for path in self._spool_sockets:
            spool.unlink_socket(self._generation.settings.queue_directory, path)
        if self._locks:
            os.ftruncate(self._locks[1], 0)
        return 0
