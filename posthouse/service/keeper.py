"""The keeper: work that needs another identity, one child per identity, and the commands of spawn(8).

The parent stays root, and only looks up whose rights an errand needs, forks, and passes on.
A child drops to one identity for good and carries out errands in a few threads. Nobody but
mail_owner can connect, and what travels says for whom, never what (transport/hands.py).

Runs only where the master is root.
"""

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from posthouse.accounts.pam import pam_check
from posthouse.config.error import ConfigError
from posthouse.host.log import ProcessLog
from posthouse.host.users import Identity, become
from posthouse.routing.router import Router
from posthouse.service import keeper_wire, maillog
from posthouse.service.channel import FATAL, LEFT, LOG, READY, RETIRE, STOP
from posthouse.service.child import Inheritance
from posthouse.service.hands import Workbench
from posthouse.service.mail_place import MailPlaces
from posthouse.service.people import open_people
from posthouse.service.session_child import serve_sessions
from posthouse.service.spawned import Spawned, SpawnedServices
from posthouse.transport.hands import UNAVAILABLE, Errand, Report, deferred
from posthouse.transport.local.people import People

CHILDREN_LIMIT = 100
"""Identities with a child at once; the one unused longest ends first, when its work is done."""

THREADS = 4
"""Errands that one identity carries out at a time."""

ASKING_LIMIT = 16
"""Questions to PAM at a time."""

PAM_TIME = 25
"""Seconds that PAM may take."""

REQUEST_PATIENCE = 5.0
"""Seconds that a connected worker has to send its request, so that none can hold the parent up."""


class Keeper:
    """The parent."""

    def __init__(
        self, inheritance: Inheritance, workbench: Workbench, places: MailPlaces, people: People, log: ProcessLog
    ) -> None:
        assert inheritance.keeper_socket is not None
        self._inheritance = inheritance
        self._listening = inheritance.keeper_socket
        self._workbench = workbench
        self._places = places
        self._people = people
        self._log = log
        self._children: OrderedDict[tuple[Identity, bool], socket.socket] = OrderedDict()
        """(identity, whether it speaks sessions) to the parent's end of its requests."""
        self._asking: set[int] = set()
        """Children that ask PAM."""
        self._retiring = False
        self._spawned = SpawnedServices.open(
            inheritance.configuration, inheritance.services, inheritance.identity, log.program("spawn")
        )

    def run(self) -> int:
        """Serve until the master says stop or is gone."""
        channel = self._inheritance.channel
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector = selectors.DefaultSelector()
        selector.register(channel.socket, selectors.EVENT_READ)
        selector.register(self._listening, selectors.EVENT_READ)
        self._spawned.watch(selector)
        channel.send(READY)
        while True:
            for key, _ in selector.select(1.0):
                if key.fileobj is self._listening:
                    self._accept()
                    continue
                if isinstance(key.data, Spawned):
                    assert isinstance(key.fileobj, socket.socket)
                    self._spawned.accept(key.data, key.fileobj, self._be_a_child)
                    continue
                message = channel.receive()
                if message is None or message.data == STOP:
                    return 0
                if message.data == LOG and message.descriptor is not None:
                    self._change_log(message.descriptor)
                if message.data == RETIRE and not self._retiring:
                    self._retiring = True
                    selector.unregister(self._listening)
                    self._spawned.close(selector)
                    for ours in self._children.values():
                        ours.close()
                    self._children.clear()
                    channel.send(LEFT)
            if self._reap() and self._retiring:
                return 0
            self._spawned.end_late_ones()
            self._spawned.watch(selector)

    def _change_log(self, new: int) -> None:
        """The log goes on in a new file, for the children, too. (One that asks PAM ends soon enough.)"""
        for ours in self._children.values():
            with contextlib.suppress(OSError):  # a child that is gone
                keeper_wire.send(ours, keeper_wire.LOG, new)
        maillog.go_on_in(new, self._inheritance.log_descriptor)

    def _reap(self) -> bool:
        """Collect dead children; True when none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._asking.discard(pid)
            self._spawned.ended(pid, status)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        descriptors: list[int] = []
        try:
            connection.settimeout(REQUEST_PATIENCE)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            _, uid, _ = struct.unpack("3i", credentials)
            if uid not in (0, self._inheritance.identity.uid):
                return
            data, descriptors = keeper_wire.receive_request(connection, 1)
            connection.setblocking(True)
            request = keeper_wire.decode_request(data)
            if isinstance(request, keeper_wire.PasswordCheck):
                self._ask_pam(request, connection)
            elif isinstance(request, keeper_wire.SessionStart) and len(descriptors) == 1:
                identity = self._workbench.session_identity(request.login)
                if identity is not None:
                    self._pass_on(data, identity, connection, descriptors[0], sessions=True)
            elif isinstance(request, Errand) and len(descriptors) == 1:
                found = self._workbench.identity(request)
                if not isinstance(found, Report):
                    opened = self._workbench.opened(request)
                    if isinstance(opened, Report):
                        found = opened
                    elif opened is not None:
                        descriptors.append(opened)
                if isinstance(found, Report):
                    connection.sendall(keeper_wire.encode_report(found))
                else:
                    self._pass_on(data, found, connection, *descriptors, sessions=False)
        except OSError as error:
            self._log.warning(f"keeper: {error}")
        finally:
            connection.close()
            for descriptor in descriptors:
                os.close(descriptor)

    def _pass_on(
        self, data: bytes, identity: Identity, connection: socket.socket, *descriptors: int, sessions: bool
    ) -> None:
        key = (identity, sessions)
        for attempt in range(2):
            ours = self._children.get(key) or self._fork(identity, connection, *descriptors, sessions=sessions)
            self._children.move_to_end(key)
            try:
                keeper_wire.send(ours, data, connection.fileno(), *descriptors)
                return
            except OSError:  # The child is gone (killed): a new one takes the request.
                ours.close()
                del self._children[key]
                if attempt:
                    raise

    def _fork(self, identity: Identity, connection: socket.socket, *descriptors: int, sessions: bool) -> socket.socket:
        """A child for an identity. It gets the request under way like all others, so its copies of that are closed: an
        open one would keep the worker waiting for the end of the answer."""
        while len(self._children) >= CHILDREN_LIMIT:
            _, oldest = self._children.popitem(last=False)
            oldest.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                ours.close()
                connection.close()
                for descriptor in descriptors:
                    os.close(descriptor)
                self._be_a_child()
                become(identity)
                if sessions:
                    status = serve_sessions(theirs, self._inheritance, self._places, self._people, identity.uid)
                else:
                    status = _serve(theirs, self._workbench, identity, self._inheritance.log_descriptor)
            except BaseException as error:
                self._log.error(f"keeper child for uid {identity.uid}: {type(error).__name__}: {error}")
            finally:
                sys.stdout.flush()
                os._exit(status)
        theirs.close()
        self._children[identity, sessions] = ours
        return ours

    def _be_a_child(self) -> None:
        """Let go of what is the parent's."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in self._children.values():
            other.close()
        self._listening.close()
        self._spawned.close()
        self._inheritance.channel.close()

    def _ask_pam(self, request: keeper_wire.PasswordCheck, connection: socket.socket) -> None:
        """PAM blocks and loads modules: a child of its own, as root, for one question."""
        if len(self._asking) >= ASKING_LIMIT:
            return  # No answer: the worker says "try again later".
        pid = os.fork()
        if pid:
            self._asking.add(pid)
            return
        try:
            self._be_a_child()
            signal.alarm(PAM_TIME)
            connection.sendall(b"yes" if pam_check(request.login, request.password) else b"no")
        except BaseException as error:
            self._log.error(f"PAM: {type(error).__name__}: {error}")
        finally:
            os._exit(0)


