"""Many rows in one statement."""

import apsw
from hypothesis import given
from hypothesis import strategies as st

from posthouse.host.many_rows import CHUNK, filled, insert_rows


@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=300))
def test_every_row_is_inserted_once_and_in_order(rows: list[tuple[int, str, bytes | None]]) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t(a, b, c)")
    if rows:
        insert_rows(connection, "INSERT INTO t", rows)
    assert list(connection.execute("SELECT a, b, c FROM t ORDER BY rowid")) == rows


@given(st.integers(0, 1000))
def test_pieces_are_powers_of_two_so_that_statements_are_few(count: int) -> None:
    pieces = list(filled([(number, "") for number in range(count)]))
    assert [value for _, values in pieces for value in values[::2] if value is not None] == list(range(count))
    for marks, values in pieces:
        length = marks.count("(")
        assert length & (length - 1) == 0 and length <= CHUNK and len(values) == 2 * length
    assert len(pieces) == -(-count // CHUNK)
