"""FETCH's data: pages of rows, headers or structures, and contents that stream.

Never more than a page of rows, a page of headers, and a piece of one content are in memory; a client
that reads slowly slows the reading from disk.

Standards: RFC 3501 sections 6.4.5 and 7.4.2.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from posthouse.access.imap.connection import SessionEnded
from posthouse.access.imap.row_items import ROW_ITEMS, row_item, row_responses
from posthouse.access.imap.sections import Range, choose_fields, cut, locate
from posthouse.access.imap.session import ImapSession
from posthouse.access.imap.structure import (
    HEADER_LIMIT,
    envelope,
    format_structure,
    messages_inside,
)
from posthouse.mailbox.store import MailboxFault, MessageSummary, Refused, StoredContent
from posthouse.message.structure import Part
from posthouse.message.structure_envelope import envelope_of
from posthouse.wire.imap.fetch import FetchRequest, Section
from posthouse.wire.imap.response import literal

ROWS = 2000
"""Messages of one page where rows are enough."""
CONTENTS = 50
"""Messages of one page whose structures or contents are opened."""
WHOLE = 65_536
"""Octets read before the literal is announced: a content that is gone by then costs nothing but its message."""
TOLD_DAMAGED = 10
"""Messages that cannot be read and are named in the log, of one command."""
NUL = b"\0"
NUL_SHOWN = b"\x80"
"""RFC 3501 section 9: no NUL in a literal; the count must stay."""


@dataclass(slots=True)
class _Page:
    """What is known of some messages."""

    rows: dict[int, MessageSummary]
    headers: Mapping[int, bytes] = field(default_factory=dict)
    structures: Mapping[int, Part] = field(default_factory=dict)
    contents: Mapping[int, StoredContent] = field(default_factory=dict)


def _header_only(section: Section) -> bool:
    return not section.numbers and section.specifier.startswith("HEADER")


async def _pages(session: ImapSession, uids: Sequence[int], request: FetchRequest) -> AsyncIterator[_Page]:
    mailbox = session.selected.mailbox
    headers = "ENVELOPE" in request.plain or any(map(_header_only, request.sections))
    contents = any(not _header_only(section) for section in request.sections)
    shapes = "BODY" in request.plain or "BODYSTRUCTURE" in request.plain
    structures = shapes or any(section.numbers for section in request.sections)
    contents = contents or shapes

    async def page(some: Sequence[int], found: Mapping[int, bytes]) -> _Page:
        rows = {row.uid: row async for rows in mailbox.summaries(some) for row in rows}
        return _Page(
            rows,
            found,
            await mailbox.structures(some) if structures else {},
            await mailbox.contents(some) if contents else {},
        )

    step = CONTENTS if structures or contents else ROWS
    for start in range(0, len(uids), step):
        some = uids[start : start + step]
        if not headers:
            yield await page(some, {})
            continue
        async for found in mailbox.headers(some):
            yield await page([uid for uid, _ in found], dict(found))


async def send_messages(session: ImapSession, uids: Sequence[int], request: FetchRequest) -> set[int]:
    """Answer for each message that is still there and can be read; the others."""
    missing = set(uids)
    rows_only = not request.sections and ROW_ITEMS.issuperset(request.plain)
    async for page in _pages(session, uids, request):
        wanted = list(page.rows.values())
        if request.changed_since is not None:
            missing.difference_update(row.uid for row in wanted if row.modseq <= request.changed_since)
            wanted = [row for row in wanted if row.modseq > request.changed_since]
        if rows_only:
            missing.difference_update(page.rows)
            session.send(b"".join(row_responses(session, request.plain, wanted)))
            await session.connection.drain()
            continue
        newly_seen = await _mark_seen(session, wanted) if request.sees else {}
        for row in wanted:
            if await _send(session, newly_seen.get(row.uid, row), page, request, row.uid in newly_seen):
                missing.discard(row.uid)
            if session.connection.full:
                await session.connection.drain()
    return missing


async def unreadable(session: ImapSession, missing: set[int]) -> bool:
    """Whether some of these are not gone but cannot be read; the log says which and why."""
    mailbox = session.selected.mailbox
    damaged = 0
    async for rows in mailbox.summaries(sorted(missing)):
        for row in rows:
            damaged += 1
            if damaged > TOLD_DAMAGED:
                continue
            reason = "its content is gone"
            content = (await mailbox.contents([row.uid])).get(row.uid)
            if content is not None:
                try:
                    async for _ in content.chunks():
                        pass
                except MailboxFault as fault:
                    reason = str(fault)
            session.log.warning(f"{session.namaddr}: FETCH: {mailbox.name} uid {row.uid}: {reason}")
    return damaged > 0


async def _mark_seen(session: ImapSession, rows: Sequence[MessageSummary]) -> dict[int, MessageSummary]:
    """RFC 3501 section 6.4.5: reading sets \\Seen, and the change is told with it."""
    selection = session.selected
    unseen = {row.uid: row for row in rows if "\\Seen" not in row.flags}
    if not unseen or selection.mailbox.read_only:
        return {}
    stored = await selection.mailbox.store_flags(list(unseen), "add", frozenset(("\\Seen",)))
    found = {}
    for change in () if isinstance(stored, Refused) else stored.changed:
        row = unseen[change.uid]
        found[change.uid] = row._replace(modseq=change.modseq, flags=change.flags)
        if change.modseq > selection.modseq:
            selection.told[change.uid] = change.modseq
    return found


async def _send(
    session: ImapSession, row: MessageSummary, page: _Page, request: FetchRequest, newly_seen: bool
) -> bool:
    """One message; False when its content is gone meanwhile."""
    selection, uid = session.selected, row.uid
    number = selection.number(uid)
    if not number:
        return True
    items: list[bytes] = []
    for name in request.plain:
        item = await _plain(session, name, row, page)
        if item is None:
            return False
        items.append(item)
    if newly_seen and "FLAGS" not in request.plain:
        items.append(await _plain(session, "FLAGS", row, page) or b"")
    if (newly_seen or "FLAGS" in request.plain) and session.tells_modseq and "MODSEQ" not in request.plain:
        items.append(b"MODSEQ (%d)" % row.modseq)
    begun = False
    beginning = b"* %d FETCH (" % number + b" ".join(items)
    separator = b" " if items else b""
    for section in request.sections:
        piece = await _section(row, page, section)
        if piece is None:
            return begun
        if isinstance(piece, bytes):
            beginning += separator + section.label + b" " + piece
            separator = b" "
            continue
        content, place = piece
        chunks = content.chunks(place.start, place.stop)
        try:
            first = await anext(chunks, b"")
        except MailboxFault as fault:
            if begun:
                raise SessionEnded("content is gone") from fault
            return False
        begun = True
        size = place.stop - place.start
        session.send(beginning + separator + section.label + b" {%d}\r\n" % size)
        beginning, separator = b"", b" "
        await _stream(session, first, chunks, size)
    session.send(beginning + b")\r\n")
    return True


async def _stream(session: ImapSession, first: bytes, chunks: AsyncIterator[bytes], size: int) -> None:
    """A literal's octets. Once begun it must be finished, or the connection ends."""
    connection = session.connection
    left = size - len(first)
    session.send(first.replace(NUL, NUL_SHOWN))
    try:
        async for chunk in chunks:
            left -= len(chunk)
            session.send(chunk.replace(NUL, NUL_SHOWN))
            if connection.full:
                await connection.drain()
    except MailboxFault as fault:
        session.log.warning(f"{session.namaddr}: FETCH: {fault}")
        left = -1
    if left:
        raise SessionEnded("content is gone")


