"""Many rows in one SQL statement.

Not executemany: apsw gives the interpreter lock away at every step of a statement, and a busy
event loop takes up to a switch interval to give it back (20 rows: 96 ms with executemany, 10 ms
in one statement); each time also costs the loop a futex call. The statements are few, so that
apsw's cache of prepared ones holds them: their numbers of rows are powers of two, and rows of
NULL fill the last one up.
"""

from collections.abc import Iterable, Sequence
from typing import Any

CHUNK = 128
"""Most rows in one statement."""


def filled(rows: Sequence[tuple[Any, ...]]) -> Iterable[tuple[str, list[Any]]]:
    """The rows in pieces: "(?,?),(?,?)…" for VALUES, and what to bind. A row whose first value is NULL is none."""
    width = len(rows[0]) if rows else 0
    mark = "(" + ",".join("?" * width) + ")"
    for at in range(0, len(rows), CHUNK):
        piece = rows[at : at + CHUNK]
        size = 1 << (len(piece) - 1).bit_length()
        values = [value for row in piece for value in row]
        values += [None] * (width * (size - len(piece)))
        yield ",".join([mark] * size), values


def insert_rows(cursor: Any, head: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """`head` is the statement's beginning, "INSERT INTO table"; the first value of a row is never None; the cursor is
    an apsw cursor or connection. The caller has begun a transaction: several statements may be needed."""
    for marks, values in filled(rows):
        cursor.execute(f"{head} SELECT * FROM (VALUES {marks}) WHERE column1 IS NOT NULL", values)
