"""The rows of one shard in one SQLite file.

WAL with synchronous=FULL: what apply() returned from is on disk. One connection writes, in
one thread; it alone checkpoints, inline, every CHECKPOINT_PAGES. Others read through a
connection of their own, one page of rows at a time, each its own transaction.

Tables: message (what never changes, packed, and the few columns that are searched by),
content (header and small body), outcome (one row per recipient that an attempt changed: a
message that is delivered at once never has one).

The rowid is the number in the queue id, so that no second index is needed to find a
message, and new rows go to the end of the tree.
"""

import math
from collections.abc import Sequence
from typing import Any

import apsw

from posthouse.envelope.envelope import Envelope
from posthouse.envelope.value import value
from posthouse.host.many_rows import CHUNK, filled, insert_rows
from posthouse.queue.pack import CorruptRow, unpack_message, unpack_outcome
from posthouse.queue.queue_id import number_of
from posthouse.queue.store import QueuedMessage, State

CHECKPOINT_PAGES = 4000
"""16 MB of WAL: large enough that a page written often is copied once, small enough to bound recovery and disk."""

SCARCE_PAGES = 128
"""The same where room is scarce: 512 KB, so that a checkpoint never needs more new room in queue.db than the reserve
gives, and the WAL, which keeps its length, is room for changes even on a full disk."""

SQLITE_FIXED = (3, 51, 3)
"""3.7.0 to 3.51.2 can corrupt a WAL file when several connections write and checkpoint."""

PAGE = 500
"""Rows read at a time: no reader keeps the WAL from being reset for longer than that takes."""

LOOKUP_LIMIT = 200
"""Keys in one IN (...) list."""

