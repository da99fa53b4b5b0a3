"""The master with workers that only say that they are there: restart, reload, stop, refusals."""

import os
import select
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from posthouse.host.log import MemorySink, ProcessLog
from posthouse.service import master as module
from posthouse.service.channel import READY, RETIRE, STOP, Channel
from posthouse.service.child import Child, Inheritance
from posthouse.service.instance import running_pid
from posthouse.service.master import AlreadyRunning, Master, StartFailed, lock_file

PATIENCE = 20
"""Seconds for what takes milliseconds."""


class House:
    """One instance in a process of its own; its workers tell their ends and beginnings on a pipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reader, self._writer = os.pipe()
        self._said = b""
        self.pid = 0

    def worker(self, inheritance: Inheritance) -> int:
        """A mail worker: READY, then whatever the master says."""
        self.say(f"born {os.getpid()} {inheritance.index} {inheritance.generation}")
        inheritance.channel.send(READY)
        while (message := inheritance.channel.receive()) is not None:
            if message.data in (RETIRE, STOP):
                self.say(f"{message.data.decode()} {os.getpid()}")
                return 0
        return 0

    def say(self, text: str) -> None:
        os.write(self._writer, text.encode() + b"\n")

    def hear(self) -> list[str]:
        """The next line, in words."""
        while b"\n" not in self._said:
            assert select.select([self._reader], [], [], PATIENCE)[0], "nothing was said"
            self._said += os.read(self._reader, 4096)
        line, _, self._said = self._said.partition(b"\n")
        return line.decode().split()

    def start(self, **workers: Callable[[Inheritance], int]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            # This process is the test's own.
            module.THROTTLE = 0.0
            module.claim = partial(module.claim, patience=0.0)
            try:
                status = Master(str(self.folder), workers or {"mail": self.worker}, lambda: self.say("ready")).run()
            except BaseException as error:  # noqa: BLE001 - a child tells everything
                self.say(f"failed {error}")
                os._exit(1)
            os._exit(status)

    def end(self) -> int:
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.end()
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    for name in ("spool", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nmyhostname = mail.x.test\nqueue_directory = {tmp_path}/spool\n"
        f"data_directory = {tmp_path}/data\nmaillog_file = {tmp_path}/log\nmaillog_file_prefixes = {tmp_path}\n"
        "mail_owner = nobody\nposthouse_workers = 1\n"
    )
    (tmp_path / "master.cf").write_text("127.0.0.1:0 inet n - n - - smtpd\n")
    made = House(tmp_path)
    yield made
    made.close()


def test_a_killed_worker_is_started_anew_and_a_stop_ends_all(house: House) -> None:
    house.start()
    word, first, index, generation = house.hear()
    assert (word, index, generation) == ("born", "0", "0")
    assert house.hear() == ["ready"]
    assert running_pid(str(house.folder / "spool")) == house.pid
    os.kill(int(first), signal.SIGKILL)
    word, second, index, generation = house.hear()
    assert (word, index, generation) == ("born", "0", "0")
    assert second != first
    os.kill(house.pid, signal.SIGTERM)
    assert house.hear() == ["stop", second]
    assert house.end() == 0
    assert running_pid(str(house.folder / "spool")) is None
    assert "mail worker pid " + first + " killed by signal 9" in (house.folder / "log").read_text()


def test_a_reload_starts_the_new_before_it_retires_the_old(house: House) -> None:
    house.start()
    first = house.hear()[1]
    assert house.hear() == ["ready"]
    os.kill(house.pid, signal.SIGHUP)
    word, second, _, generation = house.hear()
    assert (word, generation) == ("born", "1")
    assert house.hear() == ["retire", first]
    os.kill(house.pid, signal.SIGTERM)
    assert house.hear() == ["stop", second]
    assert house.end() == 0


def test_a_broken_configuration_does_not_reload(house: House) -> None:
    house.start()
    first = house.hear()[1]
    assert house.hear() == ["ready"]
    (house.folder / "master.cf").write_text("this is no service\n")
    os.kill(house.pid, signal.SIGHUP)
    os.kill(int(first), signal.SIGKILL)
    assert house.hear()[0] == "born"
    assert "going on with the old configuration" in (house.folder / "log").read_text()
    os.kill(house.pid, signal.SIGTERM)
    house.hear()
    assert house.end() == 0


def test_a_worker_that_cannot_start_is_why_the_start_fails(house: House) -> None:
    house.worker = lambda inheritance: 3
    house.start()
    assert house.hear() == ["failed", "mail", "worker:", "exit", "status", "3"]
    assert house.end() == 1


def test_a_port_that_is_taken_is_why_the_start_fails(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (house.folder / "master.cf").write_text(f"127.0.0.1:{port} inet n - n - - smtpd\n")
        house.start()
        assert house.hear() == ["failed", *f"bind 127.0.0.1 port {port}: Address already in use".split()]
    assert house.end() == 1


def test_two_masters_never_run_on_one_spool(house: House) -> None:
    house.start()
    house.hear()
    assert house.hear() == ["ready"]
    with pytest.raises(AlreadyRunning):
        lock_file(str(house.folder / "spool" / "pid" / "master.pid"))
    second = House(house.folder)
    second.start()
    assert second.hear()[0] == "failed"
    assert second.end() == 1
    second.close()
    os.kill(house.pid, signal.SIGTERM)
    assert house.end() == 0


def test_the_end_of_a_channel_is_heard_once() -> None:
    """The death of a child and the end of its channel come in one batch of events, in either order."""
    master = Master("/nowhere", {}, lambda: None)
    ours, theirs = Channel.pair()
    child = Child(1, "mail", 0, 0, ours, 0.0)
    master._selector.register(ours.socket, selectors.EVENT_READ, child)
    theirs.close()
    master._hear(child)
    master._hear(child)
    assert ours.socket.fileno() == -1
    master._selector.close()


def test_without_room_for_a_process_a_running_master_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    master = Master("/nowhere", {}, lambda: None)
    sink = MemorySink()
    master._log = ProcessLog(sink, "postfix/master")

    def no_room(role: str, index: int) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(master, "_start", no_room)
    with pytest.raises(StartFailed, match="cannot start a mail worker: Resource temporarily unavailable"):
        master._start_or_wait("mail", 0)
    master._announced = True
    master._start_or_wait("mail", 0)
    assert [(role, index) for _, role, index in master._waiting] == [("mail", 0)]
    assert len(sink.lines) == 1
    master._selector.close()


def test_the_socket_of_mail_is_there_while_somebody_serves_it(house: House) -> None:
    master_cf = house.folder / "master.cf"
    lines = master_cf.read_text()
    master_cf.write_text(f"{lines}store unix - - n - - store\n")
    house.start(mail=house.worker, access=house.worker)
    born = {house.hear()[1], house.hear()[1]}
    assert house.hear() == ["ready"]
    path = house.folder / "spool" / "posthouse" / "mailbox"
    assert path.stat().st_mode & 0o777 == 0o666
    master_cf.write_text(lines)
    os.kill(house.pid, signal.SIGHUP)
    assert house.hear()[0] == "born"
    assert {house.hear()[1], house.hear()[1]} == born
    assert not path.exists()
    os.kill(house.pid, signal.SIGTERM)
    assert house.hear()[0] == "stop"
    assert house.end() == 0
