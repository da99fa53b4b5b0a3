"""Dot locks: who holds one is written in it, and a dead owner's is broken at once."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from posthouse.host.dot_lock import break_dot_lock, make_dot_lock

STALE = 500.0


def dead_pid() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_a_lock_says_who_holds_it_as_dovecot_reads_it(tmp_path: Path) -> None:
    name = tmp_path / "alice.lock"
    assert make_dot_lock(str(name))
    assert name.read_text() == f"{os.getpid()}:{os.uname().nodename}"
    assert not make_dot_lock(str(name))
    assert not break_dot_lock(str(name), STALE)


def test_a_killed_owners_lock_is_broken_at_once(tmp_path: Path) -> None:
    name = tmp_path / "alice.lock"
    name.write_text(f"{dead_pid()}:{os.uname().nodename}")
    assert break_dot_lock(str(name), STALE)
    assert list(tmp_path.iterdir()) == []
    assert make_dot_lock(str(name))


def test_a_lock_of_another_machine_or_without_an_owner_waits_for_its_age(tmp_path: Path) -> None:
    name = tmp_path / "alice.lock"
    for text in (
        f"{dead_pid()}:elsewhere.example",
        "",
        "0",
        f"{dead_pid()}",
        "x" * 1000,
        f"99999999999:{os.uname().nodename}",
    ):
        name.write_text(text)
        assert not break_dot_lock(str(name), STALE), text
        assert name.exists()
    assert break_dot_lock(str(name), -1.0)
    assert not name.exists()


def test_a_lock_that_is_gone_meanwhile_is_tried_for_again(tmp_path: Path) -> None:
    assert break_dot_lock(str(tmp_path / "alice.lock"), STALE)


def test_without_nameless_files_a_lock_is_made_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def plain(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", plain)
    name = tmp_path / "alice.lock"
    assert make_dot_lock(str(name))
    assert not make_dot_lock(str(name))
    assert name.read_text() == f"{os.getpid()}:{os.uname().nodename}"
