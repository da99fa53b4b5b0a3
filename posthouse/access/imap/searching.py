"""SEARCH's answer: rows first, then headers, then bodies, each only for what is still undecided.

A key says True, False, or None: not known from what has been loaded. Text is compared without case,
after decoding encoded words, transfer encodings and charsets; that work is done off the event loop.

Standards: RFC 3501 section 6.4.4; RFC 5032; RFC 5255 section 4 (case folding of UTF-8 text, as i;unicode-casemap).
"""

import asyncio
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

from posthouse.access.imap.session import ImapSession
from posthouse.mailbox.store import MailboxFault, MessageSummary
from posthouse.message.mime_words import decode_text, decode_words
from posthouse.message.structure import Part
from posthouse.wire.imap.dates import header_day, moment_of
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

PART_LIMIT = 4 << 20
"""Octets of one text part that are searched: more is no text that a person wrote."""
MESSAGE_LIMIT = 16 << 20
"""Octets of one message that are searched."""
BODIES = 50
"""Messages whose contents are opened at once."""
RAW_LIMIT = 1 << 16
"""Octets of a message that is looked through whole before it is taken apart: on the event loop, so they are few."""
BATCH_SIZE = 2 << 20
"""Octets of bodies that go to a thread together."""

_Parts: TypeAlias = list[tuple[Part, bytes]]

# One line with those that continue it; a field when it begins with name ":". Possessive, so that it is linear.
_FIELD = re.compile(rb"(?:([!-9;-~]++)[ \t]*+:)?([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")


@dataclass
class _Message:
    """One message while it is judged. Not slotted: what is decoded is kept with it."""

    row: MessageSummary
    header: bytes | None = None
    raw: bytes | None = None
    """The whole message in lower case, where that is its text: see _readable(). None while not loaded, or else."""
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
        return _readable(self.header or b"")

    @cached_property
    def header_text(self) -> str:
        """The whole header, decoded and case-folded."""
        return decode_words(self.header or b"").casefold()


class _Judge:
    """One search program against one selection."""

    def __init__(self, session: ImapSession, key: Key) -> None:
        self.key = key
        self.selection = session.selected
        self.now = session.service.clock()
        self.sets: dict[int, frozenset[int]] = {}
        self._resolve(key)

    def _resolve(self, key: Key) -> None:
        """Message sets are looked up once."""
        waiting = [key]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Numbers):
                uids = self.selection.resolve(one.numbers, uid=one.uid, strict=False)
                self.sets[id(one)] = frozenset(uids)
            elif isinstance(one, And):
                waiting += one.keys
            elif isinstance(one, Or):
                waiting += (one.left, one.right)
            elif isinstance(one, Not):
                waiting.append(one.key)

    def candidates(self) -> list[int] | None:
        """uids that can match: those of message sets that all must be in. None: any."""
        keys = self.key.keys if isinstance(self.key, And) else (self.key,)
        found: frozenset[int] | None = None
        for key in keys:
            if isinstance(key, Numbers):
                some = self.sets[id(key)]
                found = some if found is None else found & some
        return None if found is None else sorted(found)

    def judge(self, message: _Message) -> bool | None:
        """Whether it matches; None: not known yet."""
        return self._judge(self.key, message)

    def _judge(self, key: Key, message: _Message) -> bool | None:
        row = message.row
        match key:
            case And(keys):
                unknown = False
                for one in keys:
                    verdict = self._judge(one, message)
                    if verdict is False:
                        return False
                    unknown = unknown or verdict is None
                return None if unknown else True
            case Or(left, right):
                verdicts = (self._judge(left, message), self._judge(right, message))
                return True if True in verdicts else None if None in verdicts else False
            case Not(inner):
                verdict = self._judge(inner, message)
                return None if verdict is None else not verdict
            case HasFlag("\\recent"):
                return self.selection.is_recent(row.uid)
            case HasFlag(flag):
                return any(one.lower() == flag for one in row.flags)
            case Numbers():
                return row.uid in self.sets[id(key)]
            case Size(larger, octets):
                return row.size > octets if larger else row.size < octets
            case Age(younger, seconds):
                return (row.internal_date >= self.now - seconds) is younger
            case ModseqAtLeast(modseq):
                return row.modseq >= modseq
            case EmailId(email_id):
                return row.email_id == email_id
            case Day():
                return self._day(key, message)
            case HeaderText(field, text):
                return None if message.header is None else self._field(message, field, text.casefold())
            case BodyText(text, with_header):
                return _body(message, text.casefold(), with_header)

    def _day(self, key: Day, message: _Message) -> bool | None:
        if key.of == "sent":
            if message.header is None:
                return None
            match = next((m for m in _FIELD.finditer(message.header) if (m[1] or b"").lower() == b"date"), None)
            day = None if match is None else header_day(match[2])
            if day is None:
                return False
        else:
            row = message.row
            day = moment_of(row.internal_date if key.of == "internal" else row.save_date).date()
        if key.relation == "before":
            return day < key.day
        return day == key.day if key.relation == "on" else day >= key.day

    def _field(self, message: _Message, field: str, text: str) -> bool:
        if _lacks(message.readable_header, text):
            return False  # most messages go by here: fields are taken apart only where they may fit
        value = message.fields.get(field)
        return value is not None and text in value


def _body(message: _Message, text: str, with_header: bool) -> bool | None:
    if not text:
        return True
    if with_header and message.header is not None and text in message.header_text:
        return True
    if message.body is None:
        return False if _lacks(message.raw, text) else None
    return text in message.body


