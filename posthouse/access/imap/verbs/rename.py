"""RENAME.

Standards: RFC 3501 section 6.3.5.
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.wire.imap.mailboxes import parse_rename
from posthouse.wire.imap.reader import Command


async def rename(session: ImapSession, command: Command) -> Done:
    """RENAME."""
    name, new_name = parse_rename(command.cursor)
    refused = await session.account.rename(name, new_name)
    return Done("OK", "Rename completed.") if refused is None else refusal(refused)
