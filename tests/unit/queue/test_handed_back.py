"""Files of Postfix's queue, written and named; what a kill in between leaves."""

import os
from pathlib import Path

import pytest

from posthouse.queue.handed_back import Entry, Form, PostfixQueue, settle_broken_off
from tests.queue_files import queue_file

FORM = Form(0o700, os.geteuid(), os.getegid(), 2_000_000_000.0)
DATA = queue_file(b"Subject: t\r\n\r\nbody\r\n")
ID = "AAAAAAAAAA1"


@pytest.fixture
def spool(tmp_path: Path) -> PostfixQueue:
    for name in ("incoming", "deferred", "hold", "maildrop", "defer", "bounce", "trace"):
        (tmp_path / name).mkdir()
    return PostfixQueue(str(tmp_path), long_ids=False)


def files(spool: PostfixQueue) -> list[str]:
    return sorted(str(path.relative_to(spool.path)) for path in Path(spool.path).rglob("*") if path.is_file())


def test_a_file_ends_in_its_inode_and_its_logs_have_its_name(spool: PostfixQueue) -> None:
    spool.write([Entry("deferred", ID, DATA, FORM, {"defer": b"why"})])
    path = Path(spool.path, "deferred", ID + ".new")
    name = f"CC3A0{path.stat().st_ino:X}"  # 836512 microseconds
    assert files(spool) == [f"defer/{name}", f"deferred/{ID}.new"]
    spool.name([Entry("deferred", ID, DATA, FORM)])
    assert files(spool) == [f"defer/{name}", f"deferred/{name}"]
    status = Path(spool.path, "deferred", name).stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o700, 2_000_000_000)
    assert Path(spool.path, "defer", name).stat().st_mode & 0o777 == 0o600


def test_long_names_have_the_arrival_time_and_the_inode(spool: PostfixQueue) -> None:
    from posthouse.queue.queue_id import number_of

    long = PostfixQueue(spool.path, long_ids=True)
    long.write([Entry("hold", ID, DATA, FORM, {})])
    long.name([Entry("hold", ID, DATA, FORM)])
    (path,) = Path(spool.path, "hold").iterdir()
    assert number_of(path.name) == path.stat().st_ino
    assert path.name.startswith("4jYZRR")


def test_a_file_whose_message_is_gone_gets_its_name(spool: PostfixQueue) -> None:
    spool.write([Entry("hold", ID, DATA, FORM, {"bounce": b"owed"})])
    assert spool.settle(lambda folder, queue_id: False) == 1
    assert [name.partition("/")[0] for name in files(spool)] == ["bounce", "hold"]
    assert list(spool.waiting()) == []


def test_a_file_beside_its_message_is_deleted_with_its_logs(spool: PostfixQueue) -> None:
    spool.write([Entry("hold", ID, DATA, FORM, {"bounce": b"owed"})])
    asked = []
    assert spool.settle(lambda folder, queue_id: bool(asked.append((folder, queue_id)) or True)) == 0
    assert (asked, files(spool)) == ([("hold", ID)], [])


def test_what_nobody_wrote_is_left(spool: PostfixQueue) -> None:
    Path(spool.path, "hold", "x.new").write_bytes(b"junk")
    assert spool.settle(lambda folder, queue_id: False) == 0
    assert files(spool) == ["hold/x.new"]


def test_links_are_not_followed(spool: PostfixQueue, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"v")
    Path(spool.path, "hold", ID + ".new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        spool.write([Entry("hold", ID, DATA, FORM, {})])
    assert (tmp_path / "victim").read_bytes() == b"v"
    os.rmdir(tmp_path / "deferred")
    (tmp_path / "deferred").symlink_to(tmp_path / "hold")
    with pytest.raises(OSError, match="deferred"):
        spool.write([Entry("deferred", ID, DATA, FORM, {})])


def test_a_start_settles_against_our_own_queue(spool: PostfixQueue) -> None:
    """Without a queue of ours every file is the only one of its message."""
    spool.write([Entry("incoming", ID, DATA, FORM, {})])
    assert settle_broken_off(spool.path, long_ids=False) == 1
    assert settle_broken_off(spool.path, long_ids=False) == 0
    assert settle_broken_off(spool.path + "/nowhere", long_ids=False) == 0
