"""What is written down about reloads."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.service.reload_record import (
    ReloadRecord,
    parse_reload_record,
    read_reload_record,
    write_reload_record,
)

NUMBER = st.integers(min_value=0, max_value=10**18 - 1)


@given(NUMBER, NUMBER, st.text())
def test_what_is_written_is_read(begun: int, ended: int, failure: str) -> None:
    record = parse_reload_record(ReloadRecord(begun, ended, failure.encode("utf-8", "replace").decode()).__bytes__())
    assert record is not None
    assert (record.begun, record.ended) == (begun, ended)
    assert record.failure == " ".join(failure.encode("utf-8", "replace").decode().split())


@given(st.binary())
def test_any_bytes_are_a_record_or_none(data: bytes) -> None:
    record = parse_reload_record(data)
    assert record is None or (record.begun >= 0 and record.ended >= 0)


@pytest.mark.parametrize("data", [b"", b"1\n2", b"x\n1\n\n", b"1\n-2\n\n", b"9" * 30 + b"\n1\n\n"])
def test_what_is_no_record(data: bytes) -> None:
    assert parse_reload_record(data) is None


def test_nothing_written_is_nothing_begun(tmp_path: Path) -> None:
    assert read_reload_record(str(tmp_path)) == ReloadRecord()


def test_a_file_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "pid").mkdir()
    write_reload_record(str(tmp_path), ReloadRecord(3, 2, "no\ntable"))
    assert read_reload_record(str(tmp_path)) == ReloadRecord(3, 2, "no table")
    assert [path.name for path in (tmp_path / "pid").iterdir()] == ["master.reload"]
