"""COPY and MOVE.

Standards: RFC 3501 section 6.4.7; RFC 4315 section 3 (COPYUID); RFC 6851 (MOVE).
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.mailbox.store import Copied, Refused
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import untagged
from posthouse.wire.imap.sequence import format_set

NOTHING = Done("OK", "No messages found.")
EXPUNGED = Done("NO", "Some of the requested messages no longer exist.", "EXPUNGEISSUED")


def _arguments(session: ImapSession, command: Command) -> tuple[list[int], str]:
    cursor = command.cursor
    cursor.space()
    numbers = cursor.sequence_set()
    cursor.space()
    destination = cursor.mailbox()
    cursor.end()
    return session.selected.resolve(numbers, uid=command.uid), destination


def _code(copied: Copied) -> str:
    source, made = format_set(copied.source_uids), format_set(copied.destination_uids)
    return f"COPYUID {copied.uid_validity} {source.decode()} {made.decode()}"


async def copy(session: ImapSession, command: Command) -> Done:
    """COPY."""
    uids, destination = _arguments(session, command)
    copied = await session.selected.mailbox.copy(uids, destination)
    if isinstance(copied, Refused):
        return refusal(copied, try_create=True)
    if not copied.source_uids:
        return EXPUNGED if uids and not command.uid else NOTHING
    return Done("OK", "Copy completed.", _code(copied))


async def move(session: ImapSession, command: Command) -> Done:
    """MOVE: COPYUID comes before the EXPUNGEs, so that a client that is cut off knows where its messages are."""
    uids, destination = _arguments(session, command)
    moved = await session.selected.mailbox.move(uids, destination)
    if isinstance(moved, Refused):
        return refusal(moved, try_create=True)
    if not moved.source_uids:
        return EXPUNGED if uids and not command.uid else NOTHING
    session.send(untagged("OK", "Moved UIDs.", _code(moved)))
    session.send_expunged(moved.source_uids)
    code = f"HIGHESTMODSEQ {moved.modseq}" if session.qresync and moved.modseq else ""
    return Done("OK", "Move completed.", code)
