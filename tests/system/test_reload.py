"""`postfix reload` under traffic: it returns when new workers have the listeners, and nobody is turned away."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.free_port import free_port
from tests.system.kill9 import instance
from tests.system.machine import Instance, descendants, eventually

PATIENCE = 30.0
"""Seconds for one reply."""


class Dialogue:
    """An SMTP client that says one thing at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._lines = self._socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> int:
        """The code of one reply."""
        while (line := self._lines.readline())[3:4] == b"-":
            pass
        if not line:
            raise EOFError
        return int(line[:3])

    def say(self, line: str) -> int:
        """One command, or the end of the content."""
        self._socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Passers:
    """Connect, greet, quit, all the time; each dialogue must go well."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.count = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                dialogue = Dialogue(self._port)
                codes = [dialogue.greeting, dialogue.say("EHLO client.test"), dialogue.say("QUIT")]
                dialogue.close()
                if codes != [220, 250, 221]:
                    self.failures.append(str(codes))
                self.count += 1
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self) -> "Passers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def relay() -> Iterator[tuple[Instance, int]]:
    port = free_port()
    with instance(port, free_port()) as made:
        made.start()
        yield made, port


def set_parameter(relay: Instance, setting: str) -> None:
    relay.do("postconf", "-c", str(relay.configuration), "-e", setting)


def test_reloads_under_traffic_drop_no_connection(relay: tuple[Instance, int]) -> None:
    running, port = relay
    open_session = Dialogue(port)
    assert open_session.say("EHLO client.test") == 250
    first = set(descendants(running.master() or 0))
    with Passers(port) as passers:
        for workers in (2, 1, 3, 1):
            set_parameter(running, f"posthouse_workers = {workers}")
            ran = running.postfix("reload")
            assert ran.status == 0, ran
    assert passers.failures == []
    assert passers.count > 10
    # A session that was there before all that goes on, and its worker answers for what it has.
    begun = time.monotonic()
    assert "Mail queue is empty" in running.do("postqueue", "-p")
    assert time.monotonic() - begun < 10
    for line, code in (
        ("MAIL FROM:<a@client.test>", 250),
        ("RCPT TO:<b@far.test>", 250),
        ("DATA", 354),
        ("Subject: kept\r\n\r\nhello\r\n.", 250),
    ):
        assert open_session.say(line) == code
    assert "b@far.test" in running.do("postqueue", "-p")
    open_session.say("QUIT")
    open_session.close()
    eventually(lambda: not first & set(descendants(running.master() or 0)), "the end of the retired")
    eventually(lambda: "b@far.test" in running.do("postqueue", "-p"), "the message with its heir")
    assert "Traceback" not in running.text()


def test_a_reload_that_cannot_bind_says_why_and_the_old_workers_serve(relay: tuple[Instance, int]) -> None:
    running, port = relay
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with (running.configuration / "master.cf").open("a") as file:
            file.write(f"127.0.0.1:{taken.getsockname()[1]} inet n - n - - smtpd\n")
        before = set(descendants(running.master() or 0))
        ran = running.postfix("reload")
    assert ran.status == 1
    assert "Address already in use" in ran.err
    assert "going on with the old configuration" in running.text()
    assert before == set(descendants(running.master() or 0))
    assert Dialogue(port).greeting == 220
    assert os.path.exists(running.queue_directory / "pid" / "master.reload")
