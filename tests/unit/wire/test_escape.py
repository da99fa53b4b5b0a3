"""Bytes for the log."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.escape import escaped


def test_letters_and_octal_digits() -> None:
    assert escaped(b'EHLO c\r\n\t\\\0\xff"') == r"EHLO c\r\n\t\\\000\377" + '"'


@given(st.binary())
def test_what_is_escaped_can_be_read_back(data: bytes) -> None:
    assert ast.literal_eval("b'" + escaped(data).replace("'", r"\x27") + "'") == data