async def _section(row: MessageSummary, page: _Page, section: Section) -> bytes | tuple[StoredContent, Range] | None:
    """A value that is at hand, or where it lies; None when the message is gone."""
    uid = row.uid
    content = page.contents.get(uid)
    root = page.structures.get(uid)
    if section.numbers and root is None:
        return None
    if _header_only(section):
        header = page.headers.get(uid)
        if header is None:
            return None
        if section.fields:
            return literal(choose_fields(section, header))
        place = cut(section, Range(0, len(header)))
        return literal(header[place.start : place.stop])
    if content is None:
        return None
    found = locate(section, content.size, content.header_size, root)
    if found is None:
        return b"NIL"
    try:
        if section.fields:
            return literal(choose_fields(section, await content.read(found.start, found.stop)))
        place = cut(section, found)
        if place.stop - place.start <= WHOLE:
            return literal(await content.read(place.start, place.stop))
    except MailboxFault:
        return None
    return content, place


async def _plain(session: ImapSession, name: str, row: MessageSummary, page: _Page) -> bytes | None:
    if name in ROW_ITEMS:
        return row_item(session, name, row)
    if name == "ENVELOPE":
        header = page.headers.get(row.uid)
        return None if header is None else b"ENVELOPE " + envelope(header)
    assert name in ("BODY", "BODYSTRUCTURE")
    root, content = page.structures.get(row.uid), page.contents.get(row.uid)
    if root is None or content is None:
        return None
    envelopes = {}
    try:
        for inner in messages_inside(root):
            stop = min(inner.body_start, inner.header_start + HEADER_LIMIT)
            envelopes[inner.header_start] = envelope_of(await content.read(inner.header_start, stop))
    except MailboxFault:
        return None
    return name.encode("ascii") + b" " + format_structure(root, envelopes, extended=name == "BODYSTRUCTURE")
