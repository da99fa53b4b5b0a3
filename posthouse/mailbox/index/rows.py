"""Rows of an account's database as values, and the account file they are read from.

An AccountFile is one connection; it is used by one thread at a time (index/lane.py sees to it)
and never crosses a fork. Everything here runs inside a transaction that the lane began.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from posthouse.mailbox.flags import decode_flags
from posthouse.mailbox.store import MailboxFault, MessageSummary

if TYPE_CHECKING:
    from posthouse.mailbox.index.backing import Backing


LIMITS_SECONDS = 10.0
"""How long an account's limits are believed: asking an account database costs more than a delivery."""


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What an account may hold: bytes and messages; 0 is no limit."""

    storage: int = 0
    messages: int = 0


@dataclass(slots=True)
class AccountRow:
    """The account's counters while a transaction runs: read once, written once before the commit."""

    modseq: int
    next_content: int
    next_uid_validity: int
    storage: int
    messages: int


@dataclass(slots=True)
class MailboxRow:
    """One mailbox while a transaction looks at it; save() writes the counters back."""

    id: int
    name: str
    selectable: bool
    uid_validity: int
    uid_next: int
    first_recent: int
    modseq: int
    vanished_floor: int
    tombstones: int
    messages: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int
    special_use: str
    disk: str

    @property
    def mailbox_id(self) -> str:
        """RFC 8474: safe characters, never used again in this account."""
        return f"F{self.id:x}"


@dataclass(slots=True)
class MessageRow:
    """One message as it lies in the table."""

    uid: int
    modseq: int
    content: int
    flags: int
    keywords: str
    internal_date: float
    save_date: float
    size: int
    header_size: int
    disk: str


@dataclass(slots=True)
class Incoming:
    """A message that is on disk (or in the content table) and gets its uid now."""

    content: int
    disk: str
    flags: int
    keywords: str
    internal_date: float
    size: int
    header_size: int


@dataclass(slots=True)
class Known:
    """An account as it was: its counters, and the mailboxes that were looked at."""

    counters: AccountRow
    mailboxes: dict[str, MailboxRow] = field(default_factory=dict)


_MAILBOX = (
    "SELECT id, name, selectable, uid_validity, uid_next, first_recent, modseq, vanished_floor, tombstones, messages,"
    " unseen, deleted, size, deleted_size, special_use, disk FROM mailbox"
)
_MESSAGE = (
    "SELECT uid, modseq, content, flags, keywords, internal_date, save_date, size, header_size, disk FROM message"
)
_SUMMARY = "SELECT uid, modseq, flags, keywords, internal_date, save_date, size, header_size, content FROM message"
# SQLite's bound on parameters is 32,766; a page of uids is one list of parameters.
UID_PAGE = 2000


