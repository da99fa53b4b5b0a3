"""CAPABILITY after login.

Standards: RFC 3501 section 6.1.1.
"""

from posthouse.access.imap.capability import after_login
from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.reader import Command


async def capability(session: ImapSession, command: Command) -> Done:
    """CAPABILITY."""
    command.cursor.end()
    session.send(f"* CAPABILITY {after_login(session.service.settings)}\r\n".encode("ascii"))
    return Done("OK", "Capability completed.")
