"""Putting messages into mboxes and Maildirs."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mda.copy import delivery_fields, from_line, unix_lines
from posthouse.mda.deposit import DepositFailed, DotLock, Locking, Telling, quoted_lines, to_maildir, to_mbox

MESSAGE = b"Subject: hi\n\nFrom here\nend\n"


def lines() -> Iterator[bytes]:
    yield MESSAGE


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(
    st.lists(st.sampled_from([b"From x", b"From", b"\n", b"a", b">From "]), max_size=12), st.lists(st.integers(0, 200))
)
def test_from_lines_are_quoted_whatever_the_cut(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    expected = (b"\n" + data).replace(b"\nFrom ", b"\n>From ")[1:]
    assert expected == b"".join(quoted_lines(iter(cut(data, places))))


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\x00", b"\r\n")), st.lists(st.integers(0, 200)))
def test_line_ends_are_unix_whatever_the_cut(data: bytes, places: list[int]) -> None:
    assert data.replace(b"\r\n", b"\n") == b"".join(unix_lines(iter(cut(data, places))))


def test_mbox_gets_a_from_line_quoted_body_and_empty_line(tmp_path: Path) -> None:
    path = tmp_path / "tony"
    to_mbox(str(path), lines, "a@x.test", now=0, locking=Locking())
    assert from_line("a@x.test", 0) + b"Subject: hi\n\n>From here\nend\n\n" == path.read_bytes()
    assert not (tmp_path / "tony.lock").exists()


def test_mbox_over_its_limit_is_cut_back_to_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tony"
    to_mbox(str(path), lines, "a@x.test", now=0, locking=Locking())
    before = path.read_bytes()
    with pytest.raises(DepositFailed) as failed:
        to_mbox(str(path), lines, "a@x.test", now=0, locking=Locking(), size_limit=len(before) + 10)
    assert failed.value.status == "5.2.2"
    assert before == path.read_bytes()


def test_mbox_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "tony").symlink_to(tmp_path / "target")
    with pytest.raises(DepositFailed):
        to_mbox(str(tmp_path / "tony"), lines, "a@x.test", now=0, locking=Locking())


def test_mbox_locked_by_another_defers(tmp_path: Path) -> None:
    (tmp_path / "tony.lock").write_bytes(b"1")
    with pytest.raises(DepositFailed) as failed:
        to_mbox(str(tmp_path / "tony"), lines, "a@x.test", now=0, locking=Locking(attempts=2, delay=0.0))
    assert failed.value.status == "4.2.0"


def test_maildir_message_lands_in_new_and_nothing_stays_in_tmp(tmp_path: Path) -> None:
    final = to_maildir(f"{tmp_path}/Maildir/", lines, now=1.5)
    assert Path(final).read_bytes() == MESSAGE
    assert Path(final).parent.name == "new"
    assert os.listdir(tmp_path / "Maildir" / "tmp") == []


def test_maildir_names_differ_within_one_moment(tmp_path: Path) -> None:
    assert to_maildir(f"{tmp_path}/", lines, now=1.5) != to_maildir(f"{tmp_path}/", lines, now=1.5)


def test_fields_stand_in_the_order_of_postfix() -> None:
    assert delivery_fields("a@x", "o@x", "d@x") == b"Return-Path: <a@x>\r\nX-Original-To: o@x\r\nDelivered-To: d@x\r\n"
    assert delivery_fields("") == b"Return-Path: <>\r\n"


def test_two_deliveries_of_one_process_keep_each_other_out(tmp_path: Path) -> None:
    """The keeper's threads share a process, and fcntl's old locks would let both in."""
    path = tmp_path / "tony"
    impatient = Locking(kinds=("fcntl",), attempts=1, delay=0)

    def meanwhile() -> Iterator[bytes]:
        with pytest.raises(DepositFailed) as failed:
            to_mbox(str(path), lines, "b@x.test", now=0, locking=impatient)
        assert failed.value.reason.startswith("unable to lock")
        yield MESSAGE

    to_mbox(str(path), meanwhile, "a@x.test", now=0, locking=impatient)
    assert path.read_bytes().count(b"\nFrom ") == 0


def test_an_mbox_with_two_names_is_refused(tmp_path: Path) -> None:
    """A hard link to somebody else's file would have mail appended to it."""
    (tmp_path / "other").write_bytes(b"")
    os.link(tmp_path / "other", tmp_path / "tony")
    with pytest.raises(DepositFailed) as failed:
        to_mbox(str(tmp_path / "tony"), lines, "a@x.test", now=0, locking=Locking())
    assert (failed.value.status, failed.value.reason) == (
        "5.2.0",
        "file has 2 hard links",
    )


