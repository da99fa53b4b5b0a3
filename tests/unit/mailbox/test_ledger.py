"""The ledger's file: what is read back of it, however it was cut, and when a part may be written over."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailbox.native import ledger
from posthouse.mailbox.native.deposit import Deposit, Letter
from posthouse.mailbox.native.ledger import LEDGER, MAGIC, Ledger, read_rounds

octets = st.binary(max_size=300)
letters = st.builds(Letter, st.integers(0, 31), st.floats(0, 2e9), st.integers(0, 2**40), st.integers(0, 2**20), octets)
deposits = st.builds(
    Deposit,
    account=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    mailbox=st.integers(1, 2**31),
    name=st.just("INBOX"),
    uid_validity=st.integers(1, 2**32 - 1),
    first_uid=st.integers(1, 2**32 - 1),
    modseq=st.integers(1, 2**62),
    first_content=st.integers(1, 2**62),
    save_date=st.floats(0, 2e9),
    letters=st.lists(letters, min_size=1, max_size=3).map(tuple),
)


def deposit(account: str, data: bytes = b"A: b\r\n\r\n") -> Deposit:
    return Deposit(account, 1, "INBOX", 7, 1, 2, 1, 0.0, (Letter(0, 0.0, len(data), len(data), data),))


def parts(folder: Path) -> list[Path]:
    return sorted((folder / LEDGER).glob("*.ledger"))


def accounts(path: Path) -> list[str]:
    return [each.account for one in read_rounds(path.read_bytes()) for each in one.deposits]


@given(st.lists(st.lists(deposits, min_size=1, max_size=3), max_size=4), st.data())
def test_what_was_appended_is_read_back_up_to_the_cut(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Deposit]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    written = Ledger(folder, "1-1", sync=lambda _descriptor: None)
    ends = [0]
    for number, each in enumerate(rounds):
        written.append(float(number), each)
        ends.append(parts(folder)[0].stat().st_size)
    whole = parts(folder)[0].read_bytes() if rounds else b""
    cut = data.draw(st.integers(0, len(whole)))
    found = [(one.time, list(one.deposits)) for one in read_rounds(whole[:cut])]
    expected = sum(end <= cut for end in ends) - 1
    assert found == [(float(number), each) for number, each in enumerate(rounds[:expected])]
    written.close()


@given(st.binary(max_size=400))
def test_any_octets_end_the_reading(data: bytes) -> None:
    assert list(read_rounds(data)) == []
    assert list(read_rounds(MAGIC + data)) == []


def test_it_is_synced_before_append_returns_and_locked(tmp_path: Path) -> None:
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    written = Ledger(tmp_path, "1-1", sync=sync)
    written.append(0.0, [deposit("a@x"), deposit("b@x")])
    assert synced == [parts(tmp_path)[0].stat().st_size]
    with pytest.raises(OSError, match="another process has it"):
        Ledger(tmp_path, "1-1").append(0.0, [deposit("a@x")])
    written.close()


def test_a_part_is_written_over_once_its_accounts_are_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PART", 100)
    written = Ledger(tmp_path, "1-1")
    written.append(0.0, [deposit("a@x", b"x" * 100)])
    written.append(1.0, [deposit("b@x", b"x" * 100)])
    assert written.due() == ["a@x"]
    written.append(2.0, [deposit("c@x", b"x" * 100)])
    assert [accounts(part) for part in parts(tmp_path)] == [["a@x"], ["b@x"], ["c@x"]]
    written.settled("a@x")
    assert written.due() == ["b@x"]
    written.append(3.0, [deposit("d@x", b"y")])  # shorter than what it writes over
    assert [accounts(part) for part in parts(tmp_path)] == [["d@x"], ["b@x"], ["c@x"]]
    written.close()


def test_parts_are_not_without_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PART", 1)
    monkeypatch.setattr(ledger, "PARTS", 2)
    written = Ledger(tmp_path, "1-1")
    for name in ("a@x", "b@x", "c@x", "d@x"):
        written.append(0.0, [deposit(name)])
    assert [accounts(part) for part in parts(tmp_path)] == [["a@x"], ["b@x", "c@x", "d@x"]]
    written.close()


def test_close_takes_away_what_nothing_is_owed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PART", 1)
    written = Ledger(tmp_path, "1-1")
    written.append(0.0, [deposit("a@x")])
    written.append(0.0, [deposit("b@x")])
    written.settled("b@x")
    written.close()
    assert [accounts(part) for part in parts(tmp_path)] == [["a@x"]]


def test_after_a_sync_that_failed_it_is_used_no_more(tmp_path: Path) -> None:
    def sync(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    written = Ledger(tmp_path, "1-1", sync=sync)
    with pytest.raises(OSError, match="Input/output error"):
        written.append(0.0, [deposit("a@x")])
    assert not written.usable
    with pytest.raises(OSError, match="before"):
        written.append(0.0, [deposit("a@x")])
    written.close()


def test_a_disk_that_was_full_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    room = [20]

    def narrow(descriptor: int, data: memoryview, at: int) -> int:
        if not room:
            return pwrite(descriptor, data, at)
        if not room[0]:
            room.clear()
            raise OSError(28, "No space left on device")
        part, room[0] = data[: room[0]], 0
        return pwrite(descriptor, part, at)

    written = Ledger(tmp_path, "1-1")
    written.append(0.0, [deposit("a@x")])
    monkeypatch.setattr(ledger.os, "pwrite", narrow)
    with pytest.raises(OSError, match="No space left"):
        written.append(1.0, [deposit("b@x")])
    assert written.usable
    written.append(2.0, [deposit("c@x")])
    assert accounts(parts(tmp_path)[0]) == ["a@x", "c@x"]
    written.close()
