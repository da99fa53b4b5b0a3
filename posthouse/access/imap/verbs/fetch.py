"""FETCH and UID FETCH.

Standards: RFC 3501 section 6.4.5; RFC 2180 section 4.1 (messages expunged meanwhile); RFC 7162 sections 3.1.4
(CHANGEDSINCE) and 3.2.6 (VANISHED).
"""

from posthouse.access.imap.fetching import send_messages, unreadable
from posthouse.access.imap.session import Done, ImapSession
from posthouse.access.imap.verbs.copy import EXPUNGED
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.fetch import parse_fetch
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.sequence import SequenceSet

DAMAGED = Done("NO", "Some of the messages cannot be read; the server's log says more.", "UNAVAILABLE")


async def fetch(session: ImapSession, command: Command) -> Done:
    """FETCH, UID FETCH."""
    cursor = command.cursor
    cursor.space()
    numbers = cursor.sequence_set()
    cursor.space()
    request = parse_fetch(cursor, uid=command.uid)
    if request.vanished and not (command.uid and session.qresync):
        raise ImapSyntaxError("VANISHED needs UID FETCH and QRESYNC")
    uids = session.selected.resolve(numbers, uid=command.uid)
    if "MODSEQ" in request.plain:
        session.need_modseq()
    if request.vanished:
        await _send_vanished(session, numbers, request.changed_since or 0)
    missing = await send_messages(session, uids, request)
    if missing and await unreadable(session, missing):
        return DAMAGED
    if missing and not command.uid:
        return EXPUNGED
    return Done("OK", "Fetch completed.")


async def _send_vanished(session: ImapSession, numbers: SequenceSet, since: int) -> None:
    """RFC 7162 section 3.2.6: what is gone of the set, and no more."""
    selection = session.selected
    changes = await selection.mailbox.changes(since)
    # "*" reaches to the last uid that ever was: the message that had it may be the one that is gone.
    ranges = numbers.resolved(changes.uid_next - 1)
    if vanished := selection.vanished(changes, ranges):
        session.send(b"* VANISHED (EARLIER) %b\r\n" % vanished)