def test_a_dot_lock_that_cannot_be_made_defers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def full(path: str, flags: int, mode: int = 0o777) -> int:
        if path.endswith(".lock") or flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DepositFailed) as failed:
        to_mbox(str(tmp_path / "tony"), lines, "a@x.test", now=0, locking=Locking())
    assert failed.value.status == "4.3.0"


def test_a_new_maildir_is_synced_into_the_folder_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("posthouse.host.durable.sync_folder", synced.append)
    to_maildir(str(tmp_path / "home" / "Maildir"), lines, now=0)
    assert {str(tmp_path), str(tmp_path / "home"), str(tmp_path / "home" / "Maildir")} <= set(synced)


def test_odd_local_parts_stand_in_quotes() -> None:
    fields = delivery_fields("a> b@x.test", "o p@y.test", 'd"e@z.test')
    assert fields == (
        b'Return-Path: <"a> b"@x.test>\r\nX-Original-To: "o p"@y.test\r\nDelivered-To: "d\\"e"@z.test\r\n'
    )
    assert from_line("a b@x.test", 0).startswith(b'From "a b"@x.test  ')


LOCAL = Telling("P: ", "5.2.0", DotLock.WANTED)
VIRTUAL = Telling("P: ", "4.2.0", DotLock.NEEDED)


@pytest.mark.parametrize(
    ("path", "telling", "status", "reason"),
    [
        ("none/tony", LOCAL, "5.2.0", "P: unable to create lock file PATH.lock: No such file or directory"),
        ("none/tony", VIRTUAL, "4.2.0", "P: unable to create lock file PATH.lock: No such file or directory"),
        ("folder", LOCAL, "5.2.0", "P: cannot open file: Is a directory"),
        ("folder", VIRTUAL, "4.2.0", "P: cannot open file: Is a directory"),
        ("file/tony", LOCAL, "5.2.0", "P: unable to create lock file PATH.lock: Not a directory"),
    ],
)
def test_what_fails_is_told_in_the_words_of_whose_delivery_it_is(
    tmp_path: Path, path: str, telling: Telling, status: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    name = str(tmp_path / path)
    with pytest.raises(DepositFailed) as failed:
        to_mbox(name, lines, "a@x.test", now=0, locking=Locking(), telling=telling)
    assert (failed.value.status, failed.value.reason) == (status, reason.replace("PATH", name))


def test_a_file_of_an_alias_is_tried_without_its_lock(tmp_path: Path) -> None:
    warned: list[str] = []
    telling = Telling("P: ", "5.2.0", DotLock.TRIED, warned.append)
    name = f"{tmp_path}/none/file"
    with pytest.raises(DepositFailed) as failed:
        to_mbox(name, lines, "a@x.test", now=0, locking=Locking(), telling=telling)
    assert failed.value.reason == "P: cannot create file exclusively: No such file or directory"
    assert warned == [f"unable to create lock file {name}.lock: No such file or directory"]


def test_a_full_device_is_tried_again() -> None:
    with pytest.raises(DepositFailed) as failed:
        to_mbox("/dev/full", lines, "a@x.test", now=0, locking=Locking(), telling=LOCAL)
    assert (failed.value.status, failed.value.reason) == (
        "4.3.0",
        "P: error writing message: No space left on device",
    )


def test_a_mailbox_of_somebody_else_waits(tmp_path: Path) -> None:
    warned: list[str] = []
    telling = Telling("P: ", "5.2.0", DotLock.WANTED, warned.append)
    (tmp_path / "tony").write_text("")
    with pytest.raises(DepositFailed) as failed:
        to_mbox(str(tmp_path / "tony"), lines, "a@x.test", now=0, locking=Locking(), owner=54321, telling=telling)
    assert failed.value.status == "4.2.0"
    assert warned == ['specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch']


def test_a_maildir_that_cannot_be_made_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DepositFailed) as failed:
        to_maildir(f"{tmp_path}/file/", lines, now=1.5, telling=LOCAL)
    assert failed.value.status == "5.2.0"
    assert failed.value.reason.startswith(f"maildir delivery failed: create maildir file {tmp_path}/file/tmp/1.5")
