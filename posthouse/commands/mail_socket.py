"""The mailbox that mail(1) reads over the local socket: what MailBox is for files, for mail that lies in the store.

The service knows the caller by its uid, so there is no password. Sessions time out while a person
thinks: what is asked after that is asked of a new one, if the mailbox is still the same.

Standards: RFC 3501 (IMAP4rev1), as far as it is needed; RFC 4315 (UID EXPUNGE).
"""

import socket
from collections.abc import Iterable, Sequence

from posthouse.mailbox.store import MailboxFault, MessageSummary
from posthouse.message.structure_envelope import MessageEnvelope, envelope_of
from posthouse.wire.imap.client import Response, ResponseReader, Value, command, pairs
from posthouse.wire.imap.dates import parse_date_time
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.sequence import format_set

PATIENCE = 120.0
"""Seconds to wait for an answer: a spool of some gigabytes may be taken over first."""

PIECE = 4 << 20
"""Octets of a message that are asked for at once."""

UIDS = 1000
"""Messages of one command: their set fits a line whatever the numbers are."""


class _Lost(Exception):
    """The session ended. The text says why."""


class _Line:
    """One session."""

    def __init__(self, path: str) -> None:
        """Raises OSError, and MailboxFault when the service does not want us."""
        self._reader = ResponseReader()
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(path)
            greeting = self._next()
        except _Lost as lost:
            self.close()
            raise MailboxFault(str(lost)) from lost
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self.close()
            raise MailboxFault("the mail system is not running") from error
        except BaseException:
            self.close()
            raise
        if greeting.status != "PREAUTH":
            self.close()
            raise MailboxFault(greeting.text or "no greeting")

    def _next(self) -> Response:
        try:
            while (response := self._reader.next_response()) is None:
                data = self._socket.recv(65536)
                if not data:
                    raise _Lost("lost connection with the mail system")
                self._reader.receive(data)
        except ImapSyntaxError as error:
            raise MailboxFault(f"strange answer of the mail system: {error}") from error
        except OSError as error:
            raise _Lost(f"lost connection with the mail system: {error}") from error
        if response.status == "BYE":
            raise _Lost(response.text)
        return response

    def do(self, verb: str, *arguments: bytes) -> list[Response]:
        """One command; what was said before its answer. Raises MailboxFault when that is not OK, _Lost."""
        self._number += 1
        tag = f"m{self._number}"
        try:
            self._socket.sendall(command(tag, verb, *arguments))
        except OSError as error:
            raise _Lost(f"lost connection with the mail system: {error}") from error
        said = []
        while (response := self._next()).tag != tag:
            said.append(response)
        if response.status != "OK":
            raise MailboxFault(response.text)
        return said

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class SocketBox:
    """One open mailbox and what was in it then. `rows` are in order of arrival."""

    def __init__(self, path: str) -> None:
        self.path = "INBOX"
        self._socket_path = path
        self._line: _Line | None = None
        self._uid_validity = ""
        self._envelopes: dict[int, MessageEnvelope] = {}
        self.rows: list[MessageSummary] = []
        self.first_recent = 0
        """uids from here on are new since a mail program last looked."""

    def open(self) -> None:
        """Look into it. Raises MailboxFault, OSError."""
        try:
            self._begin("EXAMINE")
            recent: list[int] = []
            for found in self._fetch(b"1:*", b"(UID FLAGS INTERNALDATE RFC822.SIZE)"):
                row, is_recent = _row(found)
                self.rows.append(row)
                if is_recent:
                    recent.append(row.uid)
        except _Lost as lost:
            raise MailboxFault(str(lost)) from lost
        self.rows.sort(key=lambda row: row.uid)
        self.first_recent = min(recent) if recent else (self.rows[-1].uid + 1 if self.rows else 1)

    def _begin(self, verb: str) -> None:
        """A session of its own with INBOX selected: EXAMINE changes nothing."""
        if self._line is not None:
            self._line.close()
        self._line = _Line(self._socket_path)
        validity = ""
        for response in self._line.do(verb, b"INBOX"):
            name, _, value = response.code.partition(" ")
            if name == "UIDVALIDITY":
                validity = value
        if self._uid_validity not in ("", validity):
            raise MailboxFault("the mailbox was made anew meanwhile")
        self._uid_validity = validity

    def _do(self, verb: str, *arguments: bytes, selected: str = "EXAMINE") -> list[Response]:
        """A command that may be said twice, as all with uids may: in a new session when the old one is over."""
        assert self._line is not None
        try:
            return self._line.do(verb, *arguments)
        except _Lost:
            try:
                self._begin(selected)
                return self._line.do(verb, *arguments)
            except _Lost as lost:
                raise MailboxFault(str(lost)) from lost

    def _fetch(self, uids: bytes, items: bytes) -> list[dict[bytes, Value]]:
        found = []
        for response in self._do("UID FETCH", uids, items):
            if len(response.data) == 3 and response.data[1] == b"FETCH":
                values = pairs(response.data[2])
                if b"UID" in values:
                    found.append(values)
        return found

    def _octets(self, index: int, item: bytes) -> bytes:
        for values in self._fetch(b"%d" % self.rows[index].uid, b"(UID " + item + b")"):
            for name, value in values.items():
                if name.startswith(b"BODY[") and isinstance(value, bytes):
                    return value
        return b""

    def envelope(self, index: int) -> MessageEnvelope:
        """The fields of a message that the list and an answer need. Raises MailboxFault."""
        found = self._envelopes.get(index)
        if found is None:
            found = self._envelopes[index] = envelope_of(self._octets(index, b"BODY.PEEK[HEADER]"))
        return found

    def content(self, index: int) -> bytes:
        """All of a message, lines ending in CRLF; b"" when another program removed it. Raises MailboxFault."""
        content = bytearray()
        while True:
            piece = self._octets(index, b"BODY.PEEK[]<%d.%d>" % (len(content), PIECE))
            content += piece
            if len(piece) < PIECE:
                return bytes(content)

    def finish(self, seen: Iterable[int], deleted: Iterable[int]) -> None:
        """Mark and remove, by index; what is there is no longer new. Raises MailboxFault, OSError."""
        try:
            self._begin("SELECT")
        except _Lost as lost:
            raise MailboxFault(str(lost)) from lost
        for uids in self._sets(seen):
            self._do("UID STORE", uids, b"+FLAGS.SILENT", b"(\\Seen)", selected="SELECT")
        for uids in self._sets(deleted):
            self._do("UID STORE", uids, b"+FLAGS.SILENT", b"(\\Deleted)", selected="SELECT")
            self._do("UID EXPUNGE", uids, selected="SELECT")

    def _sets(self, indexes: Iterable[int]) -> list[bytes]:
        uids = [self.rows[index].uid for index in sorted(indexes)]
        return [format_set(uids[first : first + UIDS]) for first in range(0, len(uids), UIDS)]

    def close(self) -> None:
        """Let go of everything."""
        if self._line is None:
            return
        try:
            self._line.do("LOGOUT")
        except (_Lost, MailboxFault):
            pass  # BYE, as it should be
        finally:
            self._line.close()


def _row(values: dict[bytes, Value]) -> tuple[MessageSummary, bool]:
    """A row, and whether it is new since a mail program last looked."""
    uid, size, date, flags = (values.get(name) for name in (b"UID", b"RFC822.SIZE", b"INTERNALDATE", b"FLAGS"))
    if not (isinstance(uid, bytes) and isinstance(size, bytes) and isinstance(date, bytes) and isinstance(flags, list)):
        raise MailboxFault("strange answer of the mail system: a FETCH without its data")
    try:
        words: Sequence[str] = [flag.decode("ascii") for flag in flags if isinstance(flag, bytes)]
        when = parse_date_time(date)
        row = MessageSummary(int(uid), 0, frozenset(words) - {"\\Recent"}, when, when, int(size), 0)
    except (ImapSyntaxError, ValueError) as error:
        raise MailboxFault(f"strange answer of the mail system: {error}") from error
    return row, "\\Recent" in words
