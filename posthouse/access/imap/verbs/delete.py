"""DELETE. The session's own selection of that mailbox ends first.

Standards: RFC 3501 section 6.3.4.
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.wire.imap.mailboxes import parse_mailbox
from posthouse.wire.imap.reader import Command


async def delete(session: ImapSession, command: Command) -> Done:
    """DELETE."""
    name = parse_mailbox(command.cursor)
    if session.selection is not None and session.selection.mailbox.name == name != "INBOX":
        await session.unselect()
    refused = await session.account.delete(name)
    return Done("OK", "Delete completed.") if refused is None else refusal(refused)
