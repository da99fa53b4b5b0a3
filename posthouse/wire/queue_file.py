"""A file of Postfix's queue, read whole: envelope, recipients with what became of them, content.

A file is records: a type byte, a length in groups of seven bits (low first, the high bit says
that more follow), the data. Three parts follow each other: the envelope (C or T first), the
content between M and X, what was found in the content (to E). Files of the maildrop have the
same form without C; postdrop writes them.

What edits leave behind is obeyed: p says where to read on (cleanup appends what it changes and
links it in), w is padding, "/" a recipient that was taken away, D one that is done. A pointer
is followed once: a second time means that it leads in a circle. Reading takes time in
proportion to the file, and memory for one record.

The bytes may be anything that can be sliced, so that a large file need not be in memory.
Standard: none; the layout was observed with postcat -v of Postfix 3.7.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Protocol

from posthouse.envelope.envelope import LOCAL_CLIENT, Client, Notify, Recipient, Trace
from posthouse.wire.intake import Submission
from posthouse.wire.xtext import encode_orcpt, encode_xtext

LENGTH_GROUPS = 5
"""Groups of seven bits in a length: more is no length."""

RECORD_LIMIT = 1 << 24
"""Bytes in one record. Content lines are cut at line_length_limit (2048); nothing else is near as long."""

RECIPIENT_LIMIT = 1_000_000
"""Recipients in one file: bounds what a damaged one can take up."""

PIECE = 65536
"""Content is given in pieces of about this many bytes."""


class TraceFlags(IntFlag):
    """trace_flags: what kind of delivery was asked for."""

    PROBE = 1 << 8
    """An address verification probe of Postfix's own: nobody waits for it after a stop."""
    VERIFY = 1 << 9
    RECORD = 1 << 10


