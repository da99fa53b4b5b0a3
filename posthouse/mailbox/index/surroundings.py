"""What an open account and an open mailbox need of their store, and the look both begin with."""

from typing import Protocol

from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.notices import NoticeBoard
from posthouse.mailbox.index.rows import AccountFile, MailboxRow
from posthouse.mailbox.store import (
    ContentWriter,
    MailboxStatus,
    Refusal,
    Refused,
)

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

    async def bring_in(self, account: str) -> None:
        """Take in what waits for this account outside of the store, before a session looks for what is new."""


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
