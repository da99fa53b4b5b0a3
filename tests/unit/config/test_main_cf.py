from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import logical_lines
from posthouse.config.main_cf import parse_main_cf


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a = b\n", [("a", "b", 1)]),
        ("a=b", [("a", "b", 1)]),
        ("a   =   b \t \nc\t=d\n", [("a", "b", 1), ("c", "d", 2)]),
        ("a =\n", [("a", "", 1)]),
        ("a = b=c = d\n", [("a", "b=c = d", 1)]),
        ("# c\n\na = x\n   # inner\n\n   y\nb = z\n", [("a", "x   y", 3), ("b", "z", 7)]),
        ("a = x\r\n y\r\nb = z\r\n", [("a", "x\r y", 1), ("b", "z", 3)]),
        ("a\n = b\n", [("a", "b", 1)]),
        ("a = b # no comment\n", [("a", "b # no comment", 1)]),
    ],
)
def test_entries_are_read(text: str, entries: list[tuple[str, str, int]]) -> None:
    found = parse_main_cf(text, "main.cf").entries
    assert [(entry.name, entry.value, entry.line) for entry in found] == entries


def test_a_line_without_equals_sign_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^main\.cf, line 3: missing '=' after attribute name: .relay host = foo.$"):
        parse_main_cf("a = b\n\nrelay host = foo\n", "main.cf")


def test_an_entry_without_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'^main\.cf, line 1: missing attribute name: "= x"$'):
        parse_main_cf("= x\n", "main.cf")


def test_the_last_of_two_entries_wins_with_a_warning_that_shows_the_first() -> None:
    main = parse_main_cf("a = x\001y\na = z\n", "F")
    assert main.warnings == ["F, line 2: overriding earlier entry: a=x?y"]
    assert main.entries[-1].value == "z"


def test_a_first_line_with_leading_blank_is_ignored_with_a_warning() -> None:
    main = parse_main_cf(" first\na = b\n", "F")
    assert main.warnings == ['F: logical line must not start with whitespace: " first"']
    assert [(entry.name, entry.value, entry.line) for entry in main.entries] == [("a", "b", 2)]


@given(st.text(alphabet=st.sampled_from("ab =#\n\t\r\0\\${}é"), max_size=60))
def test_any_text_gives_entries_or_a_config_error(text: str) -> None:
    try:
        main = parse_main_cf(text, "F")
    except ConfigError as error:
        assert error.text.startswith("F, line ")
    else:
        assert all(entry.name and "\n" not in entry.value for entry in main.entries)


@given(st.binary(max_size=80))
def test_logical_lines_come_in_order_and_hold_no_line_end(data: bytes) -> None:
    lines = list(logical_lines(data.decode("utf-8", "surrogateescape")))
    assert all(line.first <= line.last and "\n" not in line.text for line in lines)
    assert all(a.last < b.first for a, b in pairwise(lines))
