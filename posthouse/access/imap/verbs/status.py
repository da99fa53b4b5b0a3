"""STATUS.

Standards: RFC 3501 section 6.3.10; RFC 7162 section 3.1.7; RFC 8438 (SIZE); RFC 8474 (MAILBOXID);
RFC 9208 section 4.1.4 (DELETED, DELETED-STORAGE); RFC 7889 section 4 (APPENDLIMIT).
"""

from collections.abc import Callable, Sequence

from posthouse.access.imap.session import Done, ImapSession
from posthouse.mailbox.store import MailboxStatus
from posthouse.wire.imap.mailboxes import parse_status
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import mailbox_name

ITEMS: dict[str, Callable[[MailboxStatus], object]] = {
    "MESSAGES": lambda status: status.messages,
    "RECENT": lambda status: status.recent,
    "UIDNEXT": lambda status: status.uid_next,
    "UIDVALIDITY": lambda status: status.uid_validity,
    "UNSEEN": lambda status: status.unseen,
    "DELETED": lambda status: status.deleted,
    "DELETED-STORAGE": lambda status: status.deleted_size,
    "SIZE": lambda status: status.size,
    "HIGHESTMODSEQ": lambda status: status.highest_modseq,
    "MAILBOXID": lambda status: f"({status.mailbox_id})" if status.mailbox_id else "NIL",
}


def status_line(name: str, status: MailboxStatus, items: Sequence[str], append_limit: int) -> bytes:
    """`* STATUS name (…)`."""
    limit = append_limit or "NIL"
    values = " ".join(f"{item} {limit if item == 'APPENDLIMIT' else ITEMS[item](status)}" for item in items)
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(name), values.encode("ascii"))


async def status(session: ImapSession, command: Command) -> Done:
    """STATUS."""
    name, items = parse_status(command.cursor)
    found = (await session.account.status([name])).get(name)
    if found is None:
        return Done("NO", "Mailbox doesn't exist.", "NONEXISTENT")
    if "HIGHESTMODSEQ" in items:
        session.enable_condstore()
    session.send(status_line(name, found, items, session.service.settings.imapd_append_limit))
    return Done("OK", "Status completed.")
