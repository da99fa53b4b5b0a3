"""A MailStore whose messages are files that others may touch too: Maildir++ and mbox.

It runs under the account's own identity (a keeper's child, or one mail user for all): every file
is made with the rights of whoever runs it. Each account has an index beside its mail: uids,
modseqs, tombstones. Where the index is lost, a new one is made, with new uid_validities.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.mailbox.index.account import OpenAccount
from posthouse.mailbox.index.backing import Backing
from posthouse.mailbox.index.delivery import deliver_draft, write_content
from posthouse.mailbox.index.files import FileWriter
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.lanes import OPEN_FILES, THREADS, Lanes
from posthouse.mailbox.index.notices import NoticeBoard
from posthouse.mailbox.index.rows import AccountFile, QuotaLimits
from posthouse.mailbox.index.schema import open_database
from posthouse.mailbox.store import AccountStore, Delivered, MailboxFault, Refused


class Place(Protocol):
    """Where an account's mail and its index lie. Made by the kind of store for one account."""

    @property
    def index(self) -> Path:
        """The database's file; its folder exists or is made by prepare()."""

    def prepare(self) -> None:
        """Make what must be there. In the pool."""

    def backing(self, pool: Executor) -> Backing:
        """What works on the files."""

    def writer(self, pool: Executor) -> FileWriter:
        """A writer whose drafts the backing can put."""

    def watched(self, disk: str) -> tuple[Path, ...]:
        """Files and folders whose time changes when mail comes to the mailbox at `disk`."""


class DiskMailStore:
    """MailStore of a kind of Place."""

    def __init__(
        self,
        place: Callable[[str], Place],
        *,
        notices: Path | None = None,
        limits: Callable[[str], QuotaLimits] = lambda _account: QuotaLimits(),
        threads: int = THREADS,
        open_files: int = OPEN_FILES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """place: an account's, without touching the disk. notices: the folder of sockets of processes that share it."""
        self._place = place
        self._limits = limits
        self._clock = clock
        self.notices = NoticeBoard(notices)
        self._lanes = Lanes(self._open_file, self.notices.tell, threads=threads, open_files=open_files)

    def _open_file(self, account: str) -> AccountFile:
        place = self._place(account)
        backing = place.backing(self._lanes.pool)
        try:
            place.prepare()
        except OSError as error:
            raise MailboxFault(str(error)) from error
        connection = open_database(place.index, account, backing.kind)
        file = AccountFile(account, place.index.parent, connection, backing, self._limits, self._clock)
        _ = file.limits  # nobody works on an account whose limits cannot be had
        return file

    def lane(self, account: str) -> Lane:
        """The account's lane."""
        return self._lanes.lane(account)

    def new_content(self, account: str) -> FileWriter:
        """Begin a message for this account."""
        return self._place(account).writer(self._lanes.pool)

    def fingerprint(self, account: str, disk: str) -> object:
        """Times and sizes of what changes with mail."""
        place = self._place(account)
        marks = []
        for path in (place.index, Path(f"{place.index}-wal"), *place.watched(disk)):
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
        return OpenAccount(self, account)

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
        """Final delivery."""
        await self.lane(account).read(lambda _file: None)  # the folders must be there before a draft is written
        writer = self.new_content(account)
        await write_content(writer, content)
        return await deliver_draft(
            self.lane(account),
            await writer.finish(),
            mailbox=mailbox,
            flags=flags,
            create=create,
            sender=sender,
            internal_date=internal_date,
        )

    async def close(self) -> None:
        """Finish, and let go of every file."""
        self.notices.close()
        await self._lanes.close()
