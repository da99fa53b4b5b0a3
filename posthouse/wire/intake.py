"""How mail is handed to the house on this machine: the intake socket's dialogue, and the maildrop's files.

    submission = envelope *recipient *content end
    reply      = netstring

Everything is a netstring whose first byte tells what it is. An envelope is "name=value"
pairs with NUL between them; a recipient is address, original, NOTIFY and ORCPT with NUL
between them; content is any piece of the message in canonical form. Anybody on this machine may
write these bytes: what could not have come by SMTP either is refused here. The reply comes once,
after the commit: "A" and the queue id, or "F" and code, status and text. A maildrop file is
HEADING and one submission.

Standards: netstrings (D. J. Bernstein, 1997); RFC 3461 section 4 for what the attributes mean.
"""

import re
from dataclasses import dataclass, field

from posthouse.envelope.envelope import Notify, Recipient, Trace

HEADING = b"posthouse-maildrop 1\n"
"""First line of a maildrop file: what it is, and the version of what follows."""

FRAME_LIMIT = 1 << 17
"""Bytes of one frame: content comes in pieces of 64 KiB at most."""
RECIPIENT_LIMIT = 50_000
"""Recipients of one submission: what a large mailing list may hand over at once."""
_LINE_END = re.compile(r"[\r\n\0]")
"""In an address or a name: it would become a line of its own in a header or in SMTP."""
_NO_PARAMETER = re.compile(r"[\0- \x7f]")
"""In what becomes the value of an SMTP parameter (ENVID, ORCPT)."""
_LENGTH_LIMIT = 6
"""Digits of a netstring's length: enough for FRAME_LIMIT."""


class IntakeProtocolError(Exception):
    """The bytes are no submission (or reply)."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The envelope of a message that is handed over on this machine."""

    sender: str
    recipients: tuple[Recipient, ...] = field(default=())
    source: str = "pickup"
    """"pickup" (a user's mail); from the house itself "forward", "bounce" or "notify"."""
    full_name: str = ""
    local_rewrite: bool = True
    """False: sendmail -G."""
    body: str = ""
    ret: str = ""
    envid: str = ""
    verp: str = ""
    smtputf8: bool = False
    trace: Trace = Trace.NONE
    """sendmail -v and -bv."""


@dataclass(frozen=True, slots=True)
class End:
    """The submission is complete."""


Event = Submission | bytes | End

_BODIES = ("", "7BIT", "8BITMIME")
_RETURNS = ("", "FULL", "HDRS")
_TRACES = {"": Trace.NONE, "record": Trace.RECORD, "verify": Trace.VERIFY}
_ATTRIBUTES = ("sender", "source", "full_name", "body", "ret", "envid", "verp")


def encode_submission(submission: Submission) -> bytes:
    """The envelope and its recipients."""
    pairs = [f"{name}={getattr(submission, name)}" for name in _ATTRIBUTES if getattr(submission, name)]
    pairs.append(f"rewrite={'local' if submission.local_rewrite else 'remote'}")
    if submission.smtputf8:
        pairs.append("smtputf8=yes")
    if submission.trace is not Trace.NONE:
        pairs.append(f"trace={submission.trace.name.lower()}")
    frames = [_frame(b"E", "\0".join(pairs))]
    for recipient in submission.recipients:
        parts = (recipient.address, recipient.original, str(int(recipient.notify)), recipient.orcpt)
        frames.append(_frame(b"R", "\0".join(parts)))
    return b"".join(frames)


def encode_content(chunk: bytes) -> bytes:
    """A piece of the content, of at most FRAME_LIMIT - 1 bytes."""
    assert len(chunk) < FRAME_LIMIT
    return b"%d:D%b," % (len(chunk) + 1, chunk)


END = b"1:.,"
"""The end of a submission."""


def encode_accepted(queue_id: str) -> bytes:
    """The reply when the message is durable."""
    return _frame(b"A", queue_id)


def encode_refused(code: int, status: str, text: str) -> bytes:
    """The reply when it is not."""
    return _frame(b"F", f"{code} {status} {text}")


def _frame(kind: bytes, text: str) -> bytes:
    data = kind + text.encode("utf-8", "surrogateescape")
    return b"%d:%b," % (len(data), data)


