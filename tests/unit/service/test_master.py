"""The master with workers that only say that they are there: restart, reload, stop, refusals."""

import contextlib
import os
import select
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.host.users import own_identity
from posthouse.service import instance
from posthouse.service import master as module
from posthouse.service.channel import FATAL, LEFT, READY, RETIRE, STOP, Channel
from posthouse.service.child import Child, Inheritance
from posthouse.service.generation import Generation, MasterSettings
from posthouse.service.instance import running_pid
from posthouse.service.master import Master, StartFailed
from posthouse.service.master_locks import AlreadyRunning, lock_file

PATIENCE = 60
"""Seconds for what takes milliseconds."""


def generation(number: int) -> Generation:
    """One that wants a mail worker and no listener."""
    configuration = Configuration("/nowhere", {})
    return Generation(
        number, configuration, read_settings(MasterSettings, configuration), (), own_identity(), {"mail": 1}
    )


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
    said = "open lock file pid/master.pid: unable to set exclusive lock: Resource temporarily unavailable"
    with pytest.raises(AlreadyRunning, match=said):
        lock_file(str(house.folder / "spool" / "pid" / "master.pid"), "pid/master.pid")
    second = House(house.folder)
    second.start()
    assert second.hear() == ["failed", *said.split()]
    assert second.end() == 1
    second.close()
    assert f"fatal: {said}" in (house.folder / "log").read_text()
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
    master._settled = generation(1)
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
    assert instance.reload(str(house.folder / "spool")) is None
    assert house.hear()[0] == "born"
    assert {house.hear()[1], house.hear()[1]} == born
    assert not path.exists()
    os.kill(house.pid, signal.SIGTERM)
    assert house.hear()[0] == "stop"
    assert house.end() == 0


def serving(house: House) -> Callable[[Inheritance], int]:
    """A worker that greets whoever connects with its pid, until it is retired."""

    def worker(inheritance: Inheritance) -> int:
        if "refuse" in inheritance.configuration.value("mail_name"):
            inheritance.channel.send(FATAL + b"no table")
            return 1
        selector = selectors.DefaultSelector()
        selector.register(inheritance.channel.socket, selectors.EVENT_READ)
        for _, bound in inheritance.sockets:
            bound.listen(100)
            selector.register(bound, selectors.EVENT_READ, bound)
        inheritance.channel.send(READY)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    message = inheritance.channel.receive()
                    if message is not None and message.data not in (RETIRE, STOP):
                        continue
                    for _, bound in inheritance.sockets:
                        while greet(bound):
                            pass
                        bound.close()
                    inheritance.channel.send(LEFT)
                    return 0
                greet(key.data)

    def greet(bound: socket.socket) -> bool:
        try:
            connection, _ = bound.accept()
        except BlockingIOError:
            return False
        with connection:
            connection.sendall(b"%d" % os.getpid())
        return True

    return worker


class Callers:
    """Calls all the time, in a thread; each must be answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: set[bytes] = set()
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.answered.add(call(self.port))
            except OSError as error:
                self.failures.append(str(error))

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def call(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        said = connection.recv(100)
        if not said:
            raise OSError("no greeting")
        return said


@pytest.fixture
def port(house: House) -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    (house.folder / "master.cf").write_text(f"127.0.0.1:{number} inet n - n - - smtpd\n")
    return number


def set_parameter(house: House, name: str, value: str) -> None:
    with (house.folder / "main.cf").open("a") as file:
        file.write(f"{name} = {value}\n")


def test_reloads_to_more_and_to_fewer_workers_drop_no_connection(house: House, port: int) -> None:
    house.start(mail=serving(house))
    assert house.hear() == ["ready"]
    queue = str(house.folder / "spool")
    with Callers(port) as callers:
        for workers in (3, 1, 2, 2, 1):
            set_parameter(house, "posthouse_workers", str(workers))
            assert instance.reload(queue) is None
            before = call(port)
            callers.answered.clear()
            assert instance.reload(queue) is None
            assert call(port) != before, "one that had been retired answered"
    assert callers.failures == []
    os.kill(house.pid, signal.SIGTERM)
    assert house.end() == 0


def test_a_reload_that_fails_in_a_worker_says_so_and_the_old_one_serves(house: House, port: int) -> None:
    house.start(mail=serving(house))
    assert house.hear() == ["ready"]
    queue = str(house.folder / "spool")
    before = call(port)
    with Callers(port) as callers:
        set_parameter(house, "posthouse_workers", "2")
        set_parameter(house, "mail_name", "refuse")
        assert instance.reload(queue) == "no table"
        assert {call(port) for _ in range(20)} == {before}
        set_parameter(house, "mail_name", "Postfix")
        assert instance.reload(queue) is None
        assert before not in {call(port) for _ in range(20)}
    assert callers.failures == []
    text = (house.folder / "log").read_text()
    assert "reload: no table; going on with the old configuration" in text
    assert text.count("reload -- version") == 1
    os.kill(house.pid, signal.SIGTERM)
    assert house.end() == 0


def test_what_died_during_a_reload_that_failed_is_started_anew(house: House, port: int) -> None:
    house.start(mail=serving(house))
    assert house.hear() == ["ready"]
    before = int(call(port))
    set_parameter(house, "mail_name", "refuse")
    os.kill(house.pid, signal.SIGSTOP)
    os.kill(house.pid, signal.SIGHUP)
    os.kill(before, signal.SIGKILL)
    os.kill(house.pid, signal.SIGCONT)
    # It is started with the configuration that the master has; the broken one was never taken.
    assert int(call(port)) != before


def test_a_broken_configuration_is_what_a_reload_says(house: House) -> None:
    house.start()
    house.hear()
    assert house.hear() == ["ready"]
    (house.folder / "master.cf").write_text("this is no service\n")
    said = instance.reload(str(house.folder / "spool"))
    assert said is not None
    assert "master.cf" in said
    os.kill(house.pid, signal.SIGTERM)
    house.hear()
    assert house.end() == 0


def test_an_endpoint_that_is_no_longer_wanted_is_closed(house: House, port: int) -> None:
    house.start(mail=serving(house))
    assert house.hear() == ["ready"]
    call(port)
    (house.folder / "master.cf").write_text("127.0.0.1:0 inet n - n - - smtpd\n")
    assert instance.reload(str(house.folder / "spool")) is None
    with pytest.raises(ConnectionRefusedError):
        while True:  # until the retired worker has heard of it
            with contextlib.suppress(ConnectionResetError):
                call(port)
    os.kill(house.pid, signal.SIGTERM)
    assert house.end() == 0


def test_a_reload_of_a_master_that_is_gone_says_so(house: House) -> None:
    house.start()
    house.hear()
    assert house.hear() == ["ready"]
    queue = str(house.folder / "spool")
    os.kill(house.pid, signal.SIGSTOP)
    killer = threading.Timer(0.1, os.kill, (house.pid, signal.SIGKILL))
    killer.start()
    assert instance.reload(queue) == "the master ended"
    killer.join()
