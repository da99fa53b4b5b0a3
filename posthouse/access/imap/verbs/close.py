"""CLOSE and UNSELECT.

Standards: RFC 3501 section 6.4.2; RFC 3691 (UNSELECT).
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.reader import Command


async def close(session: ImapSession, command: Command) -> Done:
    """CLOSE: what is \\Deleted goes silently, unless the mailbox is only looked at."""
    command.cursor.end()
    mailbox = session.selected.mailbox
    if not mailbox.read_only:
        await mailbox.expunge()
    await session.unselect()
    return Done("OK", "Close completed.")


async def unselect(session: ImapSession, command: Command) -> Done:
    """UNSELECT."""
    command.cursor.end()
    await session.unselect()
    return Done("OK", "Unselect completed.")
