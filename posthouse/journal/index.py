"""Where in a closed segment the entries about a queue id, message id, session or address are.

INDEX_MAGIC, then entries of twelve bytes, sorted: the first eight bytes of the key's BLAKE2
hash, four of the record's offset. Two keys with one hash only cost a look at a record that
is not meant.
"""

import mmap
import os
from bisect import bisect_left
from hashlib import blake2b

from posthouse.journal.journal import Entry
from posthouse.journal.record import SEGMENT_MAGIC, records

INDEX_MAGIC = b"posthouse index 1\n\0\0\0\0\0\0"
WIDTH = 12


def fold(key: str) -> str:
    """Message ids without brackets, addresses in lower case."""
    return key.strip("<>").lower()


def keys_of(entry: Entry) -> set[str]:
    """What an entry can be found by."""
    return {
        fold(key) for key in (entry.queue_id, entry.message_id, entry.session, entry.sender, entry.recipient) if key
    }


def hash_of(key: str) -> bytes:
    """The key's place in an index."""
    return blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()


def build_index(segment: str) -> None:
    """Write the index of a closed segment beside it. Raises OSError."""
    with open(segment, "rb") as file:
        data = file.read()
    rows = [
        hash_of(key) + offset.to_bytes(4, "big")
        for offset, entry in (records(data) if data.startswith(SEGMENT_MAGIC) else ())
        for key in keys_of(entry)
    ]
    rows.sort()
    path = index_path(segment)
    with open(path + ".new", "wb") as file:
        file.write(INDEX_MAGIC)
        file.writelines(rows)
    os.rename(path + ".new", path)


def index_path(segment: str) -> str:
    """The index's file."""
    return segment.removesuffix(".segment") + ".index"


class _Rows:
    """The rows of an index as a sequence, read where they are looked at."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def __len__(self) -> int:
        return (len(self._data) - len(INDEX_MAGIC)) // WIDTH

    def __getitem__(self, row: int) -> bytes:
        at = len(INDEX_MAGIC) + row * WIDTH
        return self._data[at : at + WIDTH]


def offsets(index: str, key: str) -> list[int] | None:
    """Offsets of the records that may be about a folded key; None when there is no index to ask."""
    try:
        with open(index, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):
        return None
    if data[: len(INDEX_MAGIC)] != INDEX_MAGIC:
        return None
    rows, wanted = _Rows(data), hash_of(key)
    found = []
    row = bisect_left(rows, wanted)
    while row < len(rows) and rows[row][:8] == wanted:
        found.append(int.from_bytes(rows[row][8:], "big"))
        row += 1
    return found
