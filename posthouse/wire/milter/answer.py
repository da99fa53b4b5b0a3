"""What a milter answers, as bytes and back.

One decision ends the answer to a command: continue, accept, reject, tempfail, discard, skip, reply
code, shutdown. Progress only asks for patience. At the end of the body edits come before the
decision: header fields added, inserted, changed (deleted when the value is empty), recipients, the
sender, the body in pieces, quarantine.

Standards: none; libmilter's mfdef.h (SMFIR_…) and what Postfix 3.7 takes.
"""

from dataclasses import dataclass
from enum import Enum

from posthouse.wire.milter.packet import Fields, MilterProtocolError, number, packet, text


class Word(Enum):
    """Answers without data."""

    CONTINUE = b"c"
    ACCEPT = b"a"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    SKIP = b"s"
    PROGRESS = b"p"
    SHUTDOWN = b"4"
    CONNECTION_FAILURE = b"f"

    def __bytes__(self) -> bytes:
        return packet(self.value)


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """The SMTP reply to give: "550 5.7.1 text", lines of a long one parted by CRLF, % as %%."""

    line: bytes

    def __bytes__(self) -> bytes:
        return packet(b"y", text(self.line))


@dataclass(frozen=True, slots=True)
class AddHeader:
    """A field at the end of the header."""

    name: bytes
    value: bytes

    def __bytes__(self) -> bytes:
        return packet(b"h", text(self.name, self.value))


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A field in front of the one with that index, 0 for the first."""

    index: int
    name: bytes
    value: bytes

    def __bytes__(self) -> bytes:
        return packet(b"i", number(self.index) + text(self.name, self.value))


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """Another value for the nth field of that name; an empty one deletes it."""

    index: int
    name: bytes
    value: bytes

    def __bytes__(self) -> bytes:
        return packet(b"m", number(self.index) + text(self.name, self.value))


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """A piece of the new body."""

    chunk: bytes

    def __bytes__(self) -> bytes:
        return packet(b"b", self.chunk)


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """One more recipient, with ESMTP arguments (SMFIR_ADDRCPT_PAR) or None (SMFIR_ADDRCPT)."""

    address: bytes
    arguments: bytes | None = None

    def __bytes__(self) -> bytes:
        if self.arguments is None:
            return packet(b"+", text(self.address))
        return packet(b"2", text(self.address, self.arguments))


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """One recipient less."""

    address: bytes

    def __bytes__(self) -> bytes:
        return packet(b"-", text(self.address))


@dataclass(frozen=True, slots=True)
class ChangeFrom:
    """Another sender."""

    address: bytes
    arguments: bytes | None = None

    def __bytes__(self) -> bytes:
        return packet(b"e", text(self.address, *([] if self.arguments is None else [self.arguments])))


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The message is to be held, and why."""

    reason: bytes

    def __bytes__(self) -> bytes:
        return packet(b"q", text(self.reason))


Edit = AddHeader | InsertHeader | ChangeHeader | ReplaceBody | AddRecipient | DeleteRecipient | ChangeFrom | Quarantine
Answer = Word | ReplyCode | Edit

WORDS = {word.value: word for word in Word}
NAMES = {
    b"c": "SMFIR_CONTINUE",
    b"a": "SMFIR_ACCEPT",
    b"r": "SMFIR_REJECT",
    b"t": "SMFIR_TEMPFAIL",
    b"d": "SMFIR_DISCARD",
    b"s": "SMFIR_SKIP",
    b"p": "SMFIR_PROGRESS",
    b"4": "SMFIR_SHUTDOWN",
    b"f": "SMFIR_CONN_FAIL",
    b"y": "SMFIR_REPLYCODE",
    b"h": "SMFIR_ADDHEADER",
    b"i": "SMFIR_INSHEADER",
    b"m": "SMFIR_CHGHEADER",
    b"b": "SMFIR_REPLBODY",
    b"+": "SMFIR_ADDRCPT",
    b"2": "SMFIR_ADDRCPT_PAR",
    b"-": "SMFIR_DELRCPT",
    b"e": "SMFIR_CHGFROM",
    b"q": "SMFIR_QUARANTINE",
}
"""Letters to libmilter's names, for the log."""


def parse_answer(letter: bytes, data: bytes) -> Answer:
    """What a packet means. Raises MilterProtocolError."""
    word = WORDS.get(letter)
    if word is not None:
        if data:
            raise MilterProtocolError(f"reply {NAMES[letter]} was followed by {len(data)} data bytes")
        return word
    fields = Fields(data)
    answer: Answer
    match letter:
        case b"y":
            answer = ReplyCode(fields.text())
        case b"h":
            answer = AddHeader(fields.text(), fields.text())
        case b"i":
            answer = InsertHeader(fields.number(), fields.text(), fields.text())
        case b"m":
            answer = ChangeHeader(fields.number(), fields.text(), fields.text())
        case b"b":
            answer = ReplaceBody(fields.rest())
        case b"+":
            answer = AddRecipient(fields.text())
        case b"2":
            answer = AddRecipient(fields.text(), fields.text() if fields.left else b"")
        case b"-":
            answer = DeleteRecipient(fields.text())
        case b"e":
            answer = ChangeFrom(fields.text(), fields.text() if fields.left else None)
        case b"q":
            answer = Quarantine(fields.text())
        case _:
            raise MilterProtocolError("unexpected filter response (unknown filter reply)")
    if fields.left:
        raise MilterProtocolError(f"reply {NAMES[letter]} was followed by {fields.left} data bytes")
    return answer
