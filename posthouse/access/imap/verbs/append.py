"""APPEND: each message streams into the store; all of them become visible together.

Standards: RFC 3501 section 6.3.11; RFC 3502 (MULTIAPPEND); RFC 4315 section 3 (APPENDUID); RFC 7889 (APPENDLIMIT).
"""

from posthouse.access.imap.connection import CONTINUE, Connection
from posthouse.access.imap.session import Done, ImapSession, refusal
from posthouse.access.imap.verbs.store import known_flags
from posthouse.mailbox.store import Draft, Mailbox, MailboxFault, NewMessage, Refusal, Refused
from posthouse.wire.imap.append import MessageLiteral
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Broken
from posthouse.wire.imap.sequence import format_set

MESSAGE_LIMIT = 100
"""Messages of one APPEND: the small ones wait in memory until the last has come."""


async def append(session: ImapSession, message: MessageLiteral) -> Done:
    """APPEND, from its first message's literal on."""
    # A fault of the store, too, is told only behind the literal: what follows it must not be read as a command.
    opened: Mailbox | None = None
    refused: Done | None = None
    try:
        found = await session.account.select(message.mailbox)
        if isinstance(found, Refused):
            refused = refusal(found, try_create=True)
        else:
            opened = found
    except MailboxFault as fault:
        refused = _fault(session, fault)
    drafts: list[NewMessage] = []
    kept = False
    size = 0
    try:
        while True:
            size += message.size
            if refused is None:
                try:
                    refused = await _refusal(session, message, size, len(drafts))
                except MailboxFault as fault:
                    refused = _fault(session, fault)
            if refused is not None:
                if not session.connection.reader.refuse_message(message):
                    return refused
            else:
                taken = await _take(session, message)
                if isinstance(taken, Done):
                    refused = taken
                else:
                    drafts.append(NewMessage(taken, known_flags(message.flags), message.internal_date))
            event = await session.connection.event()
            if isinstance(event, Broken):
                if refused is None:
                    raise ImapSyntaxError(event.text)
                return refused
            if not isinstance(event, MessageLiteral):
                break
            message = event
        if refused is not None:
            return refused
        assert opened is not None
        kept = True  # append() takes care of them whatever comes
        return await _append(opened, drafts)
    finally:
        if not kept:
            for draft in drafts:
                draft.draft.abort()


def _fault(session: ImapSession, fault: MailboxFault) -> Done:
    session.log.warning(f"{session.namaddr}: APPEND: {fault}")
    return Done("NO", "The message could not be stored.", "UNAVAILABLE")


async def _append(mailbox: Mailbox, drafts: list[NewMessage]) -> Done:
    appended = await mailbox.append(drafts)
    if isinstance(appended, Refused):
        return refusal(appended, try_create=True)
    return Done("OK", "Append completed.", f"APPENDUID {appended.uid_validity} {format_set(appended.uids).decode()}")


async def _refusal(session: ImapSession, message: MessageLiteral, size: int, count: int) -> Done | None:
    """Why a message is not even taken."""
    limit = session.service.settings.imapd_append_limit
    if not message.size:
        return Done("NO", "Append cancelled: the message is empty.")  # RFC 3502 section 6.3.11
    if limit and message.size > limit:
        return Done("NO", f"Message size exceeds the limit of {limit} octets.", "TOOBIG")
    if count >= MESSAGE_LIMIT:
        return Done("NO", f"An APPEND takes at most {MESSAGE_LIMIT} messages.", "LIMIT")
    quota = await session.account.quota()
    if (quota.storage_limit and quota.storage + size > quota.storage_limit) or (
        quota.message_limit and quota.messages + count >= quota.message_limit
    ):
        return Done("NO", "Quota exceeded (mailbox for user is full).", Refusal.OVER_QUOTA.value)
    return None


async def _take(session: ImapSession, message: MessageLiteral) -> Draft | Done:
    """Stream one message. A fault of the store becomes the answer; the rest of the message is passed over."""
    connection: Connection = session.connection
    reader = connection.reader
    if message.synchronising:
        connection.send(CONTINUE)
    writer = session.account.new_content()
    finished = False
    try:
        while reader.message_left:
            chunk = reader.take_message()
            if not chunk:
                await connection.receive()
                continue
            writer.write(chunk)
            await writer.room()
        draft = await writer.finish()
        finished = True
        return draft
    except MailboxFault as fault:
        reader.refuse_message(message)
        return _fault(session, fault)
    finally:
        if not finished:
            writer.abort()
