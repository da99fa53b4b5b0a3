"""The native store: mail for every account, one SQLite file each, under mail_store_directory.

Any number of processes may serve any account: uids and modseqs are given inside BEGIN IMMEDIATE,
and a datagram wakes the sessions that wait in other processes. Deliveries that wait for one
account share one commit and one sync.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from posthouse.envelope.content import Content
from posthouse.mailbox.canonical import canonical
from posthouse.mailbox.index.account import OpenAccount
from posthouse.mailbox.index.delivery import deliver_draft, write_content
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.lanes import OPEN_FILES, THREADS, Lanes
from posthouse.mailbox.index.notices import NoticeBoard
from posthouse.mailbox.index.rows import AccountFile, QuotaLimits
from posthouse.mailbox.index.schema import open_database
from posthouse.mailbox.native.backing import NativeBacking
from posthouse.mailbox.native.content import ORPHAN_SECONDS, ROW_LIMIT, NativeDraft, NativeWriter, draft_of
from posthouse.mailbox.native.layout import (
    CONTENT,
    DATABASE,
    NOTICES,
    account_folder,
    fold_account,
    make_folder,
    remedy,
)
from posthouse.mailbox.native.ledger import Ledger
from posthouse.mailbox.native.recovery import recover
from posthouse.mailbox.native.rounds import DeliveryRounds
from posthouse.mailbox.store import AccountStore, Delivered, MailboxFault, Refused

_numbers = itertools.count(1)
"""Stores of this process."""


def no_limits(_account: str) -> QuotaLimits:
    """No quota for anyone."""
    return QuotaLimits()


def _refuse_remains(folder: Path, account: str) -> None:
    """Contents without a database are what is left of an account: a new, empty one would hide that. Those of the last
    day may belong to the first message of a new one. Raises MailboxFault."""
    database = folder / DATABASE
    try:
        if database.exists() and database.stat().st_size:
            return
        old = any(time.time() - entry.stat().st_mtime > ORPHAN_SECONDS for entry in os.scandir(folder / CONTENT))
    except FileNotFoundError:
        return
    if old:
        raise MailboxFault(f"{database} is missing or empty, but there are contents{remedy(account)}")


class NativeMailStore:
    """MailStore over a directory. One per process and event loop."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Callable[[str], QuotaLimits] = no_limits,
        threads: int = THREADS,
        open_files: int = OPEN_FILES,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """limits: asked now and then while an account's file is open; warn: told of what recovery could not do. Both in
        threads of the pool."""
        self._warn = warn
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self.notices = NoticeBoard(directory / NOTICES)
        ledger = Ledger(directory, f"{os.getpid()}-{next(_numbers)}")
        self._recovering = threading.Lock()
        self._recovered = False
        self._lanes = Lanes(
            self._open_file,
            self.notices.tell,
            threads=threads,
            open_files=open_files,
            rounds=DeliveryRounds(ledger, clock),
        )

    def _open_file(self, account: str) -> AccountFile:
        """In the pool: the account's database, made when it is not there."""
        self._recover()
        folder = account_folder(self._directory, account)
        try:
            make_folder(folder)
        except OSError as error:
            raise MailboxFault(str(error)) from error
        _refuse_remains(folder, account)
        try:
            connection = open_database(folder / DATABASE, account, "native")
        except MailboxFault as fault:
            if isinstance(fault.__cause__, apsw.CorruptError | apsw.NotADBError):
                raise MailboxFault(f"{fault}{remedy(account)}") from fault
            raise
        backing = NativeBacking(lambda: self.lane(account), self._lanes.pool)
        file = AccountFile(account, folder, connection, backing, self._limits, self._clock)
        _ = file.limits  # nobody works on an account whose limits cannot be had
        return file

    def _recover(self) -> None:
        """Once, and before any account is opened: what a loss of power took from accounts is brought back."""
        with self._recovering:
            if not self._recovered:
                for problem in recover(self._directory):
                    self._warn(problem)
                self._recovered = True

    def lane(self, account: str) -> Lane:
        """The account's lane."""
        return self._lanes.lane(fold_account(account))

    def new_content(self, account: str) -> NativeWriter:
        """Begin a message for this account."""
        return NativeWriter(account_folder(self._directory, account) / CONTENT, self._lanes.pool)

    def fingerprint(self, account: str, disk: str) -> object:
        """Sizes and times of the database and its WAL: cheaper than asking it."""
        database = account_folder(self._directory, account) / DATABASE
        marks = []
        for path in (database, f"{database}-wal"):
            try:
                found = os.stat(path)
            except OSError:
                marks.append((0, 0))
            else:
                marks.append((found.st_mtime_ns, found.st_size))
        return tuple(marks)

    async def bring_in(self, account: str) -> None:
        """Nothing waits elsewhere."""

    async def open(self, account: str) -> AccountStore | Refused:
        """Open for a session."""
        await self.lane(account).read(lambda _file: None)
        return OpenAccount(self, fold_account(account))

    async def deliver(
        self,
        account: str,
        content: Content,
        *,
        mailbox: str = "INBOX",
        flags: frozenset[str] = frozenset(),
        create: bool = False,
        sender: str = "",
        internal_date: float | None = None,
    ) -> Delivered | Refused:
        """Final delivery, sharing a commit with others to this account."""
        return await deliver_draft(
            self.lane(account),
            await self._draft(account, content),
            mailbox=mailbox,
            flags=flags,
            create=create,
            sender=sender,
            internal_date=internal_date,
        )

    async def _draft(self, account: str, content: Content) -> NativeDraft:
        if content.size <= ROW_LIMIT:
            body = await content.body.read()
            return draft_of(canonical(b"%b\r\n%b" % (content.header, body)))
        writer = self.new_content(account)
        await write_content(writer, content)
        return await writer.finish()

    async def close(self) -> None:
        """Finish, and let go of every file."""
        self.notices.close()
        await self._lanes.close()
