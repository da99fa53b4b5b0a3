"""NOOP and CHECK: the changes they ask for are told behind every command.

Every message is durable when its command is answered: CHECK has nothing to do.

Standards: RFC 3501 sections 6.1.2 and 6.4.1.
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.reader import Command


async def noop(session: ImapSession, command: Command) -> Done:
    """NOOP, CHECK."""
    command.cursor.end()
    return Done("OK", f"{command.verb} completed.")
