"""STORE.

Standards: RFC 3501 section 6.4.6; RFC 7162 section 3.1.3 (UNCHANGEDSINCE, MODIFIED); RFC 2180 section 4.2.
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.access.imap.verbs.copy import EXPUNGED
from posthouse.mailbox.store import SYSTEM_FLAGS, Refused
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.sequence import format_set
from posthouse.wire.imap.store import parse_store

SPELLING = {flag.lower(): flag for flag in SYSTEM_FLAGS}


def known_flags(flags: frozenset[str]) -> frozenset[str]:
    """System flags in RFC 3501's spelling, keywords as they are."""
    return frozenset(SPELLING.get(flag.lower(), flag) for flag in flags)


async def store(session: ImapSession, command: Command) -> Done:
    """STORE, UID STORE."""
    request = parse_store(command.cursor)
    selection = session.selected
    uids = selection.resolve(request.numbers, uid=command.uid)
    if request.unchanged_since is not None:
        session.need_modseq()
    stored = await selection.mailbox.store_flags(
        uids, request.mode, known_flags(request.flags), request.unchanged_since
    )
    if isinstance(stored, Refused):
        return refusal(stored)
    for row in stored.changed:
        if row.modseq > selection.modseq:
            selection.told[row.uid] = row.modseq
        if not request.silent or session.tells_modseq:
            if request.silent:
                session.send_modseq(row.uid, row.modseq, with_uid=command.uid)
            else:
                session.send_fetch(row.uid, row.flags, row.modseq, with_uid=command.uid)
            if session.connection.full:
                await session.connection.drain()
    if stored.conflicts:
        conflicts = stored.conflicts if command.uid else selection.numbers(stored.conflicts)
        return Done("OK", "Conditional store failed.", f"MODIFIED {format_set(conflicts).decode()}")
    if len(stored.changed) < len(uids) and not command.uid:
        return EXPUNGED
    return Done("OK", "Store completed.")
