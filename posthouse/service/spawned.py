"""spawn(8): commands of master.cf that a connection starts, with the connection as their input and output.

    policyd-spf unix - n n - 0 spawn user=policyd-spf argv=/usr/bin/policyd-spf

The keeper listens, and forks for each connection a process that becomes the user and then the command: policy servers
and table servers of others run so. A line that cannot be served (no such user, no argv=) is told once, and nobody
listens there: who asks it defers mail. maxproc is the most commands of a line at once; SERVICE_time_limit ends one
that lasts. Only where the master is root.

Sockets are bound anew at a reload. One of Unix has the place of the old at once; of two on a port each gets its part
of the connections until the old keeper lets go.

Manual: spawn(8) of Postfix 3.7.
"""

import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.host.log import ProcessLog
from posthouse.host.users import Identity, become
from posthouse.service.listeners import Endpoint, bind, service_endpoints
from posthouse.service.services import service_configuration
from posthouse.transport.command import export_environment
from posthouse.transport.pipe import PipeCommand, pipe_identity

FOLDER_MODES = {"private": 0o700, "public": 0o710}
"""Postfix's folders for sockets, below queue_directory; mail_owner has them."""


@dataclass(frozen=True, slots=True)
class SpawnSettings:
    """What spawn(8) reads of main.cf."""

    queue_directory: str
    default_process_limit: int
    export_environment: tuple[str, ...]
    import_environment: tuple[str, ...]


@dataclass(slots=True)
class Spawned:
    """One line of master.cf."""

    name: str
    argv: tuple[str, ...]
    identity: Identity
    most: int
    """Commands at once; 0 is no limit."""
    time_limit: float
    environment: dict[str, str]
    folder: str
    log: ProcessLog
    sockets: list[socket.socket] = field(default_factory=list)
    running: dict[int, float] = field(default_factory=dict)
    """Process ids, and when their time is over."""

    def full(self) -> bool:
        """Whether the next connection has to wait."""
        return bool(self.most) and len(self.running) >= self.most


def parse_spawn(arguments: Sequence[str], line: int) -> PipeCommand:
    """The words after `spawn` in master.cf. Raises ConfigError."""
    where = f"master.cf, line {line}"
    user = ""
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == "argv" and equals:
            argv = (value, *arguments[position + 1 :]) if value else tuple(arguments[position + 1 :])
            if not user:
                raise ConfigError(f"{where}: missing user= command-line attribute")
            if not argv:
                break
            return PipeCommand(argv, user)
        if name != "user" or not equals:
            raise ConfigError(f"{where}: unknown attribute name: {word}")
        user = value
    raise ConfigError(f"{where}: missing argv= command-line attribute")


class SpawnedServices:
    """All of them, in the keeper."""

    def __init__(self, services: list[Spawned]) -> None:
        self._services = services

    @classmethod
    def open(
        cls, configuration: Configuration, services: Sequence[Service], owner: Identity, log: ProcessLog
    ) -> "SpawnedServices":
        """Listen for each line that can be served; `owner` is mail_owner."""
        found = []
        for service in services:
            if service.command != "spawn":
                continue
            own = service_configuration(configuration, service)
            try:
                made = _open(own, service, owner, log)
                found.append(made)
                for endpoint in _endpoints(own, service, owner):
                    made.sockets.append(_listen(endpoint))
            except ConfigError as error:
                log.fatal(error.text)
            except OSError as error:
                log.fatal(f"bind {service.name}: {error.strerror}")
        return cls(found)

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Have the selector tell of connections to those who may start one more command."""
        for service in self._services:
            for listening in service.sockets:
                watched = listening in selector.get_map()
                if service.full() and watched:
                    selector.unregister(listening)
                elif not service.full() and not watched:
                    selector.register(listening, selectors.EVENT_READ, service)

    def close(self, selector: selectors.BaseSelector | None = None) -> None:
        """Listen no more."""
        for service in self._services:
            for listening in service.sockets:
                if selector is not None and listening in selector.get_map():
                    selector.unregister(listening)
                listening.close()
            service.sockets.clear()

    def accept(self, service: Spawned, listening: socket.socket, be_a_child: Callable[[], None]) -> None:
        """A connection has come: start its command."""
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # It is gone again, or another keeper was quicker.
        with connection:
            pid = os.fork()
            if pid == 0:
                _be_the_command(service, connection, be_a_child)
            service.running[pid] = time.monotonic() + service.time_limit

    def ended(self, pid: int, status: int) -> None:
        """A child of the keeper has ended; it may have been a command."""
        for service in self._services:
            if service.running.pop(pid, None) is None:
                continue
            if os.WIFSIGNALED(status):
                service.log.warning(f"command {service.argv[0]} killed by signal {os.WTERMSIG(status)}")
            elif os.WEXITSTATUS(status):
                service.log.warning(f"command {service.argv[0]} exit status {os.WEXITSTATUS(status)}")

    def end_late_ones(self) -> None:
        """Kill those whose time is over."""
        now = time.monotonic()
        for service in self._services:
            for pid in [pid for pid, end in service.running.items() if end <= now]:
                service.log.warning(f"{service.name}: process id {pid}: command time limit exceeded")
                service.running[pid] = math.inf
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def _open(own: Configuration, service: Service, owner: Identity, log: ProcessLog) -> Spawned:
    settings = read_settings(SpawnSettings, own)
    command = parse_spawn(service.arguments, service.line)
    identity = pipe_identity(command)
    if identity.uid == owner.uid:
        raise ConfigError(f"master.cf, line {service.line}: request to use mail system owner id {identity.uid}")
    limit = settings.default_process_limit if service.maxproc is None else service.maxproc
    environment = export_environment(settings.export_environment, settings.import_environment)
    time_limit = own.seconds(f"{service.name}_time_limit")
    return Spawned(service.name, command.argv, identity, limit, time_limit, environment, settings.queue_directory, log)


def _endpoints(own: Configuration, service: Service, owner: Identity) -> tuple[Endpoint, ...]:
    """Where it listens; the folder of a Unix socket is made where Postfix never was."""
    if service.type == "inet":
        return service_endpoints(service, own)
    if service.type != "unix":
        raise ConfigError(f"master.cf, line {service.line}: spawn: type {service.type} is not served")
    name = "private" if service.private else "public"
    folder = os.path.join(own.value("queue_directory"), name)
    if not os.path.isdir(folder):
        os.mkdir(folder, FOLDER_MODES[name])
        os.chown(folder, owner.uid, -1)
        os.chmod(folder, FOLDER_MODES[name])
    return (Endpoint(os.path.join(folder, service.name), 0),)


def _listen(endpoint: Endpoint) -> socket.socket:
    listening = bind(endpoint, shared=endpoint.family != socket.AF_UNIX)
    if endpoint.family == socket.AF_UNIX:
        os.chmod(endpoint.host, 0o666)
    return listening


def _be_the_command(service: Spawned, connection: socket.socket, be_a_child: Callable[[], None]) -> None:
    """In the child: never returns."""
    try:
        be_a_child()
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        become(service.identity)
        os.chdir(service.folder if os.access(service.folder, os.X_OK) else "/")
        for descriptor in range(3):
            os.dup2(connection.fileno(), descriptor, inheritable=True)
        os.set_blocking(0, True)
        os.execvpe(service.argv[0], service.argv, service.environment)
    except BaseException as error:
        service.log.fatal(f"execvp {service.argv[0]}: {getattr(error, 'strerror', None) or error}")
    finally:
        os._exit(1)
