"""A user's own mail: .forward, mailbox_command, home_mailbox, the spool file.

Runs with the user's rights, in a thread. The addresses that a .forward names go back to the
agent; commands and files are carried out here.

Standards: local(8)'s order: .forward, mailbox_command_maps, mailbox_command, home_mailbox, spool.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from posthouse.mda.copy import delivery_fields, from_line
from posthouse.mda.deposit import (
    DepositFailed,
    DotLock,
    Locking,
    Telling,
    locking_of,
    message_lines,
    to_maildir,
    to_mbox,
)
from posthouse.tables.maps import Maps
from posthouse.tables.table import TableRetry
from posthouse.tables.waiting import wait
from posthouse.transport.command import command_report, command_words, export_environment, run_command
from posthouse.transport.hands import Errand, Report, bounced, deferred, done, joined
from posthouse.transport.local.expansion import Item, Kind, parse_lines
from posthouse.transport.local.people import Person
from posthouse.transport.local.settings import UserSettings

FORWARD_LIMIT = 1 << 20
"""Bytes of a .forward or include file: more is a mistake or an attack."""

_NAME = re.compile(r"\$(?:\{(\w+)(?:([?:])([^}]*))?\}|\((\w+)\)|(\w+))")


def expand_with(text: str, values: Mapping[str, str]) -> str:
    """$name, ${name}, ${name?text} and ${name:text} with the values of this delivery."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[4] or match[5]
        found = values.get(name, "")
        if match[2] == "?":
            return expand_with(match[3], values) if found else ""
        if match[2] == ":":
            return "" if found else expand_with(match[3], values)
        return found

    return _NAME.sub(value, text)


def _lacks(text: str, values: Mapping[str, str]) -> bool:
    """Whether a plain $name in it has no value: such a path is none."""
    names = [match[1] or match[4] or match[5] for match in _NAME.finditer(text) if not match[2]]
    return not all(values.get(name) for name in names)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the hands work with, read once."""

    settings: UserSettings
    command_maps: Maps
    clock: Callable[[], float]
    warn: Callable[[str], None]
    """To the service's log."""
    fatal: Callable[[str], None] = lambda text: None
    """What ended a child of Postfix's, to the same."""

    def complain(self, level: str, text: str) -> None:
        """To the log, at "warning" or "fatal"."""
        (self.fatal if level == "fatal" else self.warn)(text)


def attributes(errand: Errand, person: Person | None) -> dict[str, str]:
    """The values for commands and paths, by their names in local(8)."""
    local_part, _, domain = errand.recipient.rpartition("@")
    return {
        "user": person.login if person else errand.names[0],
        "home": person.home if person else "",
        "shell": person.shell if person else "",
        "recipient": errand.recipient,
        "extension": errand.extension,
        "domain": domain,
        "local": local_part or errand.recipient,
        "mailbox": person.login if person else errand.names[0],
        "sender": errand.sender or "MAILER-DAEMON",
    }


def censored(values: Mapping[str, str], allowed: str) -> dict[str, str]:
    """Values without what a shell, or who reads a path, could take amiss: strangers wrote some of them."""
    return {name: "".join(c if c in allowed else "_" for c in value) for name, value in values.items()}


def environment(errand: Errand, person: Person | None, settings: UserSettings) -> dict[str, str]:
    """A command's environment, as local(8) lists it."""
    found = export_environment(settings.export_environment, settings.import_environment)
    values = attributes(errand, person)
    named = {
        "DOMAIN": values["domain"],
        "EXTENSION": errand.extension,
        "HOME": values["home"],
        "LOCAL": values["local"],
        "LOGNAME": values["user"],
        "ORIGINAL_RECIPIENT": errand.original_recipient,
        "RECIPIENT": errand.recipient,
        "SHELL": values["shell"],
        "USER": values["user"],
        "CLIENT_ADDRESS": errand.client_address,
        "CLIENT_HELO": errand.client_helo,
        "CLIENT_HOSTNAME": errand.client_name,
        "CLIENT_PROTOCOL": errand.client_protocol,
        "SASL_METHOD": errand.sasl_method,
        "SASL_SENDER": errand.sasl_sender,
        "SASL_USERNAME": errand.sasl_username,
    }
    named = {name: value for name, value in named.items() if value} | {"SENDER": errand.sender}
    return found | censored(named, settings.command_expansion_filter)


