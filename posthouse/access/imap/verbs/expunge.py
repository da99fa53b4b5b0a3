"""EXPUNGE and UID EXPUNGE.

Standards: RFC 3501 section 6.4.3; RFC 4315 section 2.1; RFC 7162 section 3.2.7.
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.mailbox.store import Refused
from posthouse.wire.imap.reader import Command


async def expunge(session: ImapSession, command: Command) -> Done:
    """EXPUNGE."""
    cursor = command.cursor
    selection = session.selected
    uids: list[int] | None = None
    if command.uid:
        cursor.space()
        uids = selection.resolve(cursor.sequence_set(), uid=True)
    cursor.end()
    done = await selection.mailbox.expunge(uids)
    if isinstance(done, Refused):
        return refusal(done)
    session.send_expunged(done.uids)
    code = f"HIGHESTMODSEQ {done.modseq}" if session.qresync and done.uids else ""
    return Done("OK", "Expunge completed.", code)
