import os
from pathlib import Path

import pytest

from posthouse.host.clock import SystemClock, VirtualClock
from posthouse.host.durable import make_folder, write_durable
from posthouse.host.locks import take_lock


def test_a_lock_is_exclusive_until_it_is_released(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = take_lock(path)
    assert lock is not None
    assert take_lock(path) is None
    lock.release()
    lock.release()
    again = take_lock(path)
    assert again is not None
    again.release()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    pid = os.fork()
    if not pid:
        take_lock(path)
        os._exit(0)
    os.waitpid(pid, 0)
    lock = take_lock(path)
    assert lock is not None
    lock.release()


def test_a_lock_is_on_the_file_that_has_the_name(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    old = take_lock(path)
    os.unlink(path)
    new = take_lock(path)
    assert old is not None
    assert new is not None
    old.release()
    new.release()


def test_a_lock_in_a_missing_folder_is_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take_lock(str(tmp_path / "gone" / "lock"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durable(str(path), b"old")
    write_durable(str(path), b"new", 0o640)
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError):
        write_durable(str(path), b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_folders_are_made_with_those_above(tmp_path: Path) -> None:
    make_folder(str(tmp_path / "a" / "b"))
    make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock(100.0)
    clock.advance(5)
    clock.jump(-50)
    assert (clock.now(), clock.steady()) == (55.0, 5.0)
    assert SystemClock().now() > 1.7e9
