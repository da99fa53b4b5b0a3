"""An account and a mailbox as a session opens them: the async face of the rows.

The same for every store on disk; what differs lies in the Backing. Nothing here holds a
connection: each call is one job in the account's lane.

Standards: those of posthouse/mailbox/store.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeVar, cast

from posthouse.mailbox.flags import encode_flags
from posthouse.mailbox.index import folders, messages
from posthouse.mailbox.index.backing import StoredDraft
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.notices import NoticeBoard
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.index.structures import load_structures
from posthouse.mailbox.index.transfer import transfer
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.store import (
    SYSTEM_FLAGS,
    Appended,
    Changes,
    ContentWriter,
    Copied,
    Expunged,
    FlagsStored,
    Mailbox,
    MailboxFault,
    MailboxInfo,
    MailboxStatus,
    MessageSummary,
    NewMessage,
    Quota,
    Refusal,
    Refused,
    StoredContent,
)
from posthouse.message.structure import Part

T = TypeVar("T")

SUMMARY_PAGE = 500
# Octets of headers in one page.
HEADER_PAGE = 1 << 20
# How long a waiting session trusts that a notice would have come.
COMPARE_SECONDS = 30.0

GONE = Refused(Refusal.NONEXISTENT, "Mailbox was deleted under you")
NOT_WRITABLE = Refused(Refusal.READ_ONLY, "Mailbox is read-only")
OVER_QUOTA = Refused(Refusal.OVER_QUOTA, "Quota exceeded (mailbox for user is full)")


class Surroundings(Protocol):
    """What an account needs of its store."""

    notices: NoticeBoard

    def lane(self, account: str) -> Lane:
        """The account's lane."""

    def new_content(self, account: str) -> ContentWriter:
        """A writer whose draft this account's backing can put."""

    def fingerprint(self, account: str, disk: str) -> object:
        """Something cheap that differs when the account (or the mailbox at `disk`) may have changed."""


def find(file: AccountFile, name: str) -> MailboxRow | None:
    """A selectable mailbox by name, its rows brought up to the disk."""
    if file.backing.disk_is_truth:
        file.backing.refresh_folders(file)
    row = file.mailbox(name)
    if row is None or not row.selectable:
        return None
    if file.backing.disk_is_truth:
        file.backing.refresh(file, row)
        return file.mailbox_by_id(row.id)
    return row


def status_of(row: MailboxRow, recent: int) -> MailboxStatus:
    """A row's counts."""
    return MailboxStatus(
        row.name,
        row.messages,
        recent,
        row.unseen,
        row.deleted,
        row.uid_next,
        row.uid_validity,
        row.modseq,
        row.size,
        row.deleted_size,
        row.mailbox_id,
    )


def count_recent(file: AccountFile, row: MailboxRow) -> int:
    """Messages that no session was told of as \\Recent."""
    if row.first_recent >= row.uid_next:
        return 0
    query = "SELECT count(*) FROM message WHERE mailbox = ? AND uid >= ?"
    count = file.connection.execute(query, (row.id, row.first_recent)).get
    assert isinstance(count, int)
    return count


