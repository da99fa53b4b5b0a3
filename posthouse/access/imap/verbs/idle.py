"""IDLE: changes as they happen.

Standards: RFC 2177.
"""

import asyncio

from posthouse.access.imap.connection import SessionEnded
from posthouse.access.imap.session import Done, ImapSession
from posthouse.access.imap.sync import tell_changes
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import untagged

NOTICE_INTERVAL = 120.0
"""Seconds after which an idling client hears something, so that no router forgets the connection."""


async def idle(session: ImapSession, command: Command) -> Done:
    """IDLE, to DONE."""
    command.cursor.end()
    connection = session.connection
    session.send(b"+ idling\r\n")
    await tell_changes(session, expunges=True)
    await connection.drain()
    client: asyncio.Task[bytes] | None = None
    try:
        client = asyncio.create_task(connection.line())
        while not client.done():
            await _wait(session, client)
        line = client.result()
    finally:
        if client is not None and not client.done():
            client.cancel()
            await asyncio.wait([client])
    if line.strip().upper() != b"DONE":
        raise ImapSyntaxError("Expected DONE")
    return Done("OK", "Idle completed.")


async def _wait(session: ImapSession, client: "asyncio.Task[bytes]") -> None:
    """Until the client says something, the mailbox changes, or a sign of life is due."""
    connection, selection = session.connection, session.selection
    if selection is None:
        await asyncio.wait([client], timeout=NOTICE_INTERVAL)
        changed = False
    else:
        mailbox = asyncio.create_task(selection.mailbox.wait(selection.modseq, NOTICE_INTERVAL))
        try:
            await asyncio.wait([client, mailbox], return_when=asyncio.FIRST_COMPLETED)
            changed = mailbox.done() and mailbox.result()
        finally:
            if not mailbox.done():
                mailbox.cancel()
                await asyncio.wait([mailbox])
    if client.done():
        return
    if changed:
        await tell_changes(session, expunges=True)
    else:
        session.send(untagged("OK", "Still here"))
    try:
        await connection.drain()
    except SessionEnded:
        client.cancel()
        raise
