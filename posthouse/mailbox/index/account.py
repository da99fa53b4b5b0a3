"""An account as a session opens it: the async face of its mailboxes' rows.

The same for every store on disk; each call is one job in the account's lane.

Standards: those of posthouse/mailbox/store.py.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from posthouse.mailbox.index import folders
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.open_mailbox import OpenMailbox
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.index.surroundings import Surroundings, count_recent, find, status_of
from posthouse.mailbox.names import spell_name
from posthouse.mailbox.store import (
    ContentWriter,
    Mailbox,
    MailboxInfo,
    MailboxStatus,
    Quota,
    Refused,
)

T = TypeVar("T")


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

        await self._surroundings.bring_in(self._account)
        return await self._lane.read(job)

    async def select(self, name: str, *, read_only: bool = False) -> Mailbox | Refused:
        """SELECT, EXAMINE."""
        spelled = spell_name(name)
        if isinstance(spelled, Refused):
            return folders.NO_MAILBOX

        def job(file: AccountFile) -> tuple[MailboxRow, list[str], bool] | Refused:
            row = find(file, spelled)
            if row is None:
                return folders.no_mailbox(file)
            words = file.connection.execute("SELECT name FROM keyword WHERE mailbox = ? ORDER BY folded", (row.id,))
            return row, [word for (word,) in words], file.backing.has_modseq

        await self._surroundings.bring_in(self._account)
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