class Buffer(Protocol):
    """bytes, or an mmap."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> bytes: ...


class DamagedQueueFile(Exception):
    """The bytes are no queue file, or one that was cut or damaged; the text says where."""


@dataclass(frozen=True, slots=True)
class FileRecipient:
    """One recipient."""

    recipient: Recipient
    done: bool
    """Delivered, bounced, or expanded away: it gets nothing any more."""
    offset: int
    """Where its record begins: by this the defer and bounce logs name it."""


@dataclass(frozen=True, slots=True)
class QueueFile:
    """What a file says, but for the content (content_pieces)."""

    content_offset: int
    """Where the records of the content begin."""
    queued: bool
    """Whether cleanup made it: a file of the maildrop that nobody but postdrop wrote is not yet cleaned up."""
    arrival_time: float
    sender: str
    recipients: tuple[FileRecipient, ...]
    full_name: str = ""
    client: Client = LOCAL_CLIENT
    local_rewrite: bool = True
    body: str = ""
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    verp: str = ""
    trace: Trace = Trace.NONE
    probe: bool = False
    content_filter: str = ""
    redirect: str = ""
    delay_warned: bool = False


@dataclass(slots=True)
class _Reader:
    """The records in the order in which Postfix reads them."""

    data: Buffer
    at: int = 0
    visited: set[int] = field(default_factory=set)

    def next(self) -> tuple[str, int, int, int]:
        """(type, offset, start of the data, its end). Padding and pointers are passed over. Raises DamagedQueueFile."""
        while True:
            offset = self.at
            head = self.data[offset : offset + 1 + LENGTH_GROUPS]
            if len(head) < 2:
                raise DamagedQueueFile(f"ends at offset {offset}")
            length, groups = head[1] & 0x7F, 1
            while head[groups] & 0x80:
                groups += 1
                if groups >= len(head):
                    raise DamagedQueueFile(f"bad record length at offset {offset}")
                length |= (head[groups] & 0x7F) << (7 * (groups - 1))
            start = offset + 1 + groups
            end = start + length
            if length > RECORD_LIMIT or end > len(self.data):
                raise DamagedQueueFile(f"record cut short at offset {offset}")
            self.at = end
            kind = chr(head[0])
            if kind == "p":
                self._follow(offset, self.data[start:end])
            elif kind != "w":
                return kind, offset, start, end

    def _follow(self, offset: int, text: bytes) -> None:
        digits = text.strip()
        if not digits.isdigit() or len(digits) > 19:
            raise DamagedQueueFile(f"bad pointer at offset {offset}")
        target = int(digits)
        if not target:
            return  # a place kept free for one
        if target >= len(self.data):
            raise DamagedQueueFile(f"pointer out of the file at offset {offset}")
        if offset in self.visited:
            raise DamagedQueueFile(f"pointers in a circle at offset {offset}")
        self.visited.add(offset)
        self.at = target

    def text(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8", "surrogateescape")


CONTENT_TYPES = frozenset("NL")


@dataclass(slots=True)
class _Envelope:
    """The records of the envelope and of what was found in the content, gathered."""

    queued: bool = False
    arrival_time: float = 0.0
    sender: str | None = None
    recipients: list[FileRecipient] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    full_name: str = ""
    verp: str = ""
    content_filter: str = ""
    redirect: str = ""
    smtputf8: bool = False
    delay_warned: bool = False
    original: str = ""
    orcpt: str = ""
    notify: Notify = Notify.NONE

    def take(self, kind: str, text: str, offset: int) -> None:
        """One record. Types that say nothing about delivery are passed over, as Postfix does."""
        match kind:
            case "R" | "D" | "/":
                self._recipient(kind, text, offset)
            case "O":
                self.original = text
            case "A":
                self._attribute(text)
            case "S":
                if self.sender is None:
                    self.sender = text
            case "T":
                self.arrival_time = _time(text, offset)
            case "C":
                self.queued = True
                numbers = text.split()
                self.smtputf8 = len(numbers) > 5 and numbers[5].isdigit() and numbers[5] != "0"
            case "F":
                self.full_name = text
            case "V":
                self.verp = text
            case "L":
                self.content_filter = text
            case ">":
                self.redirect = text
            case "W":
                # Postfix writes the time when the sender is to be warned, and -1 over it when that was done.
                self.delay_warned = text.strip().startswith(("-", "0"))

    def _attribute(self, text: str) -> None:
        name, _, value = text.partition("=")
        if name == "dsn_orig_rcpt":
            self.orcpt = encode_orcpt(value)
        elif name == "notify_flags":
            self.notify = Notify(int(value) & 15 if value.isascii() and value.isdigit() and len(value) < 10 else 0)
        else:
            self.attributes[name] = value

    def _recipient(self, kind: str, text: str, offset: int) -> None:
        if kind != "/":
            if len(self.recipients) >= RECIPIENT_LIMIT:
                raise DamagedQueueFile(f"more than {RECIPIENT_LIMIT} recipients")
            notify = Notify.NEVER if Notify.NEVER in self.notify else self.notify
            recipient = Recipient(text, self.original, notify, self.orcpt)
            self.recipients.append(FileRecipient(recipient, kind == "D", offset))
        self.original, self.orcpt, self.notify = "", "", Notify.NONE

    def client(self) -> Client:
        """What XFORWARD told counts before what the connection showed, as in Postfix's delivery requests."""
        given = self.attributes
        if "log_protocol_name" not in given and "protocol_name" not in given:
            return LOCAL_CLIENT
        logged = "log_client_name" in given
        prefix = "log_" if logged else ""
        return Client(
            name=given.get(f"{prefix}client_name", "unknown"),
            address=given.get(f"{prefix}client_address", "unknown"),
            port=given.get(f"{prefix}client_port", ""),
            reverse_name=given.get("reverse_client_name", "unknown"),
            helo=given.get(f"{prefix}helo_name", ""),
            protocol=given.get(f"{prefix}protocol_name", given.get("protocol_name", "")),
            sasl_method=given.get("sasl_method", ""),
            sasl_username=given.get("sasl_username", ""),
            sasl_sender=given.get("sasl_sender", ""),
        )

    def file(self, content_offset: int) -> QueueFile:
        """The whole. Raises DamagedQueueFile."""
        if self.sender is None:
            raise DamagedQueueFile("no sender")
        given = self.attributes
        flags = given.get("trace_flags", "")
        traces = TraceFlags(int(flags) & 0x700 if flags.isascii() and flags.isdigit() and len(flags) < 10 else 0)
        trace = Trace.NONE
        if TraceFlags.VERIFY in traces:
            trace = Trace.VERIFY
        elif TraceFlags.RECORD in traces:
            trace = Trace.RECORD
        return QueueFile(
            content_offset=content_offset,
            queued=self.queued,
            arrival_time=self.arrival_time,
            sender=self.sender,
            recipients=tuple(self.recipients),
            full_name=self.full_name,
            client=self.client(),
            local_rewrite=given.get("rewrite_context") != "remote",
            body={"7bit": "7BIT", "8bit": "8BITMIME"}.get(given.get("encoding", ""), ""),
            ret={"1": "FULL", "2": "HDRS"}.get(given.get("ret_flags", ""), ""),
            envid=encode_xtext(given.get("envelope_id", "")),
            smtputf8=self.smtputf8,
            verp=self.verp,
            trace=trace,
            probe=TraceFlags.PROBE in traces,
            content_filter=self.content_filter,
            redirect=self.redirect,
            delay_warned=self.delay_warned,
        )


