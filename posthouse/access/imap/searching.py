"""SEARCH's answer: rows first, then headers, then bodies, each only for what is still undecided.

What takes more than a look at a row is done off the event loop.

Standards: RFC 3501 section 6.4.4.
"""

import asyncio
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from posthouse.access.imap.judging import Judge, Message, readable
from posthouse.access.imap.session import ImapSession
from posthouse.mailbox.store import SYSTEM_FLAGS, MailboxFault, MessageSummary
from posthouse.message.mime_words import decode_text
from posthouse.message.structure import Part
from posthouse.wire.imap.search import And, HasFlag, Key, Not, Numbers

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

_SYSTEM_FLAGS = frozenset(flag.lower() for flag in SYSTEM_FLAGS)
_Parts: TypeAlias = list[tuple[Part, bytes]]


async def find_uids(session: ImapSession, key: Key) -> list[int] | None:
    """The uids, where a program asks for nothing but numbers and system flags, which needs no rows. None: it asks for
    more."""
    present: set[str] = set()
    absent: set[str] = set()
    for one in key.keys if isinstance(key, And) else (key,):
        match one:
            case Numbers():
                pass
            case HasFlag(flag) if flag in _SYSTEM_FLAGS:
                present.add(flag)
            case Not(HasFlag(flag)) if flag in _SYSTEM_FLAGS:
                absent.add(flag)
            case _:
                return None
    if present & absent:
        return []
    selection = session.selected
    candidates = Judge(selection, key, session.service.clock()).candidates()
    if not present and not absent:
        return [uid for uid in (selection.uids if candidates is None else candidates) if uid not in selection.gone]
    found = await selection.mailbox.uids(frozenset(present), frozenset(absent))
    among = frozenset(selection.uids if candidates is None else candidates)
    return [uid for uid in found if uid in among]


async def find(session: ImapSession, key: Key) -> list[MessageSummary]:
    """The messages that match, ascending by uid."""
    judge = Judge(session.selected, key, session.service.clock())
    known = session.selected.number
    found: list[MessageSummary] = []
    async for rows in session.selected.mailbox.summaries(judge.candidates()):
        verdicts = [judge.verdict(row, None) for row in rows]
        found += [row for row, verdict in zip(rows, verdicts, strict=True) if verdict and known(row.uid)]
        if None in verdicts:
            pairs = zip(rows, verdicts, strict=True)
            undecided = {row.uid: Message(row) for row, verdict in pairs if verdict is None and known(row.uid)}
            found += await _with_headers(session, judge, undecided)
    return sorted(found, key=lambda row: row.uid)


async def _with_headers(session: ImapSession, judge: Judge, waiting: dict[int, Message]) -> list[MessageSummary]:
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


def _judge_all(judge: Judge, messages: Iterable[Message]) -> list[bool | None]:
    return [judge.judge(message) for message in messages]


async def _with_bodies(session: ImapSession, judge: Judge, some: Sequence[Message]) -> list[MessageSummary]:
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
            message.raw = readable(await content.read())
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
    batch: list[tuple[Message, _Parts]] = []
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


def _judge_bodies(judge: Judge, batch: Sequence[tuple[Message, _Parts]]) -> list[MessageSummary]:
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
