"""NAMESPACE: one personal namespace without a prefix.

Standards: RFC 2342.
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.reader import Command


async def namespace(session: ImapSession, command: Command) -> Done:
    """NAMESPACE."""
    command.cursor.end()
    session.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return Done("OK", "Namespace completed.")
