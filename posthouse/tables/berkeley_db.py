"""Berkeley DB 5.3 hash and btree files, through the C library and ctypes.

The very files that Postfix reads and writes on Debian: keys and values end in NUL. Nothing here knows about
that; it moves bytes. Without the library `available()` is False and hash: files get another content.
"""

from __future__ import annotations

import ctypes
import os
from _thread import allocate_lock  # threading itself takes a millisecond to import, and commands read tables
from collections.abc import Iterator

from posthouse.tables.table import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

LIBRARIES = ("libdb-5.3.so", "libdb-5.3.dylib")

# db.h of 5.3.
DB_BTREE, DB_HASH, DB_UNKNOWN = 1, 2, 5
DB_CREATE, DB_RDONLY = 0x1, 0x400
DB_NEXT = 16
DB_NOTFOUND = -30988

MAGIC_OFFSET = 12
MAGIC = {0x00061561: "hash", 0x00053162: "btree"}
"""In the byte order of the machine that wrote the file; Berkeley DB reads both."""


class _Item(ctypes.Structure):
    """DBT."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("ulen", ctypes.c_uint32),
        ("dlen", ctypes.c_uint32),
        ("doff", ctypes.c_uint32),
        ("app_data", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
    ]


def _load() -> Any:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        # The methods of a handle are pointers at offsets that only db.h knows; the library exports what they
        # point at as well, which needs no offsets.
        handle = ctypes.c_void_p
        library.db_strerror.restype = ctypes.c_char_p
        for function, arguments in (
            ("__db_open_pp", [handle, handle, ctypes.c_char_p, handle, ctypes.c_int, ctypes.c_uint32, ctypes.c_int]),
            ("__db_close_pp", [handle, ctypes.c_uint32]),
            ("__db_get_pp", [handle, handle, handle, handle, ctypes.c_uint32]),
            ("__db_put_pp", [handle, handle, handle, handle, ctypes.c_uint32]),
            ("__db_del_pp", [handle, handle, handle, ctypes.c_uint32]),
            ("__db_cursor_pp", [handle, handle, handle, ctypes.c_uint32]),
            ("__dbc_get_pp", [handle, handle, handle, ctypes.c_uint32]),
            ("__dbc_close_pp", [handle]),
        ):
            try:
                getattr(library, function).argtypes = arguments
            except AttributeError:
                return None
        return library
    return None


_library = _load()


def available() -> bool:
    """Whether the library is here."""
    return _library is not None


def berkeley_type(path: str) -> str | None:
    """ "hash", "btree", or None for another kind of file. Raises OSError."""
    with open(path, "rb") as file:
        start = file.read(MAGIC_OFFSET + 4)
    word = start[MAGIC_OFFSET:]
    return MAGIC.get(int.from_bytes(word, "little")) or MAGIC.get(int.from_bytes(word, "big"))


class BerkeleyDb:
    """One open file."""

    def __init__(self, path: str, *, create: str = "", writable: bool = False) -> None:
        """`create`: make a new file of this type, "hash" or "btree". Raises TableError."""
        if _library is None:
            raise TableError(f"open database {path}: Berkeley DB file, and libdb-5.3 is not installed")
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()
        self._lock = allocate_lock()
        """A handle is one thread's at a time: what get() points to is the handle's own memory, and ctypes lets other
        threads run meanwhile."""
        code = _library.db_create(ctypes.byref(self._handle), None, 0)
        if code:
            raise TableError(f"open database {path}: {self._words(code)}")
        kind = {"hash": DB_HASH, "btree": DB_BTREE, "": DB_UNKNOWN}[create]
        flags = DB_CREATE if create else 0 if writable else DB_RDONLY
        code = getattr(_library, "__db_open_pp")(self._handle, None, os.fsencode(path), None, kind, flags, 0o600)
        if code:
            self.close()
            raise TableError(f"open database {path}: {self._words(code)}")

    def _words(self, code: int) -> str:
        return os.strerror(code) if code > 0 else str(_library.db_strerror(code).decode())

    def get(self, key: bytes) -> bytes | None:
        """A value, or None."""
        item, keep = _item(key)
        data = _Item()
        with self._lock:
            code = getattr(_library, "__db_get_pp")(self._handle, None, ctypes.byref(item), ctypes.byref(data), 0)
            del keep
            if code == DB_NOTFOUND:
                return None
            if code:
                raise OSError(abs(code), self._words(code))
            return ctypes.string_at(data.data, data.size) if data.size else b""

    def put(self, key: bytes, value: bytes) -> None:
        """Store, replacing."""
        item, keep = _item(key)
        data, keep_data = _item(value)
        with self._lock:
            code = getattr(_library, "__db_put_pp")(self._handle, None, ctypes.byref(item), ctypes.byref(data), 0)
        del keep, keep_data
        if code:
            raise OSError(abs(code), self._words(code))

    def delete(self, key: bytes) -> bool:
        """Whether it was there."""
        item, keep = _item(key)
        with self._lock:
            code = getattr(_library, "__db_del_pp")(self._handle, None, ctypes.byref(item), 0)
        del keep
        if code not in (0, DB_NOTFOUND):
            raise OSError(abs(code), self._words(code))
        return not code

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value, in the file's own order. For one thread: nobody else may use the handle meanwhile."""
        cursor = ctypes.c_void_p()
        code = getattr(_library, "__db_cursor_pp")(self._handle, None, ctypes.byref(cursor), 0)
        if code:
            raise OSError(abs(code), self._words(code))
        try:
            key, data = _Item(), _Item()
            while True:
                code = getattr(_library, "__dbc_get_pp")(cursor, ctypes.byref(key), ctypes.byref(data), DB_NEXT)
                if code == DB_NOTFOUND:
                    return
                if code:
                    raise OSError(abs(code), self._words(code))
                yield ctypes.string_at(key.data, key.size), ctypes.string_at(data.data, data.size)
        finally:
            getattr(_library, "__dbc_close_pp")(cursor)

    def close(self) -> None:
        """Write what is unwritten and give the file back."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            code = getattr(_library, "__db_close_pp")(handle, 0)
            if code:
                raise OSError(abs(code), self._words(code))


def _item(data: bytes) -> tuple[_Item, object]:
    memory = ctypes.create_string_buffer(data, len(data) or 1)
    return _Item(ctypes.cast(memory, ctypes.c_void_p), len(data)), memory