def _time(text: str, offset: int) -> float:
    words = text.split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 13 for word in words[:2]):
        raise DamagedQueueFile(f"bad time at offset {offset}")
    return (int(words[0]) * 1_000_000 + (int(words[1]) if len(words) > 1 else 0)) / 1_000_000


def parse_queue_file(data: Buffer) -> QueueFile:
    """Read a file to its end. Raises DamagedQueueFile."""
    reader = _Reader(data)
    envelope = _Envelope()
    if data[0:1] not in (b"C", b"T"):
        raise DamagedQueueFile("no queue file")
    content_offset = 0
    place = "envelope"
    while True:
        kind, offset, start, end = reader.next()
        if place == "content":
            if kind == "X":
                place = "extracted"
            elif kind not in CONTENT_TYPES:
                raise DamagedQueueFile(f"record of type {kind!r} in the content at offset {offset}")
        elif kind == "M" and place == "envelope":
            place, content_offset = "content", reader.at
        elif kind == "E" and place == "extracted":
            return envelope.file(content_offset)
        elif kind in "MXEN":
            raise DamagedQueueFile(f"record of type {kind!r} out of place at offset {offset}")
        else:
            envelope.take(kind, reader.text(start, end), offset)


def submission_of(file: QueueFile) -> Submission:
    """A file of the maildrop as the submission that it is.

    One that postsuper -r put there has been through cleanup before: its recipients that are done get nothing again.
    """
    return Submission(
        sender=file.sender,
        recipients=tuple(one.recipient for one in file.recipients if not one.done),
        full_name=file.full_name,
        local_rewrite=file.local_rewrite,
        body=file.body,
        ret=file.ret,
        envid=file.envid,
        verp=file.verp,
        smtputf8=file.smtputf8,
        trace=file.trace,
    )


def content_pieces(data: Buffer, file: QueueFile) -> Iterator[bytes]:
    """The content, lines ended by CRLF, in pieces. `file` is what parse_queue_file() said of the same bytes."""
    reader = _Reader(data, file.content_offset)
    gathered: list[bytes] = []
    size = 0
    while True:
        kind, _, start, end = reader.next()
        if kind not in CONTENT_TYPES:
            break
        line = data[start:end]
        gathered.append(line)
        size += len(line)
        if kind == "N":
            gathered.append(b"\r\n")
            size += 2
        if size >= PIECE:
            yield b"".join(gathered)
            gathered.clear()
            size = 0
    if gathered:
        yield b"".join(gathered)
