"""What a search program says of a message: a function made of its key, called with what is known.

It says True, False, or None: not known from what has been loaded. Most messages are judged by their row alone.
Text is compared without case, after decoding encoded words, transfer encodings and charsets.

Standards: RFC 3501 section 6.4.4; RFC 5032; RFC 5255 section 4 (case folding of UTF-8 text, as i;unicode-casemap).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property, lru_cache
from typing import TypeAlias

from posthouse.access.imap.selection import Selection
from posthouse.mailbox.store import MessageSummary
from posthouse.message.mime_words import decode_words
from posthouse.wire.imap.dates import header_day
from posthouse.wire.imap.search import (
    Age,
    And,
    BodyText,
    Day,
    EmailId,
    HasFlag,
    HeaderText,
    Key,
    ModseqAtLeast,
    Not,
    Numbers,
    Or,
    Size,
)

DAY = 86_400.0

# One line with those that continue it; a field when it begins with name ":". Possessive, so that it is linear.
_FIELD = re.compile(rb"(?:([!-9;-~]++)[ \t]*+:)?([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")


@dataclass
class Message:
    """One message while it is judged. Not slotted: what is decoded is kept with it."""

    row: MessageSummary
    header: bytes | None = None
    raw: bytes | None = None
    """The whole message in lower case, where that is its text: see readable(). None while not loaded, or else."""
    body: str | None = None
    """Text of its text parts, case-folded; None while not loaded."""

    @cached_property
    def fields(self) -> dict[str, str]:
        """Values by field name, case-folded; several of a name are joined."""
        found: dict[str, str] = {}
        for match in _FIELD.finditer(self.header or b""):
            if match[1] is None:
                continue
            name = match[1].decode("ascii").lower()
            value = decode_words(match[2].strip()).casefold()
            found[name] = f"{found[name]}\n{value}" if name in found else value
        return found

    @cached_property
    def readable_header(self) -> bytes | None:
        """The header in lower case, where it has nothing to be decoded."""
        return readable(self.header or b"")

    @cached_property
    def header_text(self) -> str:
        """The whole header, decoded and case-folded."""
        return decode_words(self.header or b"").casefold()


Verdict: TypeAlias = Callable[[MessageSummary, Message | None], bool | None]
"""Of a message of this row, and of its content as far as it has been loaded (None: not at all)."""


class Judge:
    """One search program against one selection."""

    def __init__(self, selection: Selection, key: Key, now: float) -> None:
        self._selection = selection
        self._now = now
        self._must_be_in: frozenset[int] | None = None
        for one in key.keys if isinstance(key, And) else (key,):
            if isinstance(one, Numbers):
                some = self._among(one)
                self._must_be_in = some if self._must_be_in is None else self._must_be_in & some
        self.verdict = self._verdict(key)

    def candidates(self) -> list[int] | None:
        """uids that can match: those of message sets that all must be in. None: any."""
        return None if self._must_be_in is None else sorted(self._must_be_in)

    def judge(self, message: Message) -> bool | None:
        """Whether it matches; None: not known yet."""
        return self.verdict(message.row, message)

    def _among(self, key: Numbers) -> frozenset[int]:
        return frozenset(self._selection.resolve(key.numbers, uid=key.uid, strict=False))

    def _verdict(self, key: Key) -> Verdict:
        match key:
            case And(keys):
                return _all(tuple(map(self._verdict, keys)))
            case Or(left, right):
                return _either(self._verdict(left), self._verdict(right))
            case Not(inner):
                return _other(self._verdict(inner))
            case HasFlag("\\recent"):
                is_recent = self._selection.is_recent
                return lambda row, _message: is_recent(row.uid)
            case HasFlag(flag):
                return _has_flag(flag)
            case Numbers():
                uids = self._among(key)
                return lambda row, _message: row.uid in uids
            case Size(larger, octets):
                if larger:
                    return lambda row, _message: row.size > octets
                return lambda row, _message: row.size < octets
            case Age(younger, seconds):
                edge = self._now - seconds
                return lambda row, _message: (row.internal_date >= edge) is younger
            case ModseqAtLeast(modseq):
                return lambda row, _message: row.modseq >= modseq
            case EmailId(email_id):
                return lambda row, _message: row.email_id == email_id
            case Day():
                return _sent(key) if key.of == "sent" else _came(key)
            case HeaderText(field, text):
                return _field(field, text.casefold())
            case BodyText(text, with_header):
                return _body(text.casefold(), with_header)


def _all(verdicts: tuple[Verdict, ...]) -> Verdict:
    def judge(row: MessageSummary, message: Message | None) -> bool | None:
        unknown = False
        for verdict in verdicts:
            found = verdict(row, message)
            if found is False:
                return False
            unknown = unknown or found is None
        return None if unknown else True

    return verdicts[0] if len(verdicts) == 1 else judge


def _either(left: Verdict, right: Verdict) -> Verdict:
    def judge(row: MessageSummary, message: Message | None) -> bool | None:
        found = (left(row, message), right(row, message))
        return True if True in found else None if None in found else False

    return judge


def _other(verdict: Verdict) -> Verdict:
    def judge(row: MessageSummary, message: Message | None) -> bool | None:
        found = verdict(row, message)
        return None if found is None else not found

    return judge


def _has_flag(flag: str) -> Verdict:
    """Rows share their sets of flags: each is looked through once."""
    known: dict[frozenset[str], bool] = {}

    def judge(row: MessageSummary, _message: Message | None) -> bool:
        found = known.get(row.flags)
        if found is None:
            found = known[row.flags] = any(one.lower() == flag for one in row.flags)
        return found

    return judge


def _came(key: Day) -> Verdict:
    """By when it came, here or to the mailbox: days in UTC, as INTERNALDATE tells them."""
    first = datetime.combine(key.day, time(), UTC).timestamp()
    internal = key.of == "internal"

    def judge(row: MessageSummary, _message: Message | None) -> bool:
        moment = row.internal_date if internal else row.save_date
        if key.relation == "before":
            return moment < first
        return first <= moment and (key.relation == "since" or moment < first + DAY)

    return judge


def _sent(key: Day) -> Verdict:
    """By the Date field, its time and zone disregarded."""

    def judge(_row: MessageSummary, message: Message | None) -> bool | None:
        if message is None or message.header is None:
            return None
        match = next((m for m in _FIELD.finditer(message.header) if (m[1] or b"").lower() == b"date"), None)
        day = None if match is None else header_day(match[2])
        if day is None:
            return False
        if key.relation == "before":
            return day < key.day
        return day == key.day if key.relation == "on" else day >= key.day

    return judge


def _field(name: str, text: str) -> Verdict:
    def judge(_row: MessageSummary, message: Message | None) -> bool | None:
        if message is None or message.header is None:
            return None
        if lacks(message.readable_header, text):
            return False  # most messages go by here: fields are taken apart only where they may fit
        value = message.fields.get(name)
        return value is not None and text in value

    return judge


def _body(text: str, with_header: bool) -> Verdict:
    def judge(_row: MessageSummary, message: Message | None) -> bool | None:
        if not text:
            return True
        if message is None:
            return None
        if with_header and message.header is not None and text in message.header_text:
            return True
        if message.body is None:
            return False if lacks(message.raw, text) else None
        return text in message.body

    return judge


_ENCODED = (b"=?", b"base64", b"quoted-printable", b"utf-7")
"""What announces that octets stand for other text: where none of it is, what is read is what is searched."""


def readable(octets: bytes) -> bytes | None:
    """ASCII in lower case that nothing decodes to something else; None for anything else."""
    if not octets.isascii():
        return None
    lowered = octets.lower()
    return None if any(word in lowered for word in _ENCODED) else lowered


@lru_cache(maxsize=64)
def _words(text: str) -> tuple[bytes, ...]:
    """The words of an ASCII text; lines are folded between words only."""
    return tuple(text.encode("ascii").split()) if text.isascii() else ()


def lacks(readable: bytes | None, text: str) -> bool:
    """Whether a word of the text is certainly nowhere there."""
    return readable is not None and any(word not in readable for word in _words(text))