def _serve(requests: socket.socket, workbench: Workbench, identity: Identity, log: int | None) -> int:
    """A child's life: errands until the parent closes its end, then those that are under way. `log` is the descriptor
    of the mail log."""
    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            data, descriptors = keeper_wire.receive(requests, 3)
            if not data:
                return 0
            if data == keeper_wire.LOG and len(descriptors) == 1:
                maillog.go_on_in(descriptors[0], log)
                continue
            errand = keeper_wire.decode_request(data)
            if not isinstance(errand, Errand) or len(descriptors) not in (2, 3):
                for descriptor in descriptors:
                    os.close(descriptor)
                continue
            pool.submit(_carry_out, workbench, errand, identity, *descriptors)


def _carry_out(
    workbench: Workbench, errand: Errand, identity: Identity, connection: int, content: int, opened: int | None = None
) -> None:
    try:
        try:
            report = workbench.perform(errand, content, identity, opened)
        except Exception as error:
            # A fault of ours must not lose mail: it defers, and says what happened.
            report = deferred(UNAVAILABLE.status, f"internal error: {type(error).__name__}: {error}")
        data = keeper_wire.encode_report(report)
        while data:
            data = data[os.write(connection, data) :]
    except OSError:
        pass  # The worker is gone; it will try again.
    finally:
        for descriptor in (connection, content, opened):
            if descriptor is not None:
                os.close(descriptor)


def main(inheritance: Inheritance) -> int:
    """The keeper's process; returns its exit status."""
    sink = maillog.open_sink(inheritance.configuration, inheritance.log_descriptor)
    log = maillog.program_log(inheritance.configuration, sink, "keeper")
    try:
        people = open_people(inheritance.configuration)
        workbench = Workbench(inheritance.configuration, inheritance.services, people, log.program("local"))
        places = MailPlaces(
            inheritance.configuration,
            inheritance.services,
            Router.open(inheritance.configuration, log.program("trivial-rewrite")),
        )
    except ConfigError as error:
        inheritance.channel.send(FATAL + str(error).encode("utf-8", "replace"))
        return 1
    return Keeper(inheritance, workbench, places, people, log).run()
