"""Making and changing the files behind hash, btree, lmdb and cdb tables.

The new file is made aside, with the mode of the source (group and others may read what they may read there) or of
the file it replaces, synced, and renamed over it. Where the folder may not be written but the old file may, its
content is replaced in place. Writers exclude each other by a lock on the old file (flock, as Postfix's).
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from posthouse.host.durable import sync_folder
from posthouse.tables.fold import fold_key, is_utf8, key_bytes, key_text
from posthouse.tables.keyed_file import LMDB_KEY_LIMIT, SUFFIX, open_store, write_keyed_file
from posthouse.tables.open import KEYED, TYPES
from posthouse.tables.source_text import Entry
from posthouse.tables.table import TableError
from posthouse.tables.warning import warn

WRONG_LMDB_KEY = "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size"

MODE = 0o644
"""Of a new file, before the source's own restrictions."""


class Build:
    """Rows on their way into a file."""

    def __init__(
        self,
        kind: str,
        path: str,
        *,
        fold: bool = True,
        unicode: bool = True,
        nul: bool | None = None,
        replace: bool = False,
        quiet: bool = False,
    ) -> None:
        """`nul`: end keys and values in NUL; None is the type's habit. `replace`, `quiet`: what a duplicate does."""
        require_creatable(kind)
        self.kind = kind
        self.file = path + SUFFIX[kind]
        self.rows: dict[bytes, bytes] = {}
        self._fold = fold
        self._unicode = unicode
        self._nul = (kind != "cdb") if nul is None else nul
        self._asked = nul
        self._loaded: bool | None = None
        self._incremental = False
        self._replace = replace
        self._quiet = quiet

    def load(self) -> None:
        """Begin with what the file holds; with nothing when there is none. Raises TableError."""
        self._incremental = True
        try:
            store = open_store(self.kind, self.file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise TableError(f"open database {self.file}: {error.strerror}") from error
        for key, value in store.items():
            if self._loaded is None:
                self._loaded = key.endswith(b"\0")
            self.rows[key.removesuffix(b"\0")] = value.removesuffix(b"\0")
        store.close()

    def add(self, entry: Entry, encode: Callable[[str, int], str | None] | None = None) -> None:
        """One row. `encode` makes the stored value from the written one, or None to skip the row."""
        value: str | None = entry.value
        if encode is not None:
            value = encode(entry.value, entry.line)
            if value is None:
                return
        key = self._key(entry.key)
        if key in self.rows and not self._replace:
            if not self._quiet:
                where = self.file if SUFFIX[self.kind] == ".db" else self.file.removesuffix(SUFFIX[self.kind])
                warn(f'{"lmdb:" if self.kind == "lmdb" else ""}{where}: duplicate entry: "{key_text(key)}"')
            return
        if self.kind == "lmdb" and not 0 < len(key) + self._nul <= LMDB_KEY_LIMIT:
            if self._incremental:
                self.write(None)  # as Postfix, which adds row by row then
            raise TableError(f"error updating lmdb:{self.file.removesuffix(SUFFIX['lmdb'])}: {WRONG_LMDB_KEY}")
        self.rows[key] = key_bytes(value or "")

    def remove(self, key: str) -> bool:
        """Whether the row was there."""
        if self._unicode and not is_utf8(key):
            shown = self.file.removesuffix(SUFFIX["lmdb"]) if self.kind == "lmdb" else self.file
            warn(f'{self.kind}:{shown}: non-UTF-8 key "{key}": malformed UTF-8 or invalid codepoint')
            return True  # as Postfix counts it
        if self._asked is not None and self._asked != self._loaded:
            return False  # -n or -N, and the file holds the other kind of keys
        return self.rows.pop(self._key(key), None) is not None

    def _key(self, key: str) -> bytes:
        return key_bytes(fold_key(key, self._unicode) if self._fold else key)

    def write(self, mode: int | None) -> None:
        """Put the file in place. `mode`: the source's, None for the plain one. Raises TableError."""
        try:
            before = os.stat(self.file)
        except FileNotFoundError:
            before = None
        try:
            folder = os.path.dirname(self.file) or "."
            if before is not None and not os.access(folder, os.W_OK, effective_ids=True):
                self._overwrite()
            else:
                self._replace_file(folder, before, mode)
        except OSError as error:
            raise TableError(f"create database {self.file}: {error.strerror}") from error

    def _replace_file(self, folder: str, before: os.stat_result | None, mode: int | None) -> None:
        temporary = f"{self.file}.{os.getpid()}.new"
        try:
            write_keyed_file(self.kind, temporary, self.rows, nul=self._nul)
            descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if before is not None:
                    if os.geteuid() == 0:
                        os.fchown(descriptor, before.st_uid, before.st_gid)
                    os.fchmod(descriptor, before.st_mode & 0o777)
                else:
                    os.fchmod(descriptor, MODE if mode is None else MODE & (mode | 0o700))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, self.file)
        except (OSError, TableError):
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(folder)

    def _overwrite(self) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            made = os.path.join(folder, "new")
            write_keyed_file(self.kind, made, self.rows, nul=self._nul)
            with open(made, "rb") as new, open(self.file, "r+b") as old:
                old.write(new.read())
                old.truncate()
                old.flush()
                os.fsync(old.fileno())


def require_creatable(kind: str) -> None:
    """Refuse a type that postmap cannot make a file of."""
    if kind in KEYED:
        return
    if kind in TYPES:
        raise TableError(f"unsupported dictionary type: {kind} does not support bulk-mode creation.")
    raise TableError(f"unsupported dictionary type: {kind}")


@contextmanager
def exclusive(file: str) -> Iterator[None]:
    """No other writer is between reading and replacing this file."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield
            return
        except OSError as error:
            raise TableError(f"open database {file}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The one before us may have renamed a new file into place.
            try:
                same = os.fstat(descriptor).st_ino == os.stat(file).st_ino
            except FileNotFoundError:
                same = False
            if same:
                yield
                return
        finally:
            os.close(descriptor)
