"""sendmail's hand-over: the message goes to the running house, or into the maildrop when nobody listens.

What sendmail prints goes to standard error under its name; what it says before it gives up is Fatal's text.

Standards: RFC 3461 sections 4.1 to 4.4 for -N, -R and -V; RFC 5322 section 3.6.6 for -t.
"""

import os
import pwd
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from posthouse.address.address_list import addresses, addresses_as_given
from posthouse.commands.complaint import log_line, visible
from posthouse.commands.sendmail_options import SendmailOptions
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Notify, Recipient, Trace
from posthouse.host.submission import ABSENT, HandOverFailed, submit
from posthouse.message.header import scan_fields
from posthouse.message.header_recipients import header_recipients
from posthouse.message.incoming_lines import IncomingLines
from posthouse.wire.intake import UNCHECKED, NotTaken, Submission, Taken

PIECE = 65536
"""Bytes read from standard input at a time."""
KEPT_IN_MEMORY = 1 << 20
"""Bytes of a message that are kept in memory while it is handed over; the rest in a file without a name."""

# RFC 3461 section 4: xtext = *( xchar / hexchar ); xchar is "!" to "~" without "+" and "=".
_NO_XCHAR = re.compile(rb"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True)
class SendmailSettings:
    """What the command reads."""

    queue_directory: str
    mail_owner: str
    message_size_limit: int
    authorized_submit_users: tuple[str, ...]
    default_verp_delimiters: str


class Fatal(Exception):
    """The text after "sendmail: fatal: "."""


def _say(text: str, program: str = "sendmail") -> None:
    sys.stderr.buffer.write(f"{program}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def speak_smtp(options: SendmailOptions, configuration: Configuration) -> int:
    """-bs: SMTP on standard input."""
    from posthouse.commands.sendmail_smtp import SmtpInput, SmtpInputSettings

    settings = read_settings(SendmailSettings, configuration)
    login, gecos = _login()
    _check_user(settings, configuration, login, os.getuid())

    def hand_over(submission: Submission, content: Iterator[bytes]) -> Taken | NotTaken:
        return _submit_or_drop(settings, submission, lambda: content)

    full_name = _full_name(options, login, gecos)
    return SmtpInput(read_settings(SmtpInputSettings, configuration), full_name, hand_over).run()


def hand_over(
    settings: SendmailSettings, configuration: Configuration, submission: Submission, content: bytes
) -> Taken | NotTaken:
    """For postdrop: the caller's right is checked, then the message goes where sendmail's would. Raises OSError."""
    try:
        _check_user(settings, configuration, _login()[0], os.getuid())
    except Fatal as error:
        return NotTaken(550, "5.7.1", str(error))
    return _submit_or_drop(settings, submission, lambda: iter((content,)))


def _login() -> tuple[str, str]:
    """Login name and GECOS field of the caller."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return "unknown", ""
    return user.pw_name, user.pw_gecos


def deliver(options: SendmailOptions, configuration: Configuration) -> int:
    """Read the message from standard input and hand it over; returns the exit status. Raises Fatal."""
    settings = read_settings(SendmailSettings, configuration)
    uid = os.getuid()
    login, gecos = _login()
    _check_user(settings, configuration, login, uid)
    sender = login if options.sender is None else _sender(options.sender, configuration)
    if options.sender is None and login == "unknown":
        raise Fatal(f"unable to find out your login name for user ID {uid}")
    given = [one for word in options.recipients for one in (addresses_as_given(word) or [("", "")])]
    if not given and not options.extract:
        text = "Recipient addresses must be specified on the command line or via the -t option"
        raise Fatal(f"{sender}({uid}): {text}")
    reading = _Reading(settings.message_size_limit, dot_ends=options.dot_ends)
    if options.extract:
        given += header_recipients(reading.header())
        if not given:
            raise Fatal(f"{sender}({uid}): No recipient addresses found in message header")
    content = reading.content
    notify = Notify(options.notify)
    trace = Trace.NONE
    if options.verify:
        trace = Trace.VERIFY
        content = partial(_probe, sender, [original or address for address, original in _distinct(given)])
    elif options.verbose == 1:
        trace = Trace.RECORD
    submission = Submission(
        sender=sender,
        recipients=tuple(Recipient(address, original, notify) for address, original in _distinct(given)),
        full_name=_full_name(options, login, gecos),
        local_rewrite=not options.gateway,
        body=options.body,
        ret=options.ret,
        envid=_xtext(options.envid),
        verp=_verp(options, settings),
        trace=trace,
    )
    try:
        _hand_over(settings, submission, content)
    except _TooBig:
        _say(f"warning: uid={uid}: File too large", "postdrop")
        _say("warning: mail_stream_cleanup: close error")
        raise Fatal(f"{sender}({uid}): message file too big") from None
    except HandOverFailed as error:
        raise Fatal(f"{sender}({uid}): mail system: {error}") from error
    except OSError as error:
        raise Fatal(f"{sender}({uid}): queue file write error: {error.strerror or error}") from error
    if trace is not Trace.NONE:
        line = f"Mail Delivery Status Report will be mailed to <{sender}>.\n"
        sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
    return 0


def _probe(sender: str, recipients: list[str]) -> Iterator[bytes]:
    """What -bv hands over instead of a message: nobody gets it, the report quotes it."""
    text = f"From: {sender}\r\nSubject: probe\r\nTo:\t" + ",\r\n\t".join(recipients) + "\r\n\r\n"
    yield text.encode("utf-8", "surrogateescape")


def _hand_over(settings: SendmailSettings, submission: Submission, content: Callable[[], Iterator[bytes]]) -> None:
    result = _submit_or_drop(settings, submission, content)
    if isinstance(result, NotTaken):
        text = f"{submission.sender}({os.getuid()}): {result.text.removeprefix('Error: ')}"
        raise Fatal(result.text if "not allowed to submit" in result.text else text)


def _submit_or_drop(
    settings: SendmailSettings, submission: Submission, content: Callable[[], Iterator[bytes]]
) -> Taken | NotTaken:
    """To whoever listens; to the maildrop when nobody does, or when the message is not wanted for now: pickup tries
    again then, as in Postfix. Without a listener nothing of the content is read before it is dropped."""
    kept = KeptContent(content())
    result = submit(settings.queue_directory, submission, kept)
    if result is not ABSENT:
        later = isinstance(result, NotTaken) and result.code < 500 and result.code != UNCHECKED
        return Taken(drop(settings, submission, kept.again())) if later else result
    queue_id = drop(settings, submission, kept.again())
    if not os.path.exists(os.path.join(settings.queue_directory, "pid", "master.pid")):
        # A system that was stopped leaves its sockets behind, and nothing is said.
        _say("warning: unable to look up public/pickup: No such file or directory", "postdrop")
    return Taken(queue_id)


def drop(settings: SendmailSettings, submission: Submission, content: Iterator[bytes]) -> str:
    """Into the maildrop. Raises OSError."""
    from posthouse.host import maildrop  # not needed as long as somebody listens

    folder = maildrop.maildrop_folder(settings.queue_directory)
    if not os.path.isdir(folder) and os.geteuid() == 0:
        owner = pwd.getpwnam(settings.mail_owner)  # nothing was ever started here: root may make the folder
        maildrop.make_maildrop(settings.queue_directory, owner.pw_uid, owner.pw_gid)
    return maildrop.drop(settings.queue_directory, submission, content)


class KeptContent:
    """Content that can be had again from its beginning, read or not."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self._chunks: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """What was not read yet; kept."""
        for chunk in self._content:
            self._keep(chunk)
            yield chunk

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= KEPT_IN_MEMORY:
            self._chunks.append(chunk)
            return
        if self._file is None:
            import tempfile  # for large messages only

            self._file = tempfile.TemporaryFile()
        self._file.write(chunk)

    def again(self) -> Iterator[bytes]:
        """Everything."""
        yield from self._chunks
        if self._file is not None:
            self._file.seek(0)
            while data := self._file.read(PIECE):
                yield data
            self._file.close()
        yield from self._content


class _TooBig(Exception):
    """The message exceeds message_size_limit."""


class _Reading:
    """Standard input: the header first when it is asked for, then everything, once."""

    def __init__(self, limit: int, *, dot_ends: bool) -> None:
        self._limit = limit
        self._lines = IncomingLines(dot_ends=dot_ends)
        self._ahead: list[bytes] = []
        self._size = 0
        self._ended = False

    def header(self) -> bytes:
        """The header, or what there is of it."""
        whole = b""
        while b"\r\n\r\n" not in whole and not whole.startswith(b"\r\n") and not self._ended:
            chunk = self._read()
            self._ahead.append(chunk)
            whole += chunk
            if len(whole) > PIECE and scan_fields(whole)[1] < whole.rfind(b"\r\n", 0, -2):
                break  # a line that is no field: the header is over
        return whole[: scan_fields(whole)[1]]

    def content(self) -> Iterator[bytes]:
        """Everything. Raises _TooBig."""
        while self._ahead:
            yield self._ahead.pop(0)
        while not self._ended:
            chunk = self._read()
            if chunk:
                yield chunk

    def _read(self) -> bytes:
        data = b"" if self._lines.ended else os.read(0, PIECE)
        chunk = self._lines.feed(data) if data else self._lines.finish()
        self._ended = not data
        self._size += len(chunk)
        if self._limit and self._size > self._limit:
            raise _TooBig
        return chunk


def _check_user(settings: SendmailSettings, configuration: Configuration, login: str, uid: int) -> None:
    if settings.authorized_submit_users == ("static:anyone",):
        return
    from posthouse.intake.submit_users import SubmitUsers
    from posthouse.tables.table import TableRetry, drive

    users = SubmitUsers(settings.authorized_submit_users, configuration)
    try:
        allowed = drive(users.allows(login))
    except TableRetry as error:
        raise Fatal(f"authorized_submit_users: {error}") from error
    if not allowed:
        raise Fatal(f"User {login}({uid}) is not allowed to submit mail")


def _sender(text: str, configuration: Configuration) -> str:
    found = addresses(text)
    if len(found) > 1:
        complaint = f"-f option specified malformed sender: {text}"
        _say(f"warning: {visible(complaint)}")
        log_line(configuration, "sendmail", "warning", complaint)
    return found[0] if found else ""


def _full_name(options: SendmailOptions, login: str, gecos: str) -> str:
    if options.full_name is not None:
        return " ".join(options.full_name.split())  # one line, whatever was given
    name = os.environ.get("NAME", "")
    if name:
        return name
    return gecos.partition(",")[0].replace("&", login[:1].upper() + login[1:])


def _xtext(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return _NO_XCHAR.sub(lambda found: b"+%02X" % found.group()[0], data).decode("ascii")


def _verp(options: SendmailOptions, settings: SendmailSettings) -> str:
    return "" if options.verp is None else options.verp or settings.default_verp_delimiters


def _distinct(given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for address, original in given:
        seen.setdefault((address.lower(), original.lower()), (address, original))
    return list(seen.values())