class FrameReader:
    """Takes bytes in any cut, gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Bytes from the other side."""
        self._buffer += data

    def next_frame(self) -> tuple[bytes, bytes] | None:
        """(kind, data), or None until more has come. Raises IntakeProtocolError."""
        colon = self._buffer.find(b":", 0, _LENGTH_LIMIT + 1)
        digits = bytes(self._buffer[: colon if colon >= 0 else _LENGTH_LIMIT + 1])
        if digits and not digits.isdigit():
            raise IntakeProtocolError("no netstring")
        if colon < 0:
            if len(self._buffer) > _LENGTH_LIMIT:
                raise IntakeProtocolError("no netstring")
            return None
        if not digits or (length := int(digits)) == 0 or length > FRAME_LIMIT:
            raise IntakeProtocolError("bad frame length")
        end = colon + 1 + length
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != 0x2C:
            raise IntakeProtocolError("no netstring")
        frame = bytes(self._buffer[colon + 1 : end])
        del self._buffer[: end + 1]
        return frame[:1], frame[1:]


class SubmissionReader:
    """The receiving side: events from bytes in any cut."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._envelope: dict[str, str] | None = None
        self._recipients: list[Recipient] = []
        self._told = False
        self._held: bytes | None = None
        self._ended = False
        self._end_told = False

    def receive_data(self, data: bytes) -> None:
        """Bytes from the other side."""
        self._frames.receive_data(data)

    def next_event(self) -> Event | None:
        """The Submission first, then pieces of content, then End; None until more has come."""
        if self._held is not None:
            chunk, self._held = self._held, None
            return chunk
        while not self._ended and (frame := self._frames.next_frame()) is not None:
            kind, data = frame
            if kind == b"E" and self._envelope is None:
                self._envelope = dict(_pair(text) for text in _text(data).split("\0"))
            elif self._envelope is None:
                raise IntakeProtocolError("no envelope")
            elif kind == b"R" and not self._told:
                if len(self._recipients) >= RECIPIENT_LIMIT:
                    raise IntakeProtocolError("too many recipients")
                self._recipients.append(_recipient(_text(data)))
            elif kind == b"D":
                if self._told:
                    return data
                self._held = data
                return self._submission()
            elif kind == b".":
                self._ended = self._end_told = True
                if self._told:
                    return End()
                self._end_told = False
                return self._submission()
            else:
                raise IntakeProtocolError("unexpected frame")
        if self._ended and not self._end_told:
            self._end_told = True
            return End()
        return None

    def _submission(self) -> Submission:
        self._told = True
        values = self._envelope or {}
        if any(_LINE_END.search(value) for value in values.values()):
            raise IntakeProtocolError("bad envelope")
        if values.get("body", "") not in _BODIES or values.get("ret", "") not in _RETURNS:
            raise IntakeProtocolError("bad envelope")
        if values.get("trace", "") not in _TRACES:
            raise IntakeProtocolError("bad envelope")
        if _NO_PARAMETER.search(values.get("envid", "") + values.get("verp", "")):
            raise IntakeProtocolError("bad envelope")
        known = {name: values.get(name, "") for name in _ATTRIBUTES if name not in ("sender", "source")}
        return Submission(
            sender=values.get("sender", ""),
            recipients=tuple(self._recipients),
            source=values.get("source", "pickup"),
            local_rewrite=values.get("rewrite") != "remote",
            smtputf8=values.get("smtputf8") == "yes",
            trace=_TRACES[values.get("trace", "")],
            **known,
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """The reply: the message is durable."""

    queue_id: str


UNCHECKED = 454
"""The code when it cannot be known now whether the caller may submit: his mail waits nowhere."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The reply: it is not, and why."""

    code: int
    status: str
    text: str


def decode_reply(kind: bytes, data: bytes) -> Taken | NotTaken:
    """A reply frame's meaning. Raises IntakeProtocolError."""
    text = _text(data)
    if kind == b"A":
        return Taken(text)
    code, _, rest = text.partition(" ")
    status, _, words = rest.partition(" ")
    if kind != b"F" or not code.isascii() or not code.isdigit() or len(code) > 3:
        raise IntakeProtocolError("no reply")
    return NotTaken(int(code), status, words)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _recipient(text: str) -> Recipient:
    parts = text.split("\0")
    if len(parts) != 4 or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 2:
        raise IntakeProtocolError("bad recipient")
    notify = Notify(int(parts[2]) & 15)
    if Notify.NEVER in notify and notify is not Notify.NEVER:
        raise IntakeProtocolError("bad recipient")
    if _LINE_END.search(parts[0] + parts[1]) or _NO_PARAMETER.search(parts[3]):
        raise IntakeProtocolError("bad recipient")
    return Recipient(parts[0], parts[1], notify, parts[3])