STATES = {State.INCOMING: 0, State.ACTIVE: 0, State.DEFERRED: 1, State.HOLD: 2, State.CORRUPT: 3}
_STATES = (State.INCOMING, State.DEFERRED, State.HOLD, State.CORRUPT)

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS message(
  number INTEGER PRIMARY KEY, queue_id TEXT NOT NULL, state INTEGER NOT NULL, next_attempt REAL NOT NULL,
  flags INTEGER NOT NULL, packed BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS due ON message(state, next_attempt);
CREATE TABLE IF NOT EXISTS content(number INTEGER PRIMARY KEY, header BLOB NOT NULL, body BLOB);
CREATE TABLE IF NOT EXISTS outcome(
  number INTEGER NOT NULL, recipient INTEGER NOT NULL, packed BLOB NOT NULL,
  PRIMARY KEY(number, recipient)) WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""


class OldSqlite(Exception):
    """The SQLite library has the WAL reset bug."""


def check_version(version: str = "") -> None:
    """Refuse a library that can corrupt the queue."""
    version = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < SQLITE_FIXED:
        fixed = ".".join(map(str, SQLITE_FIXED))
        raise OldSqlite(f"SQLite {version} can corrupt a queue in WAL mode: {fixed} or later is needed")


@value
class NewRow:
    """One message to insert. body is None when it is a content file."""

    number: int
    queue_id: str
    state: int
    next_attempt: float
    flags: int
    packed: bytes
    header: bytes
    body: bytes | None


@value
class Change:
    """What became of one message: None leaves a column as it is."""

    number: int
    outcomes: tuple[tuple[int, bytes], ...] = ()
    state: int | None = None
    next_attempt: float | None = None
    set_flags: int = 0
    remove: bool = False


def _merged(changes: Sequence[Change]) -> Sequence[Change]:
    """One change per message: UPDATE … FROM takes just one row for each that it changes."""
    by_number: dict[int, Change] = {}
    for change in changes:
        earlier = by_number.get(change.number)
        if earlier is not None:
            change = Change(
                change.number,
                tuple({**dict(earlier.outcomes), **dict(change.outcomes)}.items()),
                earlier.state if change.state is None else change.state,
                earlier.next_attempt if change.next_attempt is None else change.next_attempt,
                earlier.set_flags | change.set_flags,
                earlier.remove or change.remove,
            )
        by_number[change.number] = change
    return list(by_number.values())


def _update(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    for marks, values in filled(rows):
        cursor.execute(
            f"WITH change(n,s,a,f) AS (VALUES {marks}) UPDATE message SET"
            " state=coalesce(s,state), next_attempt=coalesce(a,next_attempt), flags=flags|f FROM change WHERE number=n",
            values,
        )


def _delete(cursor: Any, head: str, numbers: list[int]) -> None:
    for at in range(0, len(numbers), CHUNK):
        chunk = numbers[at : at + CHUNK]
        size = 1 << (len(chunk) - 1).bit_length()
        chunk += chunk[:1] * (size - len(chunk))
        cursor.execute(head + "(" + ",".join("?" * size) + ")", chunk)


class ShardDatabase:
    """One connection to queue.db: the writer's, or a reader's."""

    def __init__(self, path: str, *, writer: bool, vfs: str | None = None) -> None:
        check_version()
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writer else 0)
        self.connection = apsw.Connection(path, flags=flags, vfs=vfs)
        self.connection.set_busy_timeout(10_000)
        if writer:
            self.connection.pragma("page_size", 4096)
            self.connection.pragma("journal_mode", "wal")
            self.connection.pragma("synchronous", "full")
            self.connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            self.connection.pragma("journal_size_limit", 64 << 20)
            self.open_tables()
            self._outcomes = bool(list(self.connection.execute("SELECT 1 FROM outcome LIMIT 1")))
            """Whether there may be outcomes to remove with a message: most shards never have one, and each statement
            costs a change of threads."""
        else:
            self.connection.pragma("query_only", True)
            self.connection.pragma("wal_autocheckpoint", 0)
        self.connection.pragma("cache_size", -16_000 if writer else -4_000)

    def open_tables(self) -> None:
        """Make the tables of a new file."""
        if self.connection.pragma("user_version") == 0:
            self.connection.execute(_SCHEMA)

    def close(self) -> None:
        """Close; the last connection folds the WAL into the file."""
        self.connection.close()

    def save_room(self, scarce: bool) -> None:
        """Whether the WAL is to stay small."""
        self.connection.pragma("wal_autocheckpoint", SCARCE_PAGES if scarce else CHECKPOINT_PAGES)
        if scarce:
            self.reuse_wal()

    def reuse_wal(self) -> None:
        """Fold the WAL into the file, so that what is written next takes its place. Does what it can:
        what cannot be read or written is met again by the next commit."""
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.Error:
            pass

    def sound(self) -> bool:
        """SQLite's own check of the whole file."""
        return bool(self.connection.pragma("integrity_check") == "ok")

    # -- writing ---------------------------------------------------------------------------------------------------

    def apply(self, rows: Sequence[NewRow], changes: Sequence[Change]) -> None:
        """Insert and change in one commit; durable on return, nothing done when it raises."""
        cursor = self.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            if rows:
                insert_rows(
                    cursor,
                    "INSERT INTO message",
                    [(r.number, r.queue_id, r.state, r.next_attempt, r.flags, r.packed) for r in rows],
                )
                insert_rows(cursor, "INSERT INTO content", [(r.number, r.header, r.body) for r in rows])
            if changes:
                self._change(cursor, changes)
            cursor.execute("COMMIT")
        except apsw.Error:
            if self.connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise

    def _change(self, cursor: Any, changes: Sequence[Change]) -> None:
        changes = _merged(changes)
        outcomes = [(c.number, i, packed) for c in changes if not c.remove for i, packed in c.outcomes]
        if outcomes:
            self._outcomes = True
            insert_rows(cursor, "INSERT OR REPLACE INTO outcome", outcomes)
        updates = [
            (c.number, c.state, c.next_attempt, c.set_flags)
            for c in changes
            if not c.remove and (c.state is not None or c.next_attempt is not None or c.set_flags)
        ]
        if updates:
            _update(cursor, updates)
        removed = [c.number for c in changes if c.remove]
        if removed:
            for table in ("message", "content", "outcome") if self._outcomes else ("message", "content"):
                _delete(cursor, f"DELETE FROM {table} WHERE number IN ", removed)

    # -- reading ---------------------------------------------------------------------------------------------------

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[QueuedMessage]:
        """One page, read in one transaction that is over on return."""
        self.connection.execute("BEGIN")
        try:
            return self._messages(list(self.connection.execute(f"SELECT * FROM message WHERE {condition}", values)))
        finally:
            self.connection.execute("COMMIT")

    def _messages(self, rows: list[tuple[Any, ...]]) -> list[QueuedMessage]:
        outcomes: dict[int, dict[int, Any]] = {}
        damaged: set[int] = set()
        for start in range(0, len(rows), LOOKUP_LIMIT):
            numbers = [row[0] for row in rows[start : start + LOOKUP_LIMIT]]
            marks = ",".join("?" * len(numbers))
            query = f"SELECT number, recipient, packed FROM outcome WHERE number IN ({marks})"
            for number, index, packed in self.connection.execute(query, numbers):
                try:
                    outcomes.setdefault(number, {})[index] = unpack_outcome(index, packed)
                except CorruptRow:
                    damaged.add(number)
        found = []
        for number, queue_id, state, next_attempt, flags, packed in rows:
            stands = State.CORRUPT if number in damaged else _STATES[state]
            try:
                found.append(unpack_message(queue_id, packed, outcomes.get(number, {}), stands, next_attempt, flags))
            except CorruptRow:
                found.append(corrupt_message(queue_id))
        return found

    def page(self, after: int, limit: int = PAGE) -> list[QueuedMessage]:
        """Messages with a number above `after`, in order of their numbers."""
        return self._select("number>? ORDER BY number LIMIT ?", (after, limit))

    def due(self, state: State, now: float, after: tuple[float, int], limit: int) -> list[QueuedMessage]:
        """Messages in a state whose next attempt has come, in its order, behind (next_attempt, number).

        At infinity all of them, in the order of their numbers: what is deferred meanwhile stays behind.
        """
        if now == math.inf:
            # The plus keeps SQLite from taking the index, whose order would have to be sorted for each page.
            return self._select("number>? AND +state=? ORDER BY number LIMIT ?", (after[1], STATES[state], limit))
        # Two ranges of the index, not one comparison of pairs: SQLite would start at the first of many equal times.
        found = self._select(
            "state=? AND next_attempt=? AND number>? ORDER BY number LIMIT ?", (STATES[state], *after, limit)
        )
        if len(found) < limit:
            found += self._select(
                "state=? AND next_attempt>? AND next_attempt<=? ORDER BY next_attempt, number LIMIT ?",
                (STATES[state], after[0], now, limit - len(found)),
            )
        return found

    def load(self, queue_id: str) -> QueuedMessage | None:
        """One message."""
        found = self._select("number=? AND queue_id=?", (number_of(queue_id), queue_id))
        return found[0] if found else None

    def content(self, number: int) -> tuple[bytes, bytes | None] | None:
        """Header and body; body None when it is a content file."""
        for header, body in self.connection.execute("SELECT header, body FROM content WHERE number=?", (number,)):
            return header, body
        return None

    def empty(self) -> bool:
        """Whether no message is left."""
        return not list(self.connection.execute("SELECT 1 FROM message LIMIT 1"))

    def first_from(self, number: int) -> int:
        """The smallest number of a message from here on; -1 when there is none."""
        for row in self.connection.execute(
            "SELECT number FROM message WHERE number>=? ORDER BY number LIMIT 1", (number,)
        ):
            return int(row[0])
        return -1

    def has_file(self, queue_id: str) -> bool:
        """Whether a message's body is a content file."""
        query = "SELECT 1 FROM content JOIN message USING(number) WHERE number=? AND queue_id=? AND body IS NULL"
        return bool(list(self.connection.execute(query, (number_of(queue_id), queue_id))))


def corrupt_message(queue_id: str) -> QueuedMessage:
    """What is told of a message whose row cannot be read."""
    return QueuedMessage(queue_id, 0.0, Envelope("", ()), (), 0, State.CORRUPT)
