"""The database of one account: its tables, how it is opened, which format it is.

The native store keeps contents in it too; for Maildir++ and mbox it is the list of uids, flags
as last seen on disk, and modseqs, and can be made anew (then with new uid_validities).

modseq is one counter for the account, so that "what changed since" can be asked of all of it.
Small rows change often, contents never: how often a content is used stands apart (`shared`,
only where it is more than once), so that a copy does not rewrite it.

Opened in WAL mode with synchronous=FULL: what COMMIT acknowledged survives the power.
"""

import errno
import os
import time
from pathlib import Path

import apsw

from posthouse.mailbox.store import SPECIAL_USE, MailboxFault

# "PHmb": file(1) and a wrong path are told apart by it.
APPLICATION_ID = 0x50486D62
FORMAT = 1
# Another process may be committing a batch with large contents synced before it; then SQLite says busy.
BUSY_MILLISECONDS = 15_000
# Octets that an open WAL file and its index take at least.
NEEDED = 65_536
# SQLite before 3.51.3 can corrupt a WAL that several connections write and checkpoint.
OLDEST_SQLITE = 3_051_003

_TABLES = """
CREATE TABLE account(
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    name TEXT NOT NULL, kind TEXT NOT NULL, created REAL NOT NULL,
    modseq INTEGER NOT NULL, next_content INTEGER NOT NULL, next_uid_validity INTEGER NOT NULL,
    storage INTEGER NOT NULL, messages INTEGER NOT NULL);
CREATE TABLE mailbox(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, selectable INTEGER NOT NULL DEFAULT 1,
    uid_validity INTEGER NOT NULL, uid_next INTEGER NOT NULL DEFAULT 1, first_recent INTEGER NOT NULL DEFAULT 1,
    modseq INTEGER NOT NULL, vanished_floor INTEGER NOT NULL, tombstones INTEGER NOT NULL DEFAULT 0,
    messages INTEGER NOT NULL DEFAULT 0, unseen INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0, deleted_size INTEGER NOT NULL DEFAULT 0,
    special_use TEXT NOT NULL DEFAULT '', disk TEXT NOT NULL DEFAULT '');
CREATE TABLE message(
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, content INTEGER NOT NULL,
    flags INTEGER NOT NULL, keywords TEXT NOT NULL, internal_date REAL NOT NULL, save_date REAL NOT NULL,
    size INTEGER NOT NULL, header_size INTEGER NOT NULL, disk TEXT NOT NULL DEFAULT '',
    PRIMARY KEY(mailbox, uid)) WITHOUT ROWID;
CREATE INDEX message_modseq ON message(mailbox, modseq);
CREATE TABLE tombstone(
    mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,
    PRIMARY KEY(mailbox, modseq, uid)) WITHOUT ROWID;
CREATE TABLE keyword(
    mailbox INTEGER NOT NULL, folded TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY(mailbox, folded)) WITHOUT ROWID;
CREATE TABLE subscription(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE content(id INTEGER PRIMARY KEY, file TEXT, data BLOB);
CREATE TABLE shared(content INTEGER PRIMARY KEY, uses INTEGER NOT NULL);
CREATE TABLE structure(content INTEGER PRIMARY KEY, part BLOB NOT NULL);
CREATE TABLE dead_file(file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE taken(
    path TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
    digest BLOB NOT NULL, uid INTEGER NOT NULL, PRIMARY KEY(path, device, inode, start)) WITHOUT ROWID;
"""


def open_database(path: Path, account: str, kind: str) -> apsw.Connection:
    """Open, and make it when it is not there. Raises MailboxFault for what is no such file, or a newer one.

    kind is "native", "maildir" or "mbox"; native accounts are born with their special-use mailboxes.
    """
    if apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise MailboxFault(f"SQLite {apsw.sqlite_lib_version()} is too old: its WAL can be corrupted")
    try:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        application = connection.pragma("application_id")
        if application == 0 and connection.pragma("schema_version") == 0:
            _make(connection, account, kind)
        elif application != APPLICATION_ID:
            raise MailboxFault(f"{path}: not a mailbox of Posthouse")
        version = connection.pragma("user_version")
        if not isinstance(version, int) or version > FORMAT:
            raise MailboxFault(f"{path}: format {version} is newer than {FORMAT}, which this Posthouse reads")
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("wal_autocheckpoint", 4000)
        connection.pragma("journal_size_limit", 32 << 20)
        connection.pragma("cache_size", -1024)  # 1 MiB: hundreds are open at once
    except apsw.Error as error:
        raise MailboxFault(f"{path}: {reason(error, path)}") from error
    return connection


def reason(error: Exception, path: Path) -> str:
    """What went wrong, with what SQLite does not say of a disk that is full ("disk I/O error") or may not be written
    ("unable to open database file")."""
    if not isinstance(error, apsw.IOError | apsw.FullError | apsw.CantOpenError | apsw.ReadOnlyError):
        return str(error)
    try:
        disk = os.statvfs(path.parent)
    except OSError as missing:
        return f"{error} ({missing.strerror})"
    if disk.f_flag & os.ST_RDONLY:
        return f"{error} ({os.strerror(errno.EROFS)})"
    if disk.f_bavail * disk.f_frsize < NEEDED or disk.f_favail == 0 < disk.f_files:
        return f"{error} ({os.strerror(errno.ENOSPC)})"
    return str(error)


def _make(connection: apsw.Connection, account: str, kind: str) -> None:
    """A new account. Two processes may come at once: the second finds it made."""
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("application_id") == 0:
            connection.execute(_TABLES)
            now = time.time()
            validity = int(now)
            shown = account.encode("utf-8", "replace").decode()  # a login may hold octets that are no UTF-8
            names = {"INBOX": ""} | (SPECIAL_USE if kind == "native" else {})
            connection.execute(
                "INSERT INTO account VALUES (1, ?, ?, ?, 1, 1, ?, 0, 0)", (shown, kind, now, validity + len(names))
            )
            for number, (name, use) in enumerate(names.items()):
                connection.execute(
                    "INSERT INTO mailbox(name, uid_validity, modseq, vanished_floor, special_use)"
                    " VALUES (?, ?, 1, 1, ?)",
                    (name, validity + number, use),
                )
                connection.execute("INSERT INTO subscription VALUES (?)", (name,))
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", FORMAT)
        connection.execute("COMMIT")
    finally:
        if not connection.getautocommit():
            connection.execute("ROLLBACK")
