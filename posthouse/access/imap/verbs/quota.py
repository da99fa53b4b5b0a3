"""GETQUOTA, GETQUOTAROOT, SETQUOTA: one root for the whole account.

Standards: RFC 9208; RFC 2087. STORAGE counts units of 1,024 octets.
"""

from posthouse.access.imap.session import Done, ImapSession
from posthouse.wire.imap.mailboxes import parse_mailbox
from posthouse.wire.imap.reader import Command
from posthouse.wire.imap.response import mailbox_name

ROOT = "User quota"


async def _quota(session: ImapSession) -> bytes:
    """`* QUOTA root (…)`, or b"" without any limit."""
    quota = await session.account.quota()
    pieces = []
    if quota.storage_limit:
        pieces.append(f"STORAGE {(quota.storage + 1023) // 1024} {quota.storage_limit // 1024}")
    if quota.message_limit:
        pieces.append(f"MESSAGE {quota.messages} {quota.message_limit}")
    return f'* QUOTA "{ROOT}" ({" ".join(pieces)})\r\n'.encode("ascii") if pieces else b""


async def getquotaroot(session: ImapSession, command: Command) -> Done:
    """GETQUOTAROOT."""
    name = parse_mailbox(command.cursor)
    if name not in await session.account.status([name]):
        return Done("NO", "Mailbox doesn't exist.", "NONEXISTENT")
    quota = await _quota(session)
    root = f' "{ROOT}"'.encode("ascii") if quota else b""
    session.send(b"* QUOTAROOT " + mailbox_name(name) + root + b"\r\n" + quota)
    return Done("OK", "Getquotaroot completed.")


async def getquota(session: ImapSession, command: Command) -> Done:
    """GETQUOTA."""
    command.cursor.space()
    root = command.cursor.text("quota root")
    command.cursor.end()
    quota = await _quota(session)
    if root != ROOT or not quota:
        return Done("NO", "Quota root doesn't exist.", "NONEXISTENT")
    session.send(quota)
    return Done("OK", "Getquota completed.")


async def setquota(session: ImapSession, command: Command) -> Done:
    """SETQUOTA: limits are the operator's."""
    return Done("NO", "Quota limits are set by the operator.", "NOPERM")
