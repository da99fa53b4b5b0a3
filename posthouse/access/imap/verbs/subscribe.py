"""SUBSCRIBE and UNSUBSCRIBE.

Standards: RFC 3501 sections 6.3.6 and 6.3.7.
"""

from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.store import Refused
from posthouse.wire.imap.mailboxes import parse_mailbox
from posthouse.wire.imap.reader import Command


async def subscribe(session: ImapSession, command: Command) -> Done:
    """SUBSCRIBE: the name need not exist."""
    name = spell_name(parse_mailbox(command.cursor))
    if isinstance(name, Refused):
        return refusal(name)
    await session.account.subscribe([name], True)
    return Done("OK", "Subscribe completed.")


async def unsubscribe(session: ImapSession, command: Command) -> Done:
    """UNSUBSCRIBE."""
    name = spell_name(parse_mailbox(command.cursor))
    if isinstance(name, Refused):
        return refusal(name)
    await session.account.subscribe([name], False)
    return Done("OK", "Unsubscribe completed.")
