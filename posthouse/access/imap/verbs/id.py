"""ID: who is who. The client's answer is checked and forgotten.

Standards: RFC 2971.
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Command

# RFC 2971 section 3.3: no more than 30 pairs.
PAIR_LIMIT = 30

SERVER_ID = b'* ID ("name" "Posthouse")\r\n'


def read_id(cursor: Cursor) -> None:
    """The client's list. Raises ImapSyntaxError."""
    if cursor.at_end():
        return  # some clients send a bare ID
    cursor.space()
    if not cursor.take(b"("):
        cursor.expect(b"NIL")
    else:
        for count in range(PAIR_LIMIT + 1):
            while cursor.take(b" "):
                pass
            if cursor.take(b")"):
                break
            if count == PAIR_LIMIT:
                raise ImapSyntaxError("Too many ID fields")
            cursor.string("ID field")
            cursor.space()
            cursor.nstring("ID value")
    cursor.end()


async def id_(session: ImapSession, command: Command) -> Done:
    """ID."""
    read_id(command.cursor)
    session.send(SERVER_ID)
    return Done("OK", "ID completed.")
