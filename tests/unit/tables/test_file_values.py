"""Values that name files."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.tables.file_values import BadFiles, as_written, file_contents
from posthouse.tables.open import Opening, open_now
from posthouse.tables.table import Row, TableError, drive


@pytest.fixture
def names(tmp_path: Path) -> tuple[str, str]:
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_bytes(b"1\n")
    second.write_bytes(b"2")
    return str(first), str(second)


@pytest.mark.parametrize("between", [",", " ", ", ", ",,"])
def test_the_contents_of_several_files_have_a_line_end_between(names: tuple[str, str], between: str) -> None:
    assert file_contents(between.join(names)) == base64.b64encode(b"1\n\n2").decode()


@given(st.text(" ,\t", max_size=5))
def test_no_name_at_all_is_refused(text: str) -> None:
    with pytest.raises(BadFiles, match=r"empty pathname list: >>.*<<'"):
        file_contents(text)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BadFiles, match=r"\Aopen /nonexistent: No such file or directory\Z"):
        file_contents("/nonexistent")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadFiles, match=f"read {tmp_path}: Is a directory"):
        file_contents(str(tmp_path))


@given(st.text())
def test_the_usual_value_is_what_stands_there(text: str) -> None:
    assert as_written(text) == text


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ("static:@", "x"),
        ("inline:{x=@}", "x"),
        ("randmap:{@}", "x"),
        ("cidr:{{10.0.0.0/8 @}}", "10.1.1.1"),
        ("regexp:{{/x/ @}}", "x"),
        ("pcre:{{/x/ @}}", "x"),
        ("pipemap:{static:@}", "x"),
    ],
)
def test_tables_of_every_kind_read_them(names: tuple[str, str], spec: str, key: str) -> None:
    table = open_now(spec.replace("@", names[1]), Opening(read_value=file_contents))
    row = drive(table.lookup(key))
    assert isinstance(row, Row)
    assert row.value == base64.b64encode(b"2").decode()


def test_a_table_whose_value_is_no_file_is_refused_or_lacks_the_row() -> None:
    how = Opening(read_value=file_contents)
    with pytest.raises(TableError, match=r"\Aopen none: No such file or directory\Z"):
        open_now("static:none", how)
    with pytest.raises(TableError, match=r'need "inline:{name=filename...}"'):
        open_now("inline:{a=none}", how)
    assert drive(open_now("regexp:{{/x/ none}}", how).lookup("x")) is None
