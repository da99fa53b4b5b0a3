"""The hands of this instance: whose rights an errand needs, and carrying it out.

Built once from the configuration, before root is dropped; used by the keeper (identity() in
its parent, perform() in a child) and, without root, in the mail worker itself.
"""

import asyncio
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.envelope.content import Content
from posthouse.host.log import ProcessLog
from posthouse.host.users import Identity, user_identity
from posthouse.service.includes import include_owner, include_paths, open_include, owner_identity
from posthouse.tables.maps import Maps, open_maps
from posthouse.tables.table import Row, TableRetry
from posthouse.tables.waiting import wait
from posthouse.transport.hands import UNAVAILABLE, Errand, Report, deferred
from posthouse.transport.local.expansion import Kind, parse_expansion
from posthouse.transport.local.people import People, Person
from posthouse.transport.local.settings import UserSettings
from posthouse.transport.local.user import Delivery, Workshop
from posthouse.transport.pipe import PipeCommand, PipeHands, PipeSettings, parse_pipe, pipe_identity
from posthouse.transport.virtual import VirtualHands, VirtualSettings

KEPT_COMMANDS = ("local", "virtual", "pipe")
"""master.cf commands whose services work with other identities."""


@dataclass(frozen=True, slots=True)
class _Local:
    workshop: Workshop
    alias_maps: Maps


class Workbench:
    """Everything that the errands of one instance need."""

    def __init__(
        self, configuration: Configuration, services: Sequence[Service], people: People, log: ProcessLog
    ) -> None:
        """A pipe that is written wrong (Debian's master.cf names users that few machines have) is told of when mail
        comes for it, as in Postfix: that mail defers."""
        self._log = log
        self._off: dict[str, str] = {}
        self._people = people
        self._local: dict[str, _Local] = {}
        self._virtual: dict[str, VirtualHands] = {}
        self._pipes: dict[str, tuple[PipeCommand, Identity]] = {}
        self._pipe_hands: dict[str, PipeHands] = {}
        for service in services:
            if service.type != "unix" or service.command not in KEPT_COMMANDS:
                continue
            own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
            if service.command == "local":
                settings = read_settings(UserSettings, own)
                commands = open_maps(settings.mailbox_command_maps, own, "mailbox_command_maps", substitution=False)
                aliases = open_maps(settings.alias_maps, own, "alias_maps", substitution=False)
                self._local[service.name] = _Local(
                    Workshop(settings, commands, time.time, log.warning, log.fatal), aliases
                )
            elif service.command == "virtual":
                virtual = read_settings(VirtualSettings, own)
                self._virtual[service.name] = VirtualHands(
                    virtual,
                    open_maps(virtual.virtual_mailbox_maps, own, "virtual_mailbox_maps", substitution=False),
                    open_maps(virtual.virtual_uid_maps, own, "virtual_uid_maps", substitution=False),
                    open_maps(virtual.virtual_gid_maps, own, "virtual_gid_maps", substitution=False),
                    time.time,
                    log.program("virtual").warning,
                )
            else:
                try:
                    limit = own.seconds(f"{service.name}_time_limit")
                    command = parse_pipe(service.arguments, service.line, limit)
                    self._pipes[service.name] = (command, pipe_identity(command))
                except ConfigError as error:
                    self._off[service.name] = str(error)
                    continue
                self._pipe_hands[service.name] = PipeHands(
                    read_settings(PipeSettings, own),
                    time.time,
                    self._complain_of_pipe,
                    os.path.join(configuration.directory, "master.cf"),
                )

    def _complain_of_pipe(self, level: str, text: str) -> None:
        log = self._log.program("pipe")
        (log.fatal if level == "fatal" else log.warning)(text)

    def identity(self, errand: Errand) -> Identity | Report:
        """Whose rights the errand needs; a Report when it cannot be done at all. Looks at tables and user databases."""
        if errand.operation == "pipe" and errand.service in self._off:
            self._log.program("pipe").fatal(self._off[errand.service])
            return deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
        if errand.operation == "pipe" and errand.service in self._pipes:
            return self._pipes[errand.service][1]
        if errand.operation == "virtual" and errand.service in self._virtual:
            return self._virtual[errand.service].identity(errand)
        if errand.operation == "include" and errand.service in self._local:
            return self._include_identity(errand)
        if errand.service not in self._local or len(errand.names) != 1:
            return deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
        if errand.operation == "alias":
            return self._alias_identity(errand)
        if errand.operation not in {"user", "forward", "mailbox", "spool"}:
            return deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
        person = self._people.find(errand.names[0])
        if person is None or person.uid == 0:
            # Postfix delivers root's own mail as default_privs too; aliases(5) is where root's mail should go.
            if person is None:
                return deferred("4.3.0", f"user lookup error for {errand.names[0]}")
            return Identity(0, 0) if errand.operation == "spool" else self._default(errand)
        if errand.operation == "spool":
            return self._spool_identity(self._local[errand.service].workshop.settings.mail_spool_directory, person)
        return Identity(person.uid, person.gid)

    def session_identity(self, login: str) -> Identity | None:
        """Whose rights a session of this login needs: the user's, and the spool folder's group for its locks."""
        person = self._people.find(login)
        if person is None or person.uid == 0:
            return None
        groups: tuple[int, ...] = ()
        for local in self._local.values():
            groups = self._spool_identity(local.workshop.settings.mail_spool_directory, person).groups or groups
        return Identity(person.uid, person.gid, groups)

    def _default(self, errand: Errand) -> Identity | Report:
        name = self._local[errand.service].workshop.settings.default_privs
        try:
            identity = user_identity(name)
        except KeyError:
            return deferred("4.3.5", f"default_privs: unknown user: {name}")
        return Identity(identity.uid, identity.gid)

    def _row(self, errand: Errand) -> Row | Report:
        try:
            row = wait(self._local[errand.service].alias_maps.lookup(errand.names[0]))
        except TableRetry:
            return deferred("4.3.0", "alias database unavailable")
        return deferred("4.3.0", f"alias {errand.names[0]} is gone") if row is None else row

    def _alias_identity(self, errand: Errand) -> Identity | Report:
        """The owner of the alias file, or default_privs for root's."""
        row = self._row(errand)
        return row if isinstance(row, Report) else self._owner(errand, row) or self._default(errand)

    def _owner(self, errand: Errand, row: Row) -> Identity | None:
        """Whose alias file it is; None for root's."""
        path = row.table.partition(":")[2]
        for name in (f"{path}.db", f"{path}.lmdb", f"{path}.cdb", path):
            try:
                uid = os.stat(name).st_uid
            except OSError:
                continue
            if uid == 0:
                break
            found = owner_identity(uid, name, self._log)
            return found if isinstance(found, Identity) else None
        return None

    def _included(self, errand: Errand) -> str | Report:
        """The path of the include file that an errand means."""
        row = self._row(errand)
        if isinstance(row, Report):
            return row
        paths = include_paths(row.value)
        number = errand.names[1] if len(errand.names) == 2 else ""
        if not number.isascii() or not number.isdigit() or len(number) > 4 or int(number) >= len(paths):
            return deferred("4.3.0", f"alias {errand.names[0]} has changed")
        return paths[int(number)]

    def _include_identity(self, errand: Errand) -> Identity | Report:
        """The owner of an include file; for root's, of the alias file."""
        path = self._included(errand)
        if isinstance(path, Report):
            return path
        uid = include_owner(path, self._log)
        if isinstance(uid, Report):
            return uid
        return self._alias_identity(errand) if uid == 0 else owner_identity(uid, path, self._log)

    def opened(self, errand: Errand) -> int | Report | None:
        """What the caller's own rights must open for an errand: root's include file in root's alias file."""
        if errand.operation != "include" or os.geteuid() != 0:
            return None
        row, path = self._row(errand), self._included(errand)
        if isinstance(path, Report) or isinstance(row, Report) or self._owner(errand, row) is not None:
            return None
        return open_include(path, self._log) if include_owner(path, self._log) == 0 else None

    def _spool_identity(self, folder: str, person: Person) -> Identity:
        """The user, with the spool folder's group where that is who may make files there."""
        try:
            found = os.stat(folder)
        except OSError:
            return Identity(person.uid, person.gid)
        if found.st_mode & stat.S_IWGRP:
            return Identity(person.uid, person.gid, (found.st_gid,))
        if os.geteuid() == 0 and not found.st_mode & stat.S_IWOTH:
            _make_spool_file(os.path.join(folder, person.login), person)
        return Identity(person.uid, person.gid)

    def perform(self, errand: Errand, content: int, identity: Identity, opened: int | None = None) -> Report:
        """Do it, with the rights of the calling process, and what was opened for it. Blocks."""
        if errand.operation == "pipe":
            return self._pipe_hands[errand.service].deliver(self._pipes[errand.service][0], errand, content)
        if errand.operation == "virtual":
            return self._virtual[errand.service].deliver(errand, content, identity)
        local = self._local[errand.service]
        if errand.operation == "include":
            path = self._included(errand)
            if isinstance(path, Report):
                return path
            return Delivery(local.workshop, errand, None, content).included(path, opened)
        if errand.operation == "alias":
            row = self._row(errand)
            if isinstance(row, Report):
                return row
            items = [i for i in parse_expansion(row.value) if i.kind in (Kind.COMMAND, Kind.FILE)]
            return Delivery(local.workshop, errand, None, content).items(items, "alias")
        person = self._people.find(errand.names[0])
        if person is None:
            return deferred("4.3.0", f"user lookup error for {errand.names[0]}")
        delivery = Delivery(local.workshop, errand, person, content)
        if errand.operation == "spool":
            return delivery.spool()
        report = delivery.forward_file() if errand.operation != "mailbox" else None
        if report is None:
            report = Report() if errand.operation == "forward" else delivery.mailbox()
        return report


