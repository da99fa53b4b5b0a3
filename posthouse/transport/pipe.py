"""The pipe delivery agent: pipe(8), a command of master.cf that takes a message.

    name unix - n n - - pipe flags=F user=list:list argv=/usr/bin/list -r ${recipient}

The agent sends all recipients of a request in one errand, known by the service's name; the
hands take command, user and flags from their own reading of master.cf.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.address.local_part import quote_address, split_extension, unquote_address
from posthouse.config.error import ConfigError
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.host.users import Identity, group_id, user_identity
from posthouse.mda.copy import delivery_fields, from_line, unix_lines
from posthouse.mda.deposit import pieces, quoted_lines, whole_lines
from posthouse.transport.command import command_report, export_environment, run_command
from posthouse.transport.errands import errand_of, outcomes
from posthouse.transport.hands import Errand, Hands, Report, bounced

FLAGS = "BDFORXhqu.>"


@dataclass(frozen=True, slots=True)
class PipeSettings:
    """What pipe(8) reads of main.cf."""

    export_environment: tuple[str, ...]
    import_environment: tuple[str, ...]
    recipient_delimiter: str
    queue_directory: str
    mail_owner: str
    default_privs: str


@dataclass(frozen=True, slots=True)
class PipeCommand:
    """The arguments of one pipe service."""

    argv: tuple[str, ...]
    user: str
    flags: str = ""
    folder: str = ""
    eol: str = "\n"
    null_sender: str = "MAILER-DAEMON"
    size: int = 0
    time_limit: int = 1000


def parse_pipe(arguments: Sequence[str], line: int, time_limit: int) -> PipeCommand:
    """The words after `pipe` in master.cf. Raises ConfigError."""
    values: dict[str, str] = {}
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if not equals or name not in {
            "flags",
            "user",
            "directory",
            "eol",
            "null_sender",
            "size",
            "argv",
            "chroot",
            "notify",
        }:
            raise ConfigError(f"unknown attribute name: {word}")
        if name in {"chroot", "notify"}:
            raise ConfigError(f"master.cf, line {line}: pipe: {name}= is missing so far in Posthouse")
        if name == "argv":
            argv = (value, *arguments[position + 1 :])
            break
        values[name] = value
    else:
        raise ConfigError("missing argv= command-line attribute")
    if "user" not in values:
        raise ConfigError("missing user= command-line attribute")
    unknown = [flag for flag in values.get("flags", "") if flag not in FLAGS]
    if unknown:
        raise ConfigError(f"unknown flag: {unknown[0]} (ignored)")
    size = values.get("size", "0")
    if not size.isdecimal():
        raise ConfigError(f"get_service_attr: bad size= value: {size}")
    eol = values.get("eol", "\n").encode().decode("unicode_escape") if "eol" in values else "\n"
    return PipeCommand(
        argv,
        values["user"],
        values.get("flags", ""),
        values.get("directory", ""),
        eol,
        values.get("null_sender", "MAILER-DAEMON"),
        int(size),
        time_limit,
    )


def pipe_identity(command: PipeCommand) -> Identity:
    """user=name or user=name:group. Raises ConfigError for unknown names, root and the mail system's own user."""
    name, _, group = command.user.partition(":")
    try:
        identity = user_identity(name)
    except KeyError:
        raise ConfigError(f"get_service_attr: unknown username: {name}") from None
    if group:
        try:
            identity = Identity(identity.uid, group_id(group))
        except KeyError:
            raise ConfigError(f"get_service_attr: unknown group: {group}") from None
    else:
        identity = Identity(identity.uid, identity.gid)
    if identity.uid == 0 or identity.gid == 0:
        raise ConfigError("user= command-line attribute specifies root privileges")
    return identity


class PipeAgent:
    """Sends the recipients of a request to the hands, all in one errand."""

    def __init__(self, service: str, hands: Hands, command: str = "") -> None:
        """`command` is what a probe is told."""
        self._service = service
        self._hands = hands
        self._command = command

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        if request.trace_only:
            dsn = Dsn("2.0.0", f"delivers to command: {self._command}")
            return [Outcome(queued.index, Fate.DELIVERED, dsn, self._service) for queued in request.recipients]
        names = tuple(queued.recipient.address for queued in request.recipients)
        originals = tuple(queued.recipient.original for queued in request.recipients)
        errand = errand_of(request, "pipe", self._service, names, request.recipients[0], originals=originals)
        report = await self._hands.run(errand, request.content)
        indexes = tuple(queued.index for queued in request.recipients)
        if len(report.results) == 1 < len(indexes):  # The hands could not begin: one result for all.
            only = report.results[0]
            return [Outcome(index, only.fate, only.dsn, self._service) for index in indexes]
        return outcomes(report, indexes, self._service)


_MACRO = re.compile(r"\$\$|\$(?:\{([^}]*)\}|\(([^)]*)\)|(\w+)|([{(])?)")


class BadMacro(Exception):
    """An argument that cannot be expanded: why, for the log."""


PER_RECIPIENT = frozenset({"recipient", "original_recipient", "user", "extension", "mailbox", "domain"})


