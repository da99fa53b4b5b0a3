"""A mailbox as a session opens it: the async face of its rows.

The same for every store on disk; what differs lies in the Backing. Nothing here holds a
connection: each call is one job in the account's lane.

Standards: those of posthouse/mailbox/store.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Literal, TypeVar, cast

from posthouse.mailbox.flags import encode_flags
from posthouse.mailbox.index import folders, messages
from posthouse.mailbox.index.backing import StoredDraft
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.index.structures import load_structures
from posthouse.mailbox.index.surroundings import (
    GONE,
    NOT_WRITABLE,
    OVER_QUOTA,
    Surroundings,
    count_recent,
    find,
    status_of,
)
from posthouse.mailbox.index.transfer import transfer
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.store import (
    SYSTEM_FLAGS,
    Appended,
    Changes,
    Copied,
    Expunged,
    FlagsStored,
    MailboxFault,
    MailboxStatus,
    MessageSummary,
    NewMessage,
    Refused,
    StoredContent,
)
from posthouse.message.structure import Part

T = TypeVar("T")

SUMMARY_PAGE = 2000
# Octets of headers in one page.
HEADER_PAGE = 1 << 20
# How long a waiting session trusts that a notice would have come: half of what wait() promises.
COMPARE_SECONDS = 15.0


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

    async def uids(self, present: frozenset[str] = frozenset(), absent: frozenset[str] = frozenset()) -> Sequence[int]:
        """Uids, ascending."""
        wanted, looked_at = encode_flags(present)[0], encode_flags(present | absent)[0]
        query = "SELECT uid FROM message WHERE mailbox = ? AND flags & ? = ? ORDER BY uid"

        def job(file: AccountFile, row: MailboxRow) -> list[int]:
            return [uid for (uid,) in file.connection.execute(query, (row.id, looked_at, wanted))]

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
        return await self._read(lambda file, row: file.summaries(row.id, uids, after, SUMMARY_PAGE), [])

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
                try:
                    headers.append((uid, await content.read(0, content.header_size)))
                except MailboxFault:
                    continue  # expunged meanwhile, or damaged: the others' headers are there
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
                return folders.no_mailbox(file)
            return transfer(file, row, uids, target, move=move)

        return await self._surroundings.lane(self._account).write(job)

    async def changes(self, since: int) -> Changes:
        """What happened."""
        await self._surroundings.bring_in(self._account)
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
                await self._surroundings.bring_in(self._account)
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
