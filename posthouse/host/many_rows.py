"""Many rows in one SQL statement.

Not executemany: apsw gives the interpreter lock away at every step of a statement, and a busy
event loop takes up to a switch interval to give it back (20 rows: 96 ms with executemany, 10 ms
in one statement); each time also costs the loop a futex call. The statements are few, so that
apsw's cache of prepared ones holds them: powers of two.
"""

from collections.abc import Iterable, Sequence
from typing import Any

CHUNK = 128
"""Most rows in one statement."""


def chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """The rows in pieces whose lengths are powers of two."""
    at = 0
    while at < len(rows):
        size = min(CHUNK, 1 << ((len(rows) - at).bit_length() - 1))
        yield rows[at : at + size]
        at += size


def insert_rows(cursor: Any, head: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """`head` is all of the statement up to VALUES; the cursor is an apsw cursor or connection. The caller has begun a
    transaction: several statements may be needed."""
    mark = "(" + ",".join("?" * len(rows[0])) + ")"
    for chunk in chunks(rows):
        cursor.execute(head + ",".join([mark] * len(chunk)), [value for row in chunk for value in row])
