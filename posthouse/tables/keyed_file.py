"""Tables in files that postmap makes: hash and btree (F.db), lmdb (F.lmdb), cdb (F.cdb).

A hash or btree file is Berkeley DB where its library is installed, and LMDB under the same name where it is not:
what the file is, its magic tells. Keys and values end in NUL in all but cdb, whose files never do; when reading,
both forms are tried, as Postfix does.

A file is made aside and renamed, so readers see the old or the new, whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from posthouse.tables.fold import fold_key, key_bytes, key_text
from posthouse.tables.table import Row, TableError, TableRetry
from posthouse.tables.warning import warn

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and postmap -q starts here
    from typing import Any, Protocol
else:
    Protocol = object

SUFFIX = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}
LMDB_MAGIC = 0xBEEFC0DE
LMDB_MAGIC_OFFSET = 16
STALE_SECONDS = 100
"""A source changed this recently may be in the middle of being rebuilt: no warning yet."""
LMDB_SIZE = 1 << 24
"""Smallest map: address space, not disk."""
LMDB_OVERHEAD = 64
"""What a row costs besides its bytes, generously; half-full pages are allowed for on top."""
LMDB_KEY_LIMIT = 511
"""LMDB refuses longer keys."""


class Store(Protocol):
    """One open file, in bytes."""

    def get(self, key: bytes) -> bytes | None:
        """A value, or None. Raises OSError."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value."""

    def close(self) -> None:
        """Give the file back."""


class LmdbStore:
    """An LMDB file, read only. Its own lock file is not used: files are replaced, never changed in place."""

    def __init__(self, path: str) -> None:
        import lmdb

        try:
            self._environment = lmdb.open(path, subdir=False, readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            raise TableError(f"open database {path}: {error}") from error
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """A value, or None."""
        if not key or len(key) > LMDB_KEY_LIMIT:
            return None
        with self._environment.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value."""
        with self._environment.begin() as transaction:
            yield from transaction.cursor()

    def close(self) -> None:
        """Give the file back."""
        self._environment.close()


class CdbStore:
    """A cdb file."""

    def __init__(self, path: str) -> None:
        import cdbx

        self._cdb: Any = cdbx.CDB(path)

    def get(self, key: bytes) -> bytes | None:
        """The first value, or None."""
        value: bytes | None = self._cdb.get(key)
        return value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value."""
        yield from self._cdb.items(all=True)

    def close(self) -> None:
        """Give the file back."""
        self._cdb.close()


class KeyedFile:
    """One open table."""

    def __init__(
        self,
        name: str,
        path: str,
        store: Store,
        *,
        nul: bool,
        both: bool = True,
        fold: bool = True,
        unicode: bool = True,
    ) -> None:
        """`nul`: keys end in NUL; `both`: or all do not."""
        self.name = name
        self.path = path
        """As warnings about the content name it."""
        self.whole_key = False
        self._store = store
        self._nul = nul
        self._both = both
        self._fold = fold
        self._unicode = unicode

    async def lookup(self, key: str) -> Row | None:
        """The row for a key, or None."""
        value = self.get(key)
        return None if value is None else Row(value, self.name, fold_key(key, self._unicode) if self._fold else key)

    def get(self, key: str) -> str | None:
        """The value for a key, or None."""
        if self._fold:
            key = fold_key(key, self._unicode)
        data = key_bytes(key)
        try:
            value = self._store.get(data + b"\0" if self._nul else data)
            if value is None and self._both:
                value = self._store.get(data if self._nul else data + b"\0")
                if value is not None:
                    self._nul = not self._nul
        except OSError as error:
            raise TableRetry(f"table {self.name}: query error: {error.strerror}") from error
        return None if value is None else key_text(value.removesuffix(b"\0"))

    def items(self) -> Iterator[tuple[str, str]]:
        """Every key and value."""
        for key, value in self._store.items():
            yield key_text(key.removesuffix(b"\0")), key_text(value.removesuffix(b"\0"))

    def close(self) -> None:
        """Give the file back."""
        self._store.close()


def open_keyed_file(
    name: str,
    kind: str,
    path: str,
    *,
    fold: bool = True,
    unicode: bool = True,
    now: float | None = None,
    nul: bool | None = None,
) -> KeyedFile:
    """Open what postmap made of `path`. `now`: warn when the source is newer. `nul`: only keys (not) ending in NUL.

    Raises TableError.
    """
    file = path + SUFFIX[kind]
    try:
        store = open_store(kind, file)
        made = os.stat(file).st_mtime
    except OSError as error:
        raise TableError(f"open database {file}: {error.strerror}") from error
    if now is not None:
        try:
            changed = os.stat(path).st_mtime
        except OSError:
            pass  # a database without its source is in order
        else:
            if made < changed < now - STALE_SECONDS:
                warn(f"database {file} is older than source file {path}")
    return KeyedFile(
        name,
        path if kind == "lmdb" else file,
        store,
        nul=kind != "cdb" if nul is None else nul,
        both=nul is None,
        fold=fold,
        unicode=unicode,
    )


def open_store(kind: str, file: str) -> Store:
    """The bytes of a file, whatever library wrote it. Raises OSError, TableError."""
    if kind == "cdb":
        os.stat(file)
        return CdbStore(file)
    from posthouse.tables.berkeley_db import BerkeleyDb, berkeley_type  # ctypes: not for other types of table

    if kind != "lmdb" and berkeley_type(file) is not None:
        return BerkeleyDb(file)
    with open(file, "rb") as start:
        magic = start.read(LMDB_MAGIC_OFFSET + 4)[LMDB_MAGIC_OFFSET:]
    if int.from_bytes(magic, "little") == LMDB_MAGIC or int.from_bytes(magic, "big") == LMDB_MAGIC:
        return LmdbStore(file)
    raise TableError(f"open database {file}: not a database of type {kind}")


def write_keyed_file(kind: str, file: str, rows: dict[bytes, bytes], *, nul: bool) -> None:
    """Make a file of these rows where `file` names a path that is not yet there. Raises OSError, TableError."""
    from posthouse.tables.berkeley_db import BerkeleyDb, available

    end = b"\0" if nul else b""
    if kind == "cdb":
        import cdbx

        maker = cdbx.CDB.make(file)
        for key, value in rows.items():
            maker.add(key + end, value + end)
        maker.commit().close()
    elif kind != "lmdb" and available():
        database = BerkeleyDb(file, create=kind)
        for key, value in rows.items():
            database.put(key + end, value + end)
        database.close()
    else:
        _write_lmdb(file, rows, end)


def _write_lmdb(file: str, rows: dict[bytes, bytes], end: bytes) -> None:
    import lmdb

    size = max(LMDB_SIZE, sum(len(key) + len(value) + LMDB_OVERHEAD for key, value in rows.items()) * 4)
    try:
        environment = lmdb.open(file, subdir=False, lock=False, map_size=size, mode=0o600)
        with environment.begin(write=True) as transaction:
            for key, value in rows.items():
                transaction.put(key + end, value + end)
        environment.close()
    except lmdb.Error as error:
        raise TableError(f"create database {file}: {error}") from error
