"""CREATE.

Standards: RFC 3501 section 6.3.3; RFC 6154 section 3 (USE); RFC 8474 section 4.1 (MAILBOXID).
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.mailbox.store import SPECIAL_USE, Refused
from posthouse.wire.imap.mailboxes import parse_create
from posthouse.wire.imap.reader import Command

USES = {use.lower(): use for use in (*SPECIAL_USE.values(), "\\All", "\\Flagged")}
KEPT_USES = frozenset(SPECIAL_USE.values())


async def create(session: ImapSession, command: Command) -> Done:
    """CREATE."""
    name, uses = parse_create(command.cursor)
    if len(uses) > 1 or any(USES.get(use.lower()) not in KEPT_USES for use in uses):
        return Done("NO", "A mailbox cannot be created with that use.", "USEATTR")
    made = await session.account.create(name, USES[uses[0].lower()] if uses else "")
    if isinstance(made, Refused):
        return refusal(made)
    code = f"MAILBOXID ({made.mailbox_id})" if made.mailbox_id else ""
    return Done("OK", "Create completed.", code)
