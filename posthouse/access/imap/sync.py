"""Telling a client what changed, when it may be told.

Flags and new messages may be told with every command; expunges not while FETCH, STORE and SEARCH
are answered, for their sequence numbers must not move.

Standards: RFC 3501 sections 5.2, 5.5 and 7.4.1; RFC 7162 section 3.2.10 (VANISHED).
"""

from posthouse.access.imap.session import ImapSession, MailboxGone


async def tell_changes(session: ImapSession, *, expunges: bool, with_uid: bool = False) -> None:
    """Ask the mailbox and tell. Raises MailboxGone."""
    selection = session.selection
    if selection is None:
        return
    changes = await selection.mailbox.changes(selection.modseq)
    if changes.gone:
        raise MailboxGone
    known_to = selection.uids[-1] if selection.uids else 0
    vanished = list(changes.vanished)
    if not changes.complete:
        left = set(await selection.mailbox.uids())
        vanished = [uid for uid in selection.uids if uid not in left]
    selection.gone.update(uid for uid in vanished if selection.number(uid))
    if expunges and selection.gone:
        session.send_expunged(sorted(selection.gone))
    new = [row.uid for row in changes.changed if row.uid > known_to]
    if new:
        selection.uids += new
        first = await selection.mailbox.take_recent()
        selection.add_recent(max(first, new[0]))
        session.send_exists()
    for row in changes.changed:
        if row.uid <= known_to and selection.told.get(row.uid) != row.modseq:
            session.send_fetch(row.uid, row.flags, row.modseq, with_uid=with_uid)
            if session.connection.full:
                await session.connection.drain()
    selection.told.clear()
    selection.modseq = changes.highest_modseq