_ENCODED = (b"=?", b"base64", b"quoted-printable", b"utf-7")
"""What announces that octets stand for other text: where none of it is, what is read is what is searched."""


def _readable(octets: bytes) -> bytes | None:
    """ASCII in lower case that nothing decodes to something else; None for anything else."""
    if not octets.isascii():
        return None
    lowered = octets.lower()
    return None if any(word in lowered for word in _ENCODED) else lowered


@lru_cache(maxsize=64)
def _words(text: str) -> tuple[bytes, ...]:
    """The words of an ASCII text; lines are folded between words only."""
    return tuple(text.encode("ascii").split()) if text.isascii() else ()


def _lacks(readable: bytes | None, text: str) -> bool:
    """Whether a word of the text is certainly nowhere there."""
    return readable is not None and any(word not in readable for word in _words(text))


def among_numbers(session: ImapSession, key: Key) -> list[int] | None:
    """The uids, where a program asks for nothing but messages by their numbers (or ALL), which needs no row. None: it
    asks for more."""
    if not isinstance(key, And) or not all(isinstance(one, Numbers) for one in key.keys):
        if not isinstance(key, Numbers):
            return None
        key = And((key,))
    candidates = _Judge(session, key).candidates()
    gone = session.selected.gone
    return [uid for uid in (session.selected.uids if candidates is None else candidates) if uid not in gone]


async def find(session: ImapSession, key: Key) -> list[MessageSummary]:
    """The messages that match, ascending by uid."""
    judge = _Judge(session, key)
    mailbox = session.selected.mailbox
    known = session.selected.number
    found: list[MessageSummary] = []
    async for rows in mailbox.summaries(judge.candidates()):
        undecided: dict[int, _Message] = {}
        for row in rows:
            if not known(row.uid):
                continue
            message = _Message(row)
            verdict = judge.judge(message)
            if verdict:
                found.append(row)
            elif verdict is None:
                undecided[row.uid] = message
        if undecided:
            found += await _with_headers(session, judge, undecided)
    return sorted(found, key=lambda row: row.uid)


async def _with_headers(session: ImapSession, judge: _Judge, waiting: dict[int, _Message]) -> list[MessageSummary]:
    found: list[MessageSummary] = []
    async for page in session.selected.mailbox.headers(list(waiting)):
        some = []
        for uid, header in page:
            waiting[uid].header = header
            some.append(waiting[uid])
        verdicts = await asyncio.to_thread(_judge_all, judge, some)
        found += [message.row for message, verdict in zip(some, verdicts, strict=True) if verdict]
        undecided = [message for message, verdict in zip(some, verdicts, strict=True) if verdict is None]
        for start in range(0, len(undecided), BODIES):
            found += await _with_bodies(session, judge, undecided[start : start + BODIES])
    return found


def _judge_all(judge: _Judge, messages: Iterable[_Message]) -> list[bool | None]:
    return [judge.judge(message) for message in messages]


async def _with_bodies(session: ImapSession, judge: _Judge, some: Sequence[_Message]) -> list[MessageSummary]:
    mailbox = session.selected.mailbox
    contents = await mailbox.contents([message.row.uid for message in some])
    found: list[MessageSummary] = []
    waiting = []
    for message in some:
        content = contents.get(message.row.uid)
        if content is None or content.size > RAW_LIMIT:
            waiting.append(message)
            continue
        try:
            message.raw = _readable(await content.read())
        except MailboxFault:
            continue  # expunged meanwhile
        verdict = judge.judge(message)
        message.raw = None
        if verdict:
            found.append(message.row)
        elif verdict is None:
            waiting.append(message)
    if not waiting:
        return found
    some = waiting
    structures = await mailbox.structures([message.row.uid for message in some])
    batch: list[tuple[_Message, _Parts]] = []
    held = 0
    for message in some:
        content, root = contents.get(message.row.uid), structures.get(message.row.uid)
        if content is None or root is None:
            continue
        parts: _Parts = []
        left = MESSAGE_LIMIT
        try:
            for part in root.walk():
                if part.parts or part.type not in ("text", "multipart") or left <= 0:
                    continue
                stop = min(part.body_end, part.body_start + min(PART_LIMIT, left))
                parts.append((part, await content.read(part.body_start, stop)))
                left -= stop - part.body_start
        except MailboxFault:
            continue  # expunged meanwhile
        batch.append((message, parts))
        held += MESSAGE_LIMIT - left
        if held > BATCH_SIZE:
            found += await asyncio.to_thread(_judge_bodies, judge, batch)
            batch, held = [], 0
    return found + await asyncio.to_thread(_judge_bodies, judge, batch)


def _judge_bodies(judge: _Judge, batch: Sequence[tuple[_Message, _Parts]]) -> list[MessageSummary]:
    found = []
    for message, parts in batch:
        message.body = "\n".join(_decode(part, data) for part, data in parts).casefold()
        if judge.judge(message):
            found.append(message.row)
        message.body = ""  # let go of it
    return found


def _decode(part: Part, data: bytes) -> str:
    """A text part as text."""
    if part.encoding == "base64":
        data = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
        data = data[:-1] if len(data) % 4 == 1 else data
        data = binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    elif part.encoding == "quoted-printable":
        data = binascii.a2b_qp(data)
    return decode_text(data, part.parameter("charset") or "utf-8")