class PipeHands:
    """The other side: the command line and the run."""

    def __init__(
        self, settings: PipeSettings, clock: Callable[[], float], complain: Callable[[str, str], None], file: str
    ) -> None:
        """`complain` gets a level and a text for the log; `file` is master.cf's path."""
        self._settings = settings
        self._clock = clock
        self._complain = complain
        self._file = file

    def deliver(self, command: PipeCommand, errand: Errand, content: int) -> Report:
        """Run the command; runs with the service's identity, in a thread."""
        flags = command.flags
        if command.size and errand.size > command.size:
            return command_report(Fate.BOUNCED, Dsn("5.2.3", "message too large"), "", len(errand.names))
        if "D" in flags and len(errand.names) > 1:
            return bounced("5.3.5", f"flags=D requires {errand.service}_destination_recipient_limit = 1")
        try:
            words = self.words(command, errand)
        except BadMacro as bad:
            self._complain("warning", str(bad))
            dsn = Dsn("4.3.5", "mail system configuration error")
            return command_report(Fate.DEFERRED, dsn, "", len(errand.names))
        message = os.memfd_create("message", os.MFD_CLOEXEC)
        try:
            for chunk in self._message(command, errand, content):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(message, view) :]
            os.lseek(message, 0, os.SEEK_SET)
            fate, dsn = run_command(
                words,
                agent="pipe",
                shown=words[0],
                environment=export_environment(self._settings.export_environment, self._settings.import_environment),
                folder=command.folder or self._settings.queue_directory,
                content=message,
                time_limit=command.time_limit,
                complain=self._complain,
            )
        finally:
            os.close(message)
        output = f" ({dsn.reason.rstrip()})" if fate is Fate.DELIVERED and dsn.reason else ""
        # X: the command delivers for good; without it a success notice says "relayed" (RFC 3464 section 2.3.3).
        action = "" if "X" in flags else "relayed"
        sent = f"delivered via {errand.service} service{output}"
        return command_report(fate, dsn, sent, len(errand.names), action=action)

    def _message(self, command: PipeCommand, errand: Errand, content: int) -> Iterator[bytes]:
        flags = command.flags
        fields = delivery_fields(
            errand.sender if "R" in flags else None,
            errand.original_recipient if "O" in flags else "",
            errand.recipient if "D" in flags else "",
        ).replace(b"\r\n", b"\n")

        def lines() -> Iterator[bytes]:
            if "F" in flags:
                yield from_line(errand.sender or command.null_sender, self._clock())
            yield fields
            body = whole_lines(unix_lines(pieces(content)))
            if ">" in flags:
                body = quoted_lines(body)
            if "." in flags:
                body = quoted_lines(body, b".", b".")
            yield from body
            if "B" in flags:
                yield b"\n"

        eol = command.eol.encode("utf-8", "surrogateescape")
        for chunk in lines():
            yield chunk if eol == b"\n" else chunk.replace(b"\n", eol)

    def words(self, command: PipeCommand, errand: Errand) -> list[str]:
        """The argument vector: a word with a per-recipient macro stands once for each recipient. Raises BadMacro."""
        flags = command.flags
        people = [self._person(address, original, flags) for address, original in self._pairs(errand)]
        sender = errand.sender or command.null_sender
        shared = {
            "sender": quote_address(sender) if "q" in flags and errand.sender else sender,
            "size": str(errand.size),
            "queue_id": errand.queue_id,
            "nexthop": errand.nexthop.lower() if "h" in flags else errand.nexthop,
            "client_address": errand.client_address,
            "client_helo": errand.client_helo,
            "client_hostname": errand.client_name,
            "client_port": errand.client_port,
            "client_protocol": errand.client_protocol,
            "sasl_method": errand.sasl_method,
            "sasl_sender": errand.sasl_sender,
            "sasl_username": errand.sasl_username,
        }
        words: list[str] = []
        for word in command.argv:
            used = {match[1] or match[2] or match[3] for match in _MACRO.finditer(word)}
            for values in people if used & PER_RECIPIENT else people[:1]:
                words.append(self._expand(word, {**shared, **values}, errand.service))
        return words

    def _expand(self, word: str, values: Mapping[str, str], service: str) -> str:
        def value(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            if match[4]:
                raise BadMacro(f'truncated macro reference: "{word}"')
            name = match[1] or match[2] or match[3]
            if not name:
                raise BadMacro(f'empty macro name: "{word}"')
            if name not in values:
                raise BadMacro(f'file {self._file}: service {service}: unknown macro name: "{name}"')
            return values[name]

        return _MACRO.sub(value, word)

    def _pairs(self, errand: Errand) -> list[tuple[str, str]]:
        originals = errand.originals or ("",) * len(errand.names)
        return list(zip(errand.names, originals, strict=True))

    def _person(self, address: str, original: str, flags: str) -> dict[str, str]:
        local_part, domain = split_address(address)
        if "h" in flags:
            domain = domain.lower()
        local_part = unquote_address(local_part)
        if "u" in flags:
            local_part = local_part.lower()
        base, extension = split_extension(local_part, self._settings.recipient_delimiter)
        whole = f"{local_part}@{domain}" if domain else local_part
        return {
            "recipient": quote_address(whole) if "q" in flags else whole,
            "original_recipient": quote_address(original) if "q" in flags else original,
            "user": base,
            "extension": extension,
            "mailbox": local_part,
            "domain": domain,
        }