class OpenAccount:
    """AccountStore for stores on disk."""

    def __init__(self, surroundings: Surroundings, account: str) -> None:
        self._surroundings = surroundings
        self._account = account

    @property
    def account(self) -> str:
        """Its login."""
        return self._account

    @property
    def _lane(self) -> Lane:
        return self._surroundings.lane(self._account)

    async def _folders(self, job: Callable[[AccountFile], T]) -> T:
        def run(file: AccountFile) -> T:
            if file.backing.disk_is_truth:
                file.backing.refresh_folders(file)
            return job(file)

        return await self._lane.write(run)

    async def mailboxes(self) -> Sequence[MailboxInfo]:
        """Every name, INBOX first."""

        def job(file: AccountFile) -> list[MailboxInfo]:
            if file.backing.disk_is_truth:
                file.backing.refresh_folders(file)
            return folders.list_mailboxes(file)

        return await self._lane.read(job)

    async def subscribe(self, names: Sequence[str], subscribed: bool) -> None:
        """Keep or drop names; what can be no name is passed over."""
        spelled = [name for name in map(spell_name, names) if isinstance(name, str)]
        await self._lane.write(lambda file: folders.subscribe(file, spelled, subscribed))

    async def create(self, name: str, special_use: str = "") -> MailboxInfo | Refused:
        """CREATE."""
        spelled = spell_name(name)
        if isinstance(spelled, Refused):
            return spelled

        def job(file: AccountFile) -> MailboxInfo | Refused:
            made = folders.create(file, spelled, special_use)
            if isinstance(made, Refused):
                return made
            return next(info for info in folders.list_mailboxes(file) if info.name == spelled)

        return await self._folders(job)

    async def delete(self, name: str) -> Refused | None:
        """DELETE."""
        spelled = spell_name(name)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX
        return await self._folders(lambda file: folders.delete(file, spelled))

    async def rename(self, name: str, new_name: str) -> Refused | None:
        """RENAME."""
        spelled, wanted = spell_name(name), spell_name(new_name)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX
        if isinstance(wanted, Refused):
            return wanted

        def job(file: AccountFile) -> Refused | None:
            find(file, spelled)  # INBOX's messages move: they must be known first
            return folders.rename(file, spelled, wanted)

        return await self._folders(job)

    async def set_special_use(self, name: str, special_use: str) -> Refused | None:
        """Give or take a use."""
        spelled = spell_name(name)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX
        return await self._lane.write(lambda file: folders.set_special_use(file, spelled, special_use))

    async def status(self, names: Sequence[str]) -> dict[str, MailboxStatus]:
        """STATUS of many."""

        def job(file: AccountFile) -> dict[str, MailboxStatus]:
            found = {}
            for name in names:
                spelled = spell_name(name)
                row = find(file, spelled) if isinstance(spelled, str) else None
                if row is not None:
                    found[name] = status_of(row, count_recent(file, row))
            return found

        return await self._lane.read(job)

    async def select(self, name: str, *, read_only: bool = False) -> Mailbox | Refused:
        """SELECT, EXAMINE."""
        spelled = spell_name(name)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX

        def job(file: AccountFile) -> tuple[MailboxRow, list[str], bool] | Refused:
            row = find(file, spelled)
            if row is None:
                return folders.NO_MAILBOX
            words = file.connection.execute("SELECT name FROM keyword WHERE mailbox = ? ORDER BY folded", (row.id,))
            return row, [word for (word,) in words], file.backing.has_modseq

        found = await self._lane.read(job)
        if isinstance(found, Refused):
            return found
        row, words, has_modseq = found
        return OpenMailbox(self._surroundings, self._account, row, words, read_only=read_only, has_modseq=has_modseq)

    def new_content(self) -> ContentWriter:
        """Begin a message."""
        return self._surroundings.new_content(self._account)

    async def quota(self) -> Quota:
        """Used and allowed."""

        def job(file: AccountFile) -> Quota:
            storage, count = file.used()
            return Quota(storage, file.limits.storage, count, file.limits.messages)

        return await self._lane.read(job)

    async def close(self) -> None:
        """Nothing is held; the lane's file closes when others need its place."""