@dataclass(slots=True)
class AccountFile:
    """An open account: its database, where it lies, and what its store does on disk."""

    account: str
    folder: Path
    connection: apsw.Connection
    backing: "Backing"
    ask_limits: "Callable[[str], QuotaLimits]" = lambda _account: QuotaLimits()
    """Raises MailboxFault when nobody can say now."""
    clock: Callable[[], float] = time.time
    changed: bool = False
    """Something that sessions wait for was committed in this batch."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Work on files that must not precede the commit."""
    undo: list[Callable[[], None]] = field(default_factory=list)
    """What takes files back that a job put, when it is refused or fails."""
    known: "Known | None" = None
    """What the rows were after our last commit; good for a statement that compares before it believes it."""
    takes_deposits: bool = False
    """Whether the connection was made ready for native/deposit.py."""
    synced: bool = True
    """Whether each commit is synced (PRAGMA synchronous = FULL)."""
    owing: bool = False
    """Whether commits were made that nothing need have synced since: the ledger answers for them."""
    _counters: AccountRow | None = None
    _stored: AccountRow | None = None
    _limits: QuotaLimits | None = None
    _limits_until: float = 0.0

    @property
    def limits(self) -> QuotaLimits:
        """What the account may hold. An operator's change counts soon, though the file stays open."""
        now = self.clock()
        if self._limits is None or not now < self._limits_until <= now + LIMITS_SECONDS:
            try:
                self._limits = self.ask_limits(self.account)
            except MailboxFault:
                if self._limits is None:
                    raise
            self._limits_until = now + LIMITS_SECONDS
        return self._limits

    def sync_commits(self, wanted: bool) -> None:
        """Whether each commit from here on is synced. Never within a transaction."""
        if wanted is not self.synced:
            self.connection.pragma("synchronous", "full" if wanted else "normal")
            self.synced = wanted

    def mailbox(self, name: str) -> MailboxRow | None:
        """By name."""
        row = self.connection.execute(_MAILBOX + " WHERE name = ?", (name,)).get
        return None if row is None else _mailbox(row)

    def mailbox_by_id(self, number: int) -> MailboxRow | None:
        """By number: follows a rename."""
        row = self.connection.execute(_MAILBOX + " WHERE id = ?", (number,)).get
        return None if row is None else _mailbox(row)

    def mailboxes(self) -> list[MailboxRow]:
        """All of them."""
        return [_mailbox(row) for row in self.connection.execute(_MAILBOX + " ORDER BY name")]

    def save(self, row: MailboxRow) -> None:
        """Write the counters and marks back."""
        self.connection.execute(
            "UPDATE mailbox SET uid_next = ?, first_recent = ?, modseq = ?, vanished_floor = ?, tombstones = ?,"
            " messages = ?, unseen = ?, deleted = ?, size = ?, deleted_size = ?, disk = ? WHERE id = ?",
            (
                row.uid_next,
                row.first_recent,
                row.modseq,
                row.vanished_floor,
                row.tombstones,
                row.messages,
                row.unseen,
                row.deleted,
                row.size,
                row.deleted_size,
                row.disk,
                row.id,
            ),
        )

    @property
    def counters(self) -> AccountRow:
        """The account's counters, to read and to change."""
        if self._counters is None:
            row = self.connection.execute(
                "SELECT modseq, next_content, next_uid_validity, storage, messages FROM account"
            ).get
            assert isinstance(row, tuple)
            self._counters = AccountRow(*row)
            self._stored = AccountRow(*row)
        return self._counters

    def counters_before(self) -> AccountRow | None:
        """A copy, to come back to when a job is undone."""
        return None if self._counters is None else replace(self._counters)

    def forget_counters(self, before: AccountRow | None = None) -> None:
        """Back to a copy; None: read again."""
        self._counters = before

    def save_counters(self) -> None:
        """Before the commit."""
        row = self._counters
        if row is not None and row != self._stored:
            self.connection.execute(
                "UPDATE account SET modseq = ?, next_content = ?, next_uid_validity = ?, storage = ?, messages = ?",
                (row.modseq, row.next_content, row.next_uid_validity, row.storage, row.messages),
            )
        self._counters = None

    def next_modseq(self) -> int:
        """A modseq that no row has; tells the sessions that wait."""
        self.changed = True
        self.counters.modseq += 1
        return self.counters.modseq

    def next_content(self) -> int:
        """The number of a new content."""
        self.counters.next_content += 1
        return self.counters.next_content - 1

    def used(self) -> tuple[int, int]:
        """Bytes and messages of the account."""
        row = self.counters
        return row.storage, row.messages

    def add_used(self, size: int, messages: int) -> None:
        """Count what came or went (negative)."""
        self.counters.storage += size
        self.counters.messages += messages

    def fits(self, size: int, messages: int) -> bool:
        """Whether so much more is within the quota."""
        if not self.limits.storage and not self.limits.messages:
            return True
        storage, count = self.used()
        return not (
            (self.limits.storage and storage + size > self.limits.storage)
            or (self.limits.messages and count + messages > self.limits.messages)
        )

    def messages(self, mailbox: int, uids: list[int] | None = None, limit: int = -1) -> list[MessageRow]:
        """Rows ascending by uid: all, or of these uids (sorted, at most UID_PAGE); no more than limit."""
        condition, bindings = _among(uids)
        query = f"{_MESSAGE} WHERE mailbox = ?{condition} ORDER BY uid LIMIT ?"
        return [MessageRow(*row) for row in self.connection.execute(query, (mailbox, *bindings, limit))]

    def summaries(self, mailbox: int, uids: list[int] | None, after: int, limit: int) -> list[MessageSummary]:
        """What sessions see, ascending by uid: of these uids (sorted, at most UID_PAGE), or `limit` of those above
        `after`."""
        condition, bindings = (" AND uid > ?", [after]) if uids is None else _among(uids)
        query = f"{_SUMMARY} WHERE mailbox = ?{condition} ORDER BY uid LIMIT ?"
        return _summaries(self.connection.execute(query, (mailbox, *bindings, limit)))

    def changed_since(self, mailbox: int, since: int) -> list[MessageSummary]:
        """Those whose modseq is above since, ascending by uid."""
        query = _SUMMARY + " WHERE mailbox = ? AND modseq > ? ORDER BY uid"
        return _summaries(self.connection.execute(query, (mailbox, since)))


def _among(uids: list[int] | None) -> tuple[str, list[int]]:
    """A condition, and what is bound to it."""
    if uids is None:
        return "", []
    if uids and uids[-1] - uids[0] == len(uids) - 1:
        return " AND uid BETWEEN ? AND ?", [uids[0], uids[-1]]
    return f" AND uid IN ({','.join('?' * len(uids))})", uids


def _summaries(rows: Iterable[tuple[Any, ...]]) -> list[MessageSummary]:
    return [
        MessageSummary(uid, modseq, decode_flags(flags, keywords), came, saved, size, header, content)
        for uid, modseq, flags, keywords, came, saved, size, header, content in rows
    ]


def _mailbox(row: object) -> MailboxRow:
    assert isinstance(row, tuple)
    found = MailboxRow(*row)
    found.selectable = bool(found.selectable)
    return found