class Delivery:
    """One errand of one person (or of an alias's owner), with the content open."""

    def __init__(self, workshop: Workshop, errand: Errand, person: Person | None, content: int) -> None:
        self._shop = workshop
        self._settings = workshop.settings
        self._errand = errand
        self._person = person
        self._content = content
        self._seen: set[str] = set()

    def _lines(self, purpose: str) -> Callable[[], Iterator[bytes]]:
        """The message with the fields that this kind of delivery puts above it."""
        wanted = purpose in self._settings.prepend_delivered_header
        fields = delivery_fields(
            self._errand.sender,
            self._errand.original_recipient,
            (self._errand.delivered_to or self._errand.recipient) if wanted else "",
        )
        return message_lines(self._content, fields)

    def items(self, items: list[Item], allowed: str) -> Report:
        """Carry out what an expansion lists; addresses come back as forwards."""
        reports: list[Report] = []
        for item in items:
            key = f"{item.kind.value}:{item.value}"
            if key in self._seen:
                continue
            self._seen.add(key)
            match item.kind:
                case Kind.ADDRESS:
                    reports.append(Report(forwards=(item.value,)))
                case Kind.MAILBOX:
                    reports.append(Report(forwards=(f"\\{item.value}",)))
                case Kind.COMMAND:
                    reports.append(self._command_item(item.value, allowed))
                case Kind.FILE:
                    reports.append(self._file_item(item.value, allowed))
                case Kind.INCLUDE:
                    reports.append(self._include(item.value))
        return joined(reports)

    def _command_item(self, command: str, allowed: str) -> Report:
        if allowed not in self._settings.allow_mail_to_commands:
            return bounced("5.7.1", "mail to command is restricted")
        return self.command(command)

    def _file_item(self, path: str, allowed: str) -> Report:
        if allowed not in self._settings.allow_mail_to_files:
            return bounced("5.7.1", "mail to file is restricted")
        try:
            if path.endswith("/"):
                self._maildir(path)
            else:
                to_mbox(
                    path,
                    self._lines("file"),
                    self._errand.sender,
                    now=self._shop.clock(),
                    locking=self._locking(),
                    size_limit=self._settings.mailbox_size_limit,
                    executable=False,
                    telling=self._telling(f"cannot append message to file {path}: ", DotLock.TRIED),
                )
        except DepositFailed as failed:
            return _failed(failed)
        return done("delivered to maildir" if path.endswith("/") else f"delivered to file: {path}")

    def _include(self, path: str) -> Report:
        text = read_small(path)
        if isinstance(text, OSError):
            return bounced("5.3.5", "mail system configuration error")  # as in Postfix: whoever wrote it must mend it
        return self.items(parse_lines(text), "include")

    def included(self, path: str, descriptor: int | None) -> Report:
        """An include file of an alias, from a descriptor where it was opened with more rights than ours."""
        text = read_small(path) if descriptor is None else read_open(descriptor)
        if isinstance(text, OSError):
            return bounced("5.3.5", "mail system configuration error")
        return self.items(parse_lines(text), "include")

    def _locking(self) -> Locking:
        s = self._settings
        return locking_of(s.mailbox_delivery_lock, s.deliver_lock_attempts, s.deliver_lock_delay, s.stale_lock_time)

    def command(self, command: str, *, shell: str | None = None) -> Report:
        """Pipe the message to a command line, behind a From_ line as local(8) does."""
        settings = self._settings
        descriptor = os.memfd_create("message", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, from_line(self._errand.sender, self._shop.clock()))
            for chunk in self._lines("command")():
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.lseek(descriptor, 0, os.SEEK_SET)
            folder = self._folder(
                expand_with(
                    settings.command_execution_directory,
                    censored(attributes(self._errand, self._person), settings.execution_directory_expansion_filter),
                )
            )
            fate, dsn = run_command(
                command_words(command, settings.local_command_shell if shell is None else shell),
                agent="local",
                shown=command,
                environment=environment(self._errand, self._person, settings),
                folder=folder,
                content=descriptor,
                time_limit=settings.command_time_limit,
                complain=self._shop.complain,
            )
        finally:
            os.close(descriptor)
        return command_report(fate, dsn, f"delivered to command: {command}")

    def _folder(self, wanted: str) -> str:
        """command_execution_directory, or the queue's folder, where whoever runs the command may be there."""
        queue = self._settings.queue_directory
        return wanted or (queue if os.access(queue, os.X_OK, effective_ids=True) else "/")

    def forward_file(self) -> Report | None:
        """The first of forward_path that is there, carried out; None when there is none."""
        assert self._person is not None
        if homeless := self._homeless():
            return replace(homeless, forwarded=True)
        values = attributes(self._errand, self._person)
        if "/" in values["extension"]:
            values["extension"] = ""  # The worker leaves such a one out; a worker that was taken over may not.
        found = values["local"].removesuffix(values["extension"])[-1:] if values["extension"] else ""
        delimiters = self._settings.recipient_delimiter
        values["recipient_delimiter"] = found if found and found in delimiters else delimiters[:1]
        values = censored(values, self._settings.forward_expansion_filter)
        for word in self._settings.forward_path.replace(",", " ").split():
            path = expand_with(word, values)
            if not path.startswith("/") or _lacks(word, values):
                continue
            text = read_small(path, owner=self._person.uid)
            if isinstance(text, OSError):
                if isinstance(text, (FileNotFoundError, NotADirectoryError)):
                    continue
                if text.errno == errno.EACCES and self._person.uid == 0:
                    continue  # Root's mail is delivered as default_privs, who may not look; Postfix looks as root.
                if text.errno in (errno.EACCES, errno.ELOOP):
                    self._shop.warn(f"cannot open file {path}: {os.strerror(text.errno)}")
                    continue
                if text.errno is None:
                    self._shop.warn(f"file {path} {text}")
                    continue
                return replace(deferred("4.3.5", f"cannot open {path}: {text.strerror}"), forwarded=True)
            items = parse_lines(text)
            if not items:
                continue  # An empty .forward is no .forward.
            return replace(self.items(items, "forward"), forwarded=True)
        return None

    def _homeless(self) -> Report | None:
        """require_home_directory: mail waits for the file system that the home is on."""
        assert self._person is not None
        if not self._settings.require_home_directory:
            return None
        try:
            os.stat(self._person.home)
        except OSError as error:
            return deferred("4.3.0", f"cannot access home directory {self._person.home}: {error.strerror}")
        return None

    def mailbox(self) -> Report:
        """mailbox_command, home_mailbox, or the spool file (which is the agent's next errand)."""
        assert self._person is not None
        settings = self._settings
        if homeless := self._homeless():
            return homeless
        try:
            row = wait(self._shop.command_maps.lookup(self._person.login))
        except TableRetry:
            return deferred("4.3.0", "table lookup failure")
        command = row.value if row is not None else settings.mailbox_command
        if command:
            return self.command(command)  # its $NAMES are the shell's
        if settings.home_mailbox:
            path = os.path.join(self._person.home, settings.home_mailbox)
            return self.into(path)
        return Report(spool=True)

    def spool(self) -> Report:
        """The file, or Maildir, of mail_spool_directory."""
        assert self._person is not None
        folder = self._settings.mail_spool_directory
        path = os.path.join(folder, self._person.login)
        return self.into(f"{path}/" if folder.endswith("/") else path)

    def _maildir(self, path: str) -> None:
        limit = self._settings.mailbox_size_limit
        now = self._shop.clock()
        to_maildir(path, self._lines("file"), now=now, size_limit=limit, telling=self._telling("", DotLock.WANTED))

    def _telling(self, prefix: str, dot_lock: DotLock) -> Telling:
        """local(8) gives a message up where a file cannot be written for good."""
        return Telling(prefix, "5.2.0", dot_lock, self._shop.warn)

    @property
    def _login(self) -> str:
        return self._person.login if self._person else self._errand.names[0]

    def into(self, path: str) -> Report:
        """Put the message into a Maildir (path ends in "/") or an mbox."""
        settings = self._settings
        try:
            if path.endswith("/"):
                self._maildir(path)
                return done("delivered to maildir")
            to_mbox(
                path,
                self._lines("file"),
                self._errand.sender,
                now=self._shop.clock(),
                locking=self._locking(),
                size_limit=settings.mailbox_size_limit,
                owner=self._person.uid if settings.strict_mailbox_ownership and self._person else None,
                telling=self._telling(f"cannot update mailbox {path} for user {self._login}. ", DotLock.WANTED),
            )
        except DepositFailed as failed:
            return _failed(failed)
        return done("delivered to mailbox")


def _failed(failed: DepositFailed) -> Report:
    make = deferred if failed.status.startswith("4") else bounced
    return make(failed.status, failed.reason)


def read_small(path: str, owner: int | None = None) -> str | OSError:
    """A file of instructions: regular, of bounded size; with an owner: his or root's, and writable by nobody else.

    An error without a number says what is wrong with the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error
    try:
        return read_open(descriptor, owner)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, owner: int | None = None) -> str | OSError:
    """The same, from an open file."""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return OSError("is not a regular file")
        if owner is not None and found.st_uid not in (owner, 0):
            return OSError(f"has bad owner uid {found.st_uid}")
        if owner is not None and found.st_mode & stat.S_IWOTH:
            return OSError("is world writable")
        if found.st_size > FORWARD_LIMIT:
            return OSError(27, "file too large")
        return os.read(descriptor, FORWARD_LIMIT).decode("utf-8", "surrogateescape")
    except OSError as error:
        return error