class OpenMailbox:
    """Mailbox for stores on disk."""

    def __init__(
        self,
        surroundings: Surroundings,
        account: str,
        row: MailboxRow,
        keywords: Sequence[str],
        *,
        read_only: bool,
        has_modseq: bool,
    ) -> None:
        self._surroundings = surroundings
        self._account = account
        self._id = row.id
        self._row = row
        self._keywords = keywords
        self._read_only = read_only
        self._has_modseq = has_modseq

    @property
    def name(self) -> str:
        """As opened."""
        return self._row.name

    @property
    def read_only(self) -> bool:
        """EXAMINE."""
        return self._read_only

    @property
    def uid_validity(self) -> int:
        """Of this mailbox."""
        return self._row.uid_validity

    @property
    def mailbox_id(self) -> str:
        """RFC 8474."""
        return self._row.mailbox_id

    @property
    def permanent_flags(self) -> Sequence[str]:
        """PERMANENTFLAGS, as when it was opened."""
        return () if self._read_only else (*SYSTEM_FLAGS, *self._keywords, "\\*")

    @property
    def has_modseq(self) -> bool:
        """Whether modseqs last."""
        return self._has_modseq

    def _current(self, file: AccountFile) -> MailboxRow | None:
        row = file.mailbox_by_id(self._id)
        if row is None or not row.selectable or row.uid_validity != self._row.uid_validity:
            return None
        if file.backing.disk_is_truth:
            file.backing.refresh(file, row)
            return file.mailbox_by_id(self._id)
        return row

    async def _read(self, job: Callable[[AccountFile, MailboxRow], T], gone: T) -> T:
        def run(file: AccountFile) -> T:
            row = self._current(file)
            return gone if row is None else job(file, row)

        return await self._surroundings.lane(self._account).read(run)

    async def _write(
        self, job: Callable[[AccountFile, MailboxRow], T | Refused], cleanup: Callable[[], None] | None = None
    ) -> T | Refused:
        if self._read_only:
            if cleanup is not None:
                cleanup()
            return NOT_WRITABLE

        def run(file: AccountFile) -> T | Refused:
            row = self._current(file)
            if row is None:
                return GONE
            return job(file, row)

        return await self._surroundings.lane(self._account).write(run, cleanup)

    async def status(self) -> MailboxStatus:
        """Counts now."""
        empty = MailboxStatus(self.name, 0, 0, 0, 0, 1, self.uid_validity, 1, 0, 0, self.mailbox_id)
        return await self._read(lambda file, row: status_of(row, count_recent(file, row)), empty)

    async def uids(self) -> Sequence[int]:
        """Every uid, ascending."""
        query = "SELECT uid FROM message WHERE mailbox = ? ORDER BY uid"

        def job(file: AccountFile, row: MailboxRow) -> list[int]:
            return [uid for (uid,) in file.connection.execute(query, (row.id,))]

        return await self._read(job, [])

    async def take_recent(self) -> int:
        """The first \\Recent uid."""

        def take(file: AccountFile, row: MailboxRow) -> int | Refused:
            first = row.first_recent
            if first != row.uid_next:
                row.first_recent = row.uid_next
                file.save(row)
            return first

        if self._read_only:
            return await self._read(lambda _file, row: row.first_recent, 1)
        taken = await self._write(take)
        return 1 if isinstance(taken, Refused) else taken

    async def summaries(self, uids: Iterable[int] | None = None) -> AsyncIterator[Sequence[MessageSummary]]:
        """Rows in pages, each read by itself."""
        if uids is not None:
            for page in messages.pages(uids):
                yield await self._page(page, 0)
            return
        after = 0
        while True:
            rows = await self._page(None, after)
            if rows:
                yield rows
                after = rows[-1].uid
            if len(rows) < SUMMARY_PAGE:
                return

    async def _page(self, uids: list[int] | None, after: int) -> list[MessageSummary]:
        def job(file: AccountFile, row: MailboxRow) -> list[MessageSummary]:
            return [each.summary() for each in file.messages(row.id, uids, after, SUMMARY_PAGE)]

        return await self._read(job, [])

    async def headers(self, uids: Iterable[int]) -> AsyncIterator[Sequence[tuple[int, bytes]]]:
        """Headers in pages."""
        for page in messages.pages(uids):
            found = await self.contents(page)
            headers: list[tuple[int, bytes]] = []
            size = 0
            for uid in page:
                content = found.get(uid)
                if content is None:
                    continue
                headers.append((uid, await content.read(0, content.header_size)))
                size += content.header_size
                if size > HEADER_PAGE:
                    yield headers
                    headers, size = [], 0
            if headers:
                yield headers

    async def structures(self, uids: Sequence[int]) -> dict[int, Part]:
        """MIME structures."""
        return await load_structures(self._surroundings.lane(self._account), self._id, uids)

    async def contents(self, uids: Sequence[int]) -> dict[int, StoredContent]:
        """Handles."""

        def job(file: AccountFile, row: MailboxRow) -> dict[int, StoredContent]:
            found: dict[int, StoredContent] = {}
            for page in messages.pages(uids):
                found.update(file.backing.contents(file, row, file.messages(row.id, page)))
            return found

        return await self._read(job, {})

    async def append(self, new: Sequence[NewMessage]) -> Appended | Refused:
        """All or none."""
        drafts = [cast(StoredDraft, message.draft) for message in new]

        def job(file: AccountFile, row: MailboxRow) -> Appended | Refused:
            if not file.fits(sum(draft.size for draft in drafts), len(drafts)):
                return OVER_QUOTA
            incoming = []
            for message, draft in zip(new, drafts, strict=True):
                bits, keywords = encode_flags(message.flags)
                date = file.clock() if message.internal_date is None else message.internal_date
                put = file.backing.put(file, row, draft, bits, keywords, date, "")
                if isinstance(put, Refused):
                    return put
                incoming.append(put)
            uids = messages.insert(file, row, incoming)
            return uids if isinstance(uids, Refused) else Appended(row.uid_validity, uids)

        def cleanup() -> None:
            for draft in drafts:
                draft.abort()  # nothing to those that were put and committed

        return await self._write(job, cleanup)

    async def store_flags(
        self,
        uids: Iterable[int],
        mode: Literal["add", "remove", "replace"],
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagsStored | Refused:
        """STORE."""
        wanted = list(uids)
        return await self._write(
            lambda file, row: messages.store_flags(file, row, wanted, mode, flags, unchanged_since)
        )

    async def expunge(self, uids: Iterable[int] | None = None) -> Expunged | Refused:
        """EXPUNGE, UID EXPUNGE."""
        return await self._remove(None if uids is None else list(uids), only_deleted=True)

    async def remove(self, uids: Iterable[int]) -> Expunged | Refused:
        """Remove whatever the flags."""
        return await self._remove(list(uids), only_deleted=False)

    async def _remove(self, uids: list[int] | None, *, only_deleted: bool) -> Expunged | Refused:
        def job(file: AccountFile, row: MailboxRow) -> Expunged | Refused:
            return Expunged(messages.expunge(file, row, uids, only_deleted), row.modseq)

        return await self._write(job)

    async def copy(self, uids: Iterable[int], destination: str) -> Copied | Refused:
        """COPY. A mailbox that is only looked at may be copied from."""
        return await self._transfer(list(uids), destination, move=False)

    async def move(self, uids: Iterable[int], destination: str) -> Copied | Refused:
        """MOVE."""
        if self._read_only:
            return NOT_WRITABLE
        return await self._transfer(list(uids), destination, move=True)

    async def _transfer(self, uids: list[int], destination: str, *, move: bool) -> Copied | Refused:
        spelled = spell_name(destination)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX

        def job(file: AccountFile) -> Copied | Refused:
            row = self._current(file)
            if row is None:
                return GONE
            target = find(file, spelled)
            if target is None:
                return folders.NO_MAILBOX
            return transfer(file, row, uids, target, move=move)

        return await self._surroundings.lane(self._account).write(job)

    async def changes(self, since: int) -> Changes:
        """What happened."""
        gone = Changes(since, self._row.uid_next, (), (), gone=True)
        return await self._read(lambda file, row: messages.changes(file, row, since), gone)

    async def wait(self, since: int, timeout: float) -> bool:
        """Wait for more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        event = self._surroundings.notices.join(self._account)
        try:
            seen: object = None
            while True:
                event.clear()
                now = self._surroundings.fingerprint(self._account, self._row.disk)
                if seen is None or now != seen:
                    seen = now
                    if await self._modseq() != since:
                        return True
                left = deadline - loop.time()
                if left <= 0:
                    return False
                try:
                    async with asyncio.timeout(min(left, COMPARE_SECONDS)):
                        await event.wait()
                except TimeoutError:
                    continue
                seen = None
        finally:
            self._surroundings.notices.leave(self._account, event)

    async def _modseq(self) -> int:
        """The highest modseq; -1 when the mailbox is gone or cannot be read (whoever waits then finds out)."""
        try:
            return await self._read(lambda _file, row: row.modseq, -1)
        except MailboxFault:
            return -1

    async def close(self) -> None:
        """Write what only the rows know to the disk, where it belongs there (mbox's Status fields)."""

        def job(file: AccountFile) -> None:
            row = self._current(file)
            if row is not None and file.backing.disk_is_truth:
                file.backing.flush(file, row)

        if not self._read_only:
            await self._surroundings.lane(self._account).read(job)  # in a transaction where there is a disk to look at
