"""One instance as its operator sees it: known by its lock, not by a number in a file."""

import fcntl
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.service import instance


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    (tmp_path / "pid").mkdir()
    return tmp_path


class FakeMaster:
    """A process that holds the pid file's lock until a signal ends it."""

    def __init__(self, queue: Path) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            descriptor = os.open(queue / "pid" / "master.pid", os.O_RDWR | os.O_CREAT)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            os.write(writer, b"!")
            while True:
                signal.pause()
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)

    def end(self) -> int:
        """How it ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def master(queue: Path) -> Iterator[FakeMaster]:
    running = FakeMaster(queue)
    yield running
    try:
        os.kill(running.pid, signal.SIGKILL)
        running.end()
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_master_is_known_by_its_lock(queue: Path, master: FakeMaster) -> None:
    assert instance.running_pid(str(queue)) == master.pid


def test_a_number_without_a_lock_is_nobody(queue: Path) -> None:
    (queue / "pid" / "master.pid").write_text(f"{os.getpid()}\n")
    assert instance.running_pid(str(queue)) is None


def test_no_file_is_nobody(tmp_path: Path) -> None:
    assert instance.running_pid(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "x\n", "-5\n"])
def test_a_locked_file_without_a_number_is_no_reason_to_signal_anybody(queue: Path, text: str) -> None:
    path = queue / "pid" / "master.pid"
    path.write_text(text)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert instance.running_pid(str(queue)) is None


def test_stop_asks_and_waits_for_the_end(queue: Path, master: FakeMaster) -> None:
    assert instance.stop(str(queue)) is True
    assert master.end() == 0


def test_stop_says_that_it_waits_and_gives_up_when_its_patience_ends(queue: Path, master: FakeMaster) -> None:
    os.kill(master.pid, signal.SIGSTOP)
    times = itertools.count(0.0, 1e9)
    said: list[str] = []
    assert instance.stop(str(queue), lambda: said.append("waiting"), clock=lambda: next(times)) is False
    assert said == ["waiting"] * 5


def test_force_ends_it(queue: Path, master: FakeMaster) -> None:
    instance.force(str(queue))
    assert master.end() == -signal.SIGKILL


def test_abort_ends_it_at_once(queue: Path, master: FakeMaster) -> None:
    instance.abort(str(queue))
    assert master.end() == -signal.SIGKILL


def test_with_nobody_there_nothing_is_signalled(queue: Path) -> None:
    assert instance.stop(str(queue)) is True
    instance.abort(str(queue))
    instance.force(str(queue))
    assert instance.reload(str(queue)) == "the mail system is not running"
    instance.reopen_log(str(queue))


def test_start_returns_when_the_master_is_ready() -> None:
    def run(ready) -> int:
        ready()
        return 0

    assert instance.start(run) is None


def test_start_tells_why_the_master_did_not_come_up() -> None:
    def run(ready) -> int:
        raise RuntimeError("bind 127.0.0.1 port 25: in use")

    assert instance.start(run) == "bind 127.0.0.1 port 25: in use"


def test_start_tells_that_a_master_ended_without_a_word() -> None:
    assert instance.start(lambda ready: 0) == "the master ended before it was ready"


def test_what_a_real_postfix_left_is_counted(tmp_path: Path) -> None:
    for name in ("deferred/A/AB12", "deferred/B/BC34", "hold/C1", "posthouse/maildrop/X", "corrupt/Y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "active").mkdir()
    assert list(instance.left_by_postfix(str(tmp_path))) == [("deferred", 2), ("hold", 1)]
