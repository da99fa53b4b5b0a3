"""SELECT and EXAMINE.

Standards: RFC 3501 sections 6.3.1 and 6.3.2; RFC 7162 sections 3.1.2 (HIGHESTMODSEQ, NOMODSEQ), 3.1.8
(CONDSTORE), 3.2.5 (QRESYNC) and 3.2.11 (CLOSED); RFC 8474 section 4.2 (MAILBOXID).
"""

from posthouse.access.imap.selection import Selection
from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.mailbox.store import Mailbox, MailboxStatus, Refused
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.mailboxes import Resync, parse_select
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import untagged


async def select(session: ImapSession, command: Command) -> Done:
    """SELECT."""
    return await _open(session, command, read_only=False)


async def examine(session: ImapSession, command: Command) -> Done:
    """EXAMINE."""
    return await _open(session, command, read_only=True)


async def _open(session: ImapSession, command: Command, *, read_only: bool) -> Done:
    request = parse_select(command.cursor)
    if request.resync is not None and not session.qresync:
        raise ImapSyntaxError("QRESYNC is not enabled")
    if session.selection is not None:
        await session.unselect()  # RFC 3501 section 6.3.1: also when the new one cannot be had
        session.send(untagged("OK", "Previous mailbox closed.", "CLOSED"))
    mailbox = await session.account.select(request.mailbox, read_only=read_only)
    if isinstance(mailbox, Refused):
        return refusal(mailbox)
    if request.condstore or request.resync is not None:
        session.condstore = True
    # Counts first: what comes in between is told as a change later on.
    status = await mailbox.status()
    selection = session.selection = Selection(mailbox, await mailbox.uids(), status.highest_modseq)
    selection.add_recent(await mailbox.take_recent())
    selection.keywords = {flag for flag in mailbox.permanent_flags if not flag.startswith("\\")}
    session.send_flags(mailbox)
    session.send_exists()
    if status.unseen:
        unseen = await _first_unseen(mailbox)
        if unseen and (number := selection.number(unseen)):
            session.send(untagged("OK", "First unseen.", f"UNSEEN {number}"))
    session.send(untagged("OK", "UIDs valid", f"UIDVALIDITY {mailbox.uid_validity}"))
    session.send(untagged("OK", "Predicted next UID", f"UIDNEXT {status.uid_next}"))
    if mailbox.has_modseq:
        session.send(untagged("OK", "Highest", f"HIGHESTMODSEQ {status.highest_modseq}"))
    else:
        session.send(untagged("OK", "No permanent mod-sequences", "NOMODSEQ"))
    if mailbox.mailbox_id:
        session.send(untagged("OK", "Mailbox id", f"MAILBOXID ({mailbox.mailbox_id})"))
    if request.resync is not None and mailbox.has_modseq:
        await _resync(session, request.resync, status)
    word = "Examine" if read_only else "Select"
    return Done("OK", f"{word} completed.", "READ-ONLY" if mailbox.read_only else "READ-WRITE")


async def _first_unseen(mailbox: Mailbox) -> int:
    """The uid of the first message without \\Seen, or 0."""
    async for page in mailbox.summaries():
        for row in page:
            if "\\Seen" not in row.flags:
                return row.uid
    return 0


async def _resync(session: ImapSession, resync: Resync, status: MailboxStatus) -> None:
    """What happened since the client was here last: VANISHED (EARLIER), then flags."""
    selection = session.selected
    if resync.uid_validity != selection.mailbox.uid_validity or resync.modseq > status.highest_modseq:
        return
    changes = await selection.mailbox.changes(resync.modseq)
    known = None if resync.known_uids is None else resync.known_uids.resolved(status.uid_next)
    if vanished := selection.vanished(changes, known):
        session.send(b"* VANISHED (EARLIER) %b\r\n" % vanished)
    for row in changes.changed:
        if known is None or any(low <= row.uid <= high for low, high in known):
            session.send_fetch(row.uid, row.flags, row.modseq, with_uid=True)
            if session.connection.full:
                await session.connection.drain()
