"""What the three stores on disk do differently, beneath the rows they share.

The calls run in a thread of the pool, inside the account's write transaction, which is also the
lock between our processes. Where messages are files that others may touch (Maildir++, mbox), the
disk is the truth: refresh() brings the rows up to it before anything else looks at them, and
every change is made on disk first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Protocol

from posthouse.mailbox.index.rows import AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.store import Refused, StoredContent


class StoredDraft(Protocol):
    """A finished content as the backing made it: see store.Draft."""

    @property
    def size(self) -> int:
        """Octets in canonical form."""

    @property
    def header_size(self) -> int:
        """Octets of the header with its empty line."""

    def abort(self) -> None:
        """Forget it; nothing after it was put."""


@dataclass(slots=True)
class Arrival:
    """A delivery that is to be put into a mailbox."""

    draft: StoredDraft
    flags: int
    keywords: str
    date: float


class Backing(Protocol):
    """One account's contents on disk."""

    kind: str
    disk_is_truth: bool
    """Whether others change the disk too: reads then refresh first, and need the write transaction."""
    has_modseq: bool
    has_folders: bool
    """False: INBOX is all there can be."""

    def refresh_folders(self, file: AccountFile) -> None:
        """Bring the mailbox table up to the disk."""

    def refresh(self, file: AccountFile, row: MailboxRow) -> None:
        """Bring one mailbox's rows up to the disk."""

    def put(
        self,
        file: AccountFile,
        row: MailboxRow,
        draft: StoredDraft,
        flags: int,
        keywords: str,
        date: float,
        sender: str,
    ) -> Incoming | Refused:
        """Bring a draft into a mailbox, durable but for the commit."""

    def put_together(self, file: AccountFile, arrivals: Sequence[Arrival]) -> list[Incoming] | None:
        """Bring several drafts into one mailbox in fewer statements; None where each must be put alone (and nothing was
        done). What fails can be undone by the transaction alone: the drafts are as they were."""

    def flags_changed(self, file: AccountFile, row: MailboxRow, message: MessageRow, flags: int, keywords: str) -> str:
        """Change flags on disk; the message's new `disk`."""

    def copy(
        self, file: AccountFile, source: MailboxRow, message: MessageRow, target: MailboxRow
    ) -> Incoming | Refused:
        """Put the same content into another mailbox."""

    def remove(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> None:
        """Take contents away."""

    def settle(self, file: AccountFile) -> None:
        """A batch of jobs is complete and will be committed: make files durable."""

    def release(self) -> None:
        """The batch is over, committed or not: let go of locks."""

    def flush(self, file: AccountFile, row: MailboxRow) -> None:
        """A session ends: write to the disk what only the rows know yet."""

    def make_folder(self, file: AccountFile, name: str) -> str | Refused:
        """A new mailbox's place: its `disk`."""

    def rename_folder(self, file: AccountFile, row: MailboxRow, new_name: str) -> str | Refused:
        """Its new `disk`."""

    def delete_folder(self, file: AccountFile, row: MailboxRow) -> Refused | None:
        """The messages were removed; the place goes too."""

    def contents(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> dict[int, StoredContent]:
        """Handles by uid; small contents may be read ahead."""

    def load(self, file: AccountFile, row: MailboxRow, message: MessageRow) -> bytes | mmap:
        """A whole content, for a scan in this thread."""

    def remedy(self, file: AccountFile) -> str:
        """What an operator does about a damaged database, for the log."""

    def close(self) -> None:
        """Let go of files."""
