"""The native store beneath the rows: contents in the account's own database and files.

A content has a number that is never given again; copies share it. What expunge leaves of a
large content is its file: it is named in dead_file in the same transaction and unlinked after
the commit, so that a crash between the two leaves a note of it.
"""

import mmap
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import apsw

from posthouse.host.many_rows import insert_rows
from posthouse.mailbox.index.backing import Arrival, StoredDraft
from posthouse.mailbox.index.lane import Lane
from posthouse.mailbox.index.rows import AccountFile, Incoming, MailboxRow, MessageRow
from posthouse.mailbox.native.content import FileContent, LateContent, NativeDraft, RowContent
from posthouse.mailbox.native.layout import CONTENT, remedy
from posthouse.mailbox.store import MailboxFault, Refused, StoredContent

# Octets read ahead by one contents() call.
READ_AHEAD = 1 << 20

# A file's name comes with the header; of a content that lies in its row the octets come only when asked for.
_CONTENT = "SELECT file, CASE WHEN file IS NOT NULL OR ? THEN data END FROM content WHERE id = ?"
GONE = (None, None)


class NativeBacking:
    """See index/backing.py."""

    kind = "native"
    disk_is_truth = False
    has_modseq = True
    has_folders = True

    def __init__(self, lane: Callable[[], Lane], pool: Executor) -> None:
        self._lane = lane
        self._pool = pool

    def refresh_folders(self, file: AccountFile) -> None:
        """Nobody else writes here."""

    def refresh(self, file: AccountFile, row: MailboxRow) -> None:
        """Nobody else writes here."""

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
        """A content row."""
        assert isinstance(draft, NativeDraft)
        number = file.next_content()
        name = draft.path.name if draft.path is not None else None
        file.connection.execute("INSERT INTO content VALUES (?, ?, ?)", (number, name, draft.data))
        if name is not None:
            file.after_commit.append(draft.keep)
        return Incoming(number, "", flags, keywords, date, draft.size, draft.header_size)

    def put_together(self, file: AccountFile, arrivals: Sequence[Arrival]) -> list[Incoming] | None:
        """Content rows in one statement."""
        rows: list[tuple[int, str | None, bytes | None]] = []
        found = []
        for arrival in arrivals:
            draft = arrival.draft
            assert isinstance(draft, NativeDraft)
            number = file.next_content()
            name = draft.path.name if draft.path is not None else None
            rows.append((number, name, draft.data))
            if name is not None:
                file.after_commit.append(draft.keep)
            found.append(
                Incoming(number, "", arrival.flags, arrival.keywords, arrival.date, draft.size, draft.header_size)
            )
        insert_rows(file.connection, "INSERT INTO content", rows)
        return found

    def flags_changed(self, file: AccountFile, row: MailboxRow, message: MessageRow, flags: int, keywords: str) -> str:
        """Rows are all there is."""
        return ""

    def copy(
        self, file: AccountFile, source: MailboxRow, message: MessageRow, target: MailboxRow
    ) -> Incoming | Refused:
        """One more use of the content."""
        file.connection.execute(
            "INSERT INTO shared VALUES (?, 2) ON CONFLICT (content) DO UPDATE SET uses = uses + 1", (message.content,)
        )
        return Incoming(
            message.content,
            "",
            message.flags,
            message.keywords,
            message.internal_date,
            message.size,
            message.header_size,
        )

    def remove(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> None:
        """One use less; the last takes the content along."""
        connection = file.connection
        for message in messages:
            uses = connection.execute("SELECT uses FROM shared WHERE content = ?", (message.content,)).get
            if uses is not None:
                if uses > 2:
                    connection.execute("UPDATE shared SET uses = uses - 1 WHERE content = ?", (message.content,))
                else:
                    connection.execute("DELETE FROM shared WHERE content = ?", (message.content,))
                continue
            name = connection.execute("DELETE FROM content WHERE id = ? RETURNING file", (message.content,)).get
            if isinstance(name, str):
                connection.execute("DELETE FROM structure WHERE content = ?", (message.content,))
                connection.execute("INSERT OR IGNORE INTO dead_file VALUES (?)", (name,))
                file.after_commit.append(lambda name=name: _unlink(file.folder / CONTENT / name))  # type: ignore[misc]
        clear_dead_files(file)

    def settle(self, file: AccountFile) -> None:
        """Files were synced before their rows."""

    def release(self) -> None:
        """Nothing is held."""

    def flush(self, file: AccountFile, row: MailboxRow) -> None:
        """Rows are all there is."""

    def make_folder(self, file: AccountFile, name: str) -> str | Refused:
        """A row is all."""
        return ""

    def rename_folder(self, file: AccountFile, row: MailboxRow, new_name: str) -> str | Refused:
        """A row is all."""
        return ""

    def delete_folder(self, file: AccountFile, row: MailboxRow) -> Refused | None:
        """A row is all."""
        return None

    def contents(self, file: AccountFile, row: MailboxRow, messages: Sequence[MessageRow]) -> dict[int, StoredContent]:
        """Small contents are read ahead while they are few."""
        found: dict[int, StoredContent] = {}
        budget = READ_AHEAD
        for message in messages:
            late = LateContent(message.size, message.header_size, self._fetch(message.content))
            try:
                name, data = file.connection.execute(_CONTENT, (message.size <= budget, message.content)).get or GONE
                if isinstance(name, str):
                    found[message.uid] = FileContent(
                        message.size, message.header_size, file.folder / CONTENT / name, data, self._pool
                    )
                elif isinstance(data, bytes):
                    budget -= message.size
                    found[message.uid] = RowContent(message.size, message.header_size, data)
                else:
                    found[message.uid] = late
            except (apsw.Error, MailboxFault):
                found[message.uid] = late  # a damaged page: who reads this message is told, others are read
        return found

    def _fetch(self, content: int) -> Callable[[], Awaitable[bytes]]:
        return lambda: self._lane().read(lambda file: self._data(file, content))

    @staticmethod
    def _data(file: AccountFile, content: int) -> bytes:
        data = file.connection.execute("SELECT data FROM content WHERE id = ?", (content,)).get
        if not isinstance(data, bytes):
            raise MailboxFault("the message was expunged meanwhile")
        return data

    def load(self, file: AccountFile, row: MailboxRow, message: MessageRow) -> bytes | mmap.mmap:
        """From the row, or the file mapped."""
        name = file.connection.execute("SELECT file FROM content WHERE id = ?", (message.content,)).get
        if not isinstance(name, str):
            return self._data(file, message.content)
        path = file.folder / CONTENT / name
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size != message.size:
                raise MailboxFault(f"{path} has not {message.size} octets")
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def remedy(self, file: AccountFile) -> str:
        """A command."""
        return remedy(file.account)

    def close(self) -> None:
        """No files are held."""


def clear_dead_files(file: AccountFile) -> None:
    """Forget dead files that are unlinked; unlink (after the commit) those a crash left."""
    names = [name for (name,) in file.connection.execute("SELECT file FROM dead_file LIMIT 1000")]
    for name in names:
        path = file.folder / CONTENT / name
        if path.exists():
            file.after_commit.append(lambda path=path: _unlink(path))  # type: ignore[misc]
        else:
            file.connection.execute("DELETE FROM dead_file WHERE file = ?", (name,))


def _unlink(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # named in dead_file: the next removal tries again
