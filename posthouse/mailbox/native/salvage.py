"""A damaged account of the native store, made anew from whatever can still be read.

salvage() works on a copy: the damaged file and its WAL move into damaged-<time>/ beside it, and stay
there. What is kept: mailboxes, messages, flags, uids and uid_validities whose rows can be read, in
ascending or descending order or one by one. A message whose content cannot be read is named and left
out. Contents and content files that no row names any more come into a mailbox "Recovered".

No process may have the account open (SQLite's own lock on the WAL's index says so); none can open it
meanwhile.
"""

import fcntl
import os
import shutil
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from posthouse.mailbox.canonical import HeaderEnd
from posthouse.mailbox.index.schema import open_database
from posthouse.mailbox.native.content import CHUNK
from posthouse.mailbox.native.layout import CONTENT, DATABASE, sync_folder
from posthouse.mailbox.store import MailboxFault

RECOVERED = "Recovered"
PAGE = 4096
"""SQLite's page size where nobody chose another."""
_DMS = 128
"""The octet of a WAL index that every open connection holds a shared lock on (SQLite's wal.c and os_unix.c)."""
_FLOCK = "@hhqqi"

# Each table's key; those that are made anew by themselves (structure, shared) are not among them.
_KEYS = {
    "mailbox": ("id",),
    "message": ("mailbox", "uid"),
    "tombstone": ("mailbox", "modseq", "uid"),
    "keyword": ("mailbox", "folded"),
    "subscription": ("name",),
    "dead_file": ("file",),
    "taken": ("path", "device", "inode", "start"),
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it."""

    messages: int
    recovered: int
    """Contents without a row, now in the mailbox "Recovered"."""
    lost: tuple[str, ...]
    """One line for each message whose content, and for each table whose end could not be read."""
    kept: Path
    """Where the damaged file is."""


class WalIndexLock:
    """Nobody else has the account open, until release(). Raises MailboxFault when somebody has."""

    def __init__(self, database: Path) -> None:
        self._path = f"{database}-shm"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.fcntl(
                self._descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _DMS, 1, 0)
            )
        except OSError as error:
            os.close(self._descriptor)
            raise MailboxFault(f"{database} is in use: stop the mail system first") from error

    def release(self) -> None:
        """Let others in: to the new file, whose WAL index is another."""
        os.close(self._descriptor)


def salvage(folder: Path, account: str) -> Salvaged:
    """Make an account's database anew. Raises MailboxFault; nothing was changed then."""
    database = folder / DATABASE
    try:
        lock = WalIndexLock(database)
        try:
            return _salvage(folder, database, account)
        finally:
            lock.release()
    except (OSError, apsw.Error) as error:
        raise MailboxFault(f"{database}: {error}") from error


def _salvage(folder: Path, database: Path, account: str) -> Salvaged:
    kept = folder / time.strftime("damaged-%Y%m%d-%H%M%S")
    kept.mkdir(mode=0o700)
    work, made = kept / "work", kept / "new"
    work.mkdir(mode=0o700)
    made.mkdir(mode=0o700)
    damaged = _readable(database, work)
    fresh = open_database(made / DATABASE, account, "native")
    try:
        fresh.execute("BEGIN IMMEDIATE")
        result = _Rebuild(folder, damaged, fresh).run(kept)
        fresh.execute("COMMIT")
        fresh.pragma("wal_checkpoint(truncate)")
    finally:
        fresh.close()
        if damaged is not None:
            damaged.close()
    _replace(database, made / DATABASE, kept)
    shutil.rmtree(work)
    shutil.rmtree(made)
    return result


def _replace(database: Path, made: Path, kept: Path) -> None:
    """The new file takes the place; the old one is kept. A crash in between leaves the old one, or the new."""
    with made.open("rb") as stream:
        os.fsync(stream.fileno())
    for suffix in ("", "-wal"):
        old = Path(f"{database}{suffix}")
        if old.exists():
            os.link(old, kept / f"{DATABASE}{suffix}")
    sync_folder(kept)
    Path(f"{database}-wal").unlink(missing_ok=True)
    os.replace(made, database)
    Path(f"{database}-shm").unlink(missing_ok=True)
    sync_folder(database.parent)


# -- reading what is damaged ------------------------------------------------------------------


def _readable(database: Path, work: Path) -> apsw.Connection | None:
    """The first of some copies whose schema can be read: as it is, with a header made new, and without its WAL."""
    if not database.is_file() or not database.stat().st_size:
        return None
    for number, (header, wal) in enumerate(((False, True), (True, True), (True, False))):
        copy = work / f"{number}.db"
        shutil.copyfile(database, copy)
        if wal and Path(f"{database}-wal").exists():
            shutil.copyfile(f"{database}-wal", f"{copy}-wal")
        if header:
            _mend_header(copy, work)
        connection = apsw.Connection(str(copy))
        try:
            connection.pragma("writable_schema", True)  # reads on where a page count is wrong
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if {"mailbox", "message", "content"} <= names:
                return connection
        except apsw.Error:
            pass
        connection.close()
    return None


def _mend_header(copy: Path, work: Path) -> None:
    """The first 100 octets of a sound account, with this file's number of pages and no free ones (SQLite's file format,
    section 1.3)."""
    sample = work / "sample.db"
    if not sample.exists():
        made = open_database(sample, "sample", "native")
        made.pragma("wal_checkpoint(truncate)")
        made.close()
    header = bytearray(sample.read_bytes()[:100])
    header[28:32] = struct.pack(">I", copy.stat().st_size // PAGE)
    header[32:40] = bytes(8)
    header[92:96] = header[24:28]
    with copy.open("r+b") as stream:
        stream.write(header)


def _rows(connection: apsw.Connection, query: str, keys: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    """What can be read from either end, each once. Ends with None in place of a row where something was damaged."""
    seen: set[tuple[object, ...]] = set()
    damaged = False
    for direction in ("", " DESC"):
        order = ", ".join(f"{key}{direction}" for key in keys)
        try:
            for row in connection.execute(f"{query} ORDER BY {order}"):
                key = row[: len(keys)]
                if key not in seen:
                    seen.add(key)
                    yield row[len(keys) :]
        except apsw.Error:
            damaged = True
        if not damaged:
            return
    yield ()


class _Rebuild:
    """One new database, filled."""

    def __init__(self, folder: Path, damaged: apsw.Connection | None, fresh: apsw.Connection) -> None:
        self._folder = folder
        self._damaged = damaged
        self._fresh = fresh
        self._lost: list[str] = []

    def run(self, kept: Path) -> Salvaged:
        """Everything."""
        self._mailboxes()
        for table in ("tombstone", "keyword", "subscription", "dead_file", "taken"):
            self._copy(table)
        messages = self._messages()
        recovered = self._orphans()
        self._counters()
        return Salvaged(messages, recovered, tuple(self._lost), kept)

    def _table(self, table: str) -> Iterator[tuple[object, ...]]:
        if self._damaged is None:
            self._lost.append(f"table {table} cannot be read")
            return
        keys = _KEYS[table]
        for row in _rows(self._damaged, f"SELECT {', '.join(keys)}, * FROM {table}", keys):
            if row:
                yield row
            else:
                self._lost.append(f"table {table} cannot be read to its end")

    def _insert(self, table: str, row: Iterable[object]) -> None:
        values = tuple(row)
        marks = ", ".join("?" * len(values))
        self._fresh.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)

    def _copy(self, table: str) -> None:
        for row in self._table(table):
            self._insert(table, row)

    def _mailboxes(self) -> None:
        rows = list(self._table("mailbox"))
        if any(row[1] == "INBOX" for row in rows):
            self._fresh.execute("DELETE FROM mailbox")
            self._fresh.execute("DELETE FROM subscription")
        for row in rows:
            self._insert("mailbox", row)

    def _message_rows(self) -> Iterator[tuple[object, ...]]:
        """From both ends, and those between that the index by modseq still names."""
        damaged = self._damaged
        seen = set()
        for row in self._table("message"):
            seen.add(row[:2])
            yield row
        if damaged is None:
            return
        query = "SELECT modseq, mailbox, uid, mailbox, uid FROM message INDEXED BY message_modseq"
        for found in _rows(damaged, query, ("modseq", "mailbox", "uid")):
            if found and found not in seen:
                try:
                    yield from damaged.execute("SELECT * FROM message WHERE mailbox = ? AND uid = ?", found)
                except apsw.Error:
                    self._lost.append(f"mailbox {found[0]} uid {found[1]}: its row cannot be read")

    def _messages(self) -> int:
        """Rows whose content is there; contents come with them."""
        count = 0
        known = {number for (number,) in self._fresh.execute("SELECT id FROM mailbox")}
        for row in self._message_rows():
            mailbox, uid, content, size = row[0], row[1], row[3], row[8]
            if not isinstance(content, int) or not self._content(content, size):
                self._lost.append(f"mailbox {mailbox} uid {uid}: its content cannot be read")
                continue
            if mailbox not in known:
                known.add(mailbox)
                self._unknown_mailbox(mailbox)
            self._insert("message", row)
            count += 1
        return count

    def _unknown_mailbox(self, number: object) -> None:
        validity = int(time.time()) + 1_000_000 + (number if isinstance(number, int) else 0)  # above those given before
        self._fresh.execute(
            "INSERT INTO mailbox(id, name, uid_validity, modseq, vanished_floor) VALUES (?, ?, ?, 1, 1)",
            (number, f"{RECOVERED} {number}", validity),
        )

    def _content(self, number: int, size: object) -> bool:
        """Bring one content over. Whether it is there in full."""
        if self._fresh.execute("SELECT 1 FROM content WHERE id = ?", (number,)).get is not None:
            return True
        assert self._damaged is not None
        try:
            found = self._damaged.execute("SELECT file, data FROM content WHERE id = ?", (number,)).fetchall()
        except apsw.Error:
            return False
        if not found:
            return False
        name, data = found[0]
        if isinstance(name, str):
            path = self._folder / CONTENT / name
            whole = path.is_file() and path.stat().st_size == size
        else:
            whole = isinstance(data, bytes) and len(data) == size
        if whole:
            self._fresh.execute("INSERT INTO content VALUES (?, ?, ?)", (number, name, data))
        return whole

    # -- what no row names any more --------------------------------------------------------

    def _orphans(self) -> int:
        count = 0
        for number in self._orphan_rows():
            data = self._fresh.execute("SELECT data FROM content WHERE id = ?", (number,)).get
            if isinstance(data, bytes):
                self._recover(number, [data])
                count += 1
        named = {name for (name,) in self._fresh.execute("SELECT file FROM content WHERE file IS NOT NULL")}
        named |= {name for (name,) in self._fresh.execute("SELECT file FROM dead_file")}
        folder = self._folder / CONTENT
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name in named or not path.is_file() or not path.stat().st_size:
                continue
            number = (self._fresh.execute("SELECT max(id) FROM content").get or 0) + 1
            self._fresh.execute("INSERT INTO content VALUES (?, ?, NULL)", (number, path.name))
            with path.open("rb") as stream:
                self._recover(number, iter(lambda stream=stream: stream.read(CHUNK), b""))  # type: ignore[misc]
            count += 1
        return count

    def _orphan_rows(self) -> list[int]:
        """Contents in rows that no message names, brought over."""
        if self._damaged is None:
            return []
        found = []
        for row in _rows(self._damaged, "SELECT id, id FROM content", ("id",)):
            if not row or not isinstance(row[0], int):
                continue
            if self._fresh.execute("SELECT 1 FROM content WHERE id = ?", row).get is not None:
                continue
            try:
                name, data = self._damaged.execute("SELECT file, data FROM content WHERE id = ?", row).fetchall()[0]
            except apsw.Error:
                continue
            if name is None and isinstance(data, bytes):
                self._fresh.execute("INSERT INTO content VALUES (?, NULL, ?)", (row[0], data))
                found.append(row[0])
        return found

    def _recover(self, content: int, chunks: Iterable[bytes]) -> None:
        """A message of its own for a content."""
        if self._fresh.execute("SELECT 1 FROM mailbox WHERE name = ?", (RECOVERED,)).get is None:
            self._fresh.execute(
                "INSERT INTO mailbox(name, uid_validity, modseq, vanished_floor) VALUES (?, ?, 1, 1)",
                (RECOVERED, int(time.time()) + 1_000_000),
            )
            self._insert("subscription", (RECOVERED,))
        query = (
            "SELECT id, max(uid_next, coalesce((SELECT max(uid) + 1 FROM message WHERE message.mailbox = mailbox.id),"
            " 1)) FROM mailbox WHERE name = ?"
        )
        mailbox, uid = self._fresh.execute(query, (RECOVERED,)).fetchall()[0]
        assert isinstance(uid, int)
        header, size = HeaderEnd(), 0
        for chunk in chunks:
            header.feed(chunk)
            size += len(chunk)
        now = time.time()
        self._insert("message", (mailbox, uid, 1, content, 0, "", now, now, size, header.size or size, ""))
        self._fresh.execute("UPDATE mailbox SET uid_next = ? WHERE id = ?", (uid + 1, mailbox))

    def _counters(self) -> None:
        """Everything that is counted, from the rows that are there now."""
        fresh = self._fresh
        fresh.execute("DELETE FROM shared")
        fresh.execute("INSERT INTO shared SELECT content, count(*) FROM message GROUP BY content HAVING count(*) > 1")
        highest = max(
            fresh.execute("SELECT coalesce(max(modseq), 1) FROM message").get,
            fresh.execute("SELECT coalesce(max(modseq), 1) FROM tombstone").get,
            fresh.execute("SELECT coalesce(max(modseq), 1) FROM mailbox").get,
        )
        # Whoever remembers an older modseq compares all uids: what was lost has no tombstone.
        fresh.execute(
            "UPDATE mailbox SET modseq = ?1, vanished_floor = ?1,"
            " uid_next = max(uid_next, (SELECT coalesce(max(uid), 0) + 1 FROM message"
            " WHERE message.mailbox = mailbox.id)),"
            " tombstones = (SELECT count(*) FROM tombstone WHERE tombstone.mailbox = mailbox.id)",
            (highest + 1,),
        )
        fresh.execute(
            "UPDATE account SET modseq = ?1, next_content = (SELECT coalesce(max(id), 0) + 1 FROM content),"
            " next_uid_validity = (SELECT max(uid_validity) + 1 FROM mailbox)",
            (highest + 1,),
        )