def _make_spool_file(path: str, person: Person) -> None:
    """Where only root may make files in the spool folder (no dot locks then)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return
    os.fchown(descriptor, person.uid, person.gid)
    os.close(descriptor)


async def content_file(content: Content) -> int:
    """The content in a descriptor of its own, at its start."""
    descriptor = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content.header + b"\r\n")
        async for chunk in content.body.chunks():
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
    except BaseException:
        os.close(descriptor)
        raise
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class OwnHands:
    """Hands without root: errands of our own identity are done in a thread, others defer."""

    def __init__(self, workbench: Workbench, log: ProcessLog) -> None:
        self._workbench = workbench
        self._log = log
        self._warned: set[int] = set()

    async def run(self, errand: Errand, content: Content) -> Report:
        """Do it, if it is ours to do."""
        loop = asyncio.get_running_loop()
        identity = await loop.run_in_executor(None, self._workbench.identity, errand)
        if isinstance(identity, Report):
            return identity
        if identity.uid != os.geteuid():
            if identity.uid not in self._warned:
                self._warned.add(identity.uid)
                self._log.warning(f"{errand.service}: delivery as uid {identity.uid} needs a system that root started")
            return deferred(UNAVAILABLE.status, UNAVAILABLE.reason)
        descriptor = await content_file(content)
        try:
            return await loop.run_in_executor(None, self._workbench.perform, errand, descriptor, identity)
        finally:
            os.close(descriptor)
