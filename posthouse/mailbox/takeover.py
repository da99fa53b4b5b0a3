"""Carrying a spool file into the native store, as courses describe what IMAP does with /var/mail.

Under the spool's locks: every message not yet taken gets a row, and where it came from (device,
inode, offset, digest) goes into the same transaction; after the commit the spool is emptied. A
crash in between leaves a spool whose messages are known as taken: the next try imports none twice
and empties it. What is no mbox is left alone.

What was taken is known only until the spool is empty: a spool that somebody restores from a copy is
new mail, all of it.

It runs where both the spool and the store may be written.
"""

import asyncio
import mmap
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import apsw

from posthouse.mailbox.canonical import canonical
from posthouse.mailbox.index.account import OpenAccount
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.messages import insert
from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.mbox.backing import from_line_date
from posthouse.mailbox.mbox.format import Found, messages_of, raw_content, read_status
from posthouse.mailbox.mbox.locks import LockRules, MboxLock, lock_mbox
from posthouse.mailbox.native.content import ROW_LIMIT, NativeDraft, NativeWriter, draft_of
from posthouse.mailbox.native.layout import CONTENT, fold_account, make_folder, sync_folder
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import AccountStore, MailboxFault, Refused


@dataclass(frozen=True, slots=True)
class Takeover:
    """What take_over() did."""

    taken: int
    known: int
    """Messages that an earlier try had taken already."""


async def take_over(store: NativeMailStore, account: str, spool: Path, rules: LockRules) -> Takeover:
    """Carry everything in the spool into the account's INBOX. Raises MailboxFault; then the spool is as it was."""

    def job(file: AccountFile) -> Takeover:
        lock = lock_mbox(str(spool), rules, create=False) if spool.exists() else None
        if lock is None:
            return Takeover(0, 0)
        try:
            done = _import(file, lock, str(spool))
        except BaseException:
            lock.release()
            raise
        file.undo.append(lock.release)
        file.after_commit.append(lambda: _empty(file, lock, str(spool)))
        return done

    return await store.lane(account).write(job)


def _import(file: AccountFile, lock: MboxLock, path: str) -> Takeover:
    status = os.fstat(lock.descriptor)
    if not status.st_size:
        return Takeover(0, 0)
    row = file.mailbox("INBOX")
    assert row is not None
    taken = known = 0
    with mmap.mmap(lock.descriptor, status.st_size, access=mmap.ACCESS_READ) as data:
        found = list(messages_of(data))
        if not found and data[:].strip():
            raise MailboxFault(f"{path}: not an mbox file")
        for each in found:
            key = (path, status.st_dev, status.st_ino, each.start)
            digest = each.digest.encode()
            query = "SELECT digest FROM taken WHERE path = ? AND device = ? AND inode = ? AND start = ?"
            if each.internal or file.connection.execute(query, key).get == digest:
                known += not each.internal
                continue
            (uid,) = _take(file, data, each)
            file.connection.execute(
                "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, each.end - each.start, digest, uid),
            )
            taken += 1
    return Takeover(taken, known)


def _take(file: AccountFile, data: mmap.mmap, found: Found) -> list[int]:
    """One message into INBOX; mail that is there already is above any quota."""
    row = file.mailbox("INBOX")
    assert row is not None
    draft = draft_of(canonical(raw_content(data, found)))
    if draft.size > ROW_LIMIT:
        draft = _to_file(file.folder / CONTENT, draft)
        file.undo.append(draft.abort)
    bits, keywords = read_status(found.status)
    date = from_line_date(data[found.start : found.content]) or file.clock()
    put = file.backing.put(file, row, draft, bits, keywords, date, "")
    uids = put if isinstance(put, Refused) else insert(file, row, [put])
    if isinstance(uids, Refused):
        raise MailboxFault(uids.text)
    return uids


def _to_file(folder: Path, draft: NativeDraft) -> NativeDraft:
    assert draft.data is not None
    make_folder(folder)
    path = folder / secrets.token_hex(16)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(draft.data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder)
    return NativeDraft(draft.size, draft.header_size, draft.data[: draft.header_size], path)


def _empty(file: AccountFile, lock: MboxLock, path: str) -> None:
    """All is committed: the spool goes empty. When that fails, what is there stays known as taken."""
    try:
        os.ftruncate(lock.descriptor, 0)
        os.fsync(lock.descriptor)
        file.connection.execute("DELETE FROM taken WHERE path = ?", (path,))
    except (OSError, apsw.Error):
        return
    finally:
        lock.release()


class TakingStore:
    """MailStore of one account: the native one, which takes over the account's spool when the account is opened and
    whenever a session looks for what is new."""

    def __init__(self, store: NativeMailStore, spool: Path, rules: LockRules) -> None:
        self._store = store
        self._spool = spool
        self._rules = rules
        self._busy = asyncio.Lock()
        """One at a time: two in one batch of the lane would wait for each other's lock."""
        self.deliver = store.deliver
        self.notices = store.notices

    async def open(self, account: str) -> AccountStore | Refused:
        """Take over, then open. Raises MailboxFault when the spool cannot be taken."""
        await self._take(account, self._rules)
        opened = await self._store.open(account)
        return opened if isinstance(opened, Refused) else OpenAccount(self, fold_account(account))

    async def _take(self, account: str, rules: LockRules) -> None:
        async with self._busy:
            if self._mark()[1]:
                await take_over(self._store, account, self._spool, rules)

    def _mark(self) -> tuple[int, int]:
        """Time and size of the spool."""
        try:
            found = os.stat(self._spool)
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_size

    def lane(self, account: str) -> Lane:
        """The account's lane."""
        return self._store.lane(account)

    def new_content(self, account: str) -> NativeWriter:
        """Begin a message for this account."""
        return self._store.new_content(account)

    def fingerprint(self, account: str, disk: str) -> object:
        """That of the store, and the spool's."""
        return self._store.fingerprint(account, disk), self._mark()

    async def bring_in(self, account: str) -> None:
        """Take over what has come. Where somebody else holds the spool just now, the next look does it: no command
        waits for it, and none fails. (Opening the account tells what is wrong with a spool.)"""
        if not self._mark()[1]:
            return
        try:
            await self._take(account, replace(self._rules, attempts=1))
        except MailboxFault:
            return

    async def close(self) -> None:
        """The native store is closed by who made it."""
