"""spawn(8) in the keeper: what a line says, and commands that talk over their connection."""

import os
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import parse_master_cf
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.host.users import Identity
from posthouse.service.spawned import Spawned, SpawnedServices, parse_spawn

OWNER = Identity(64999, 64999)
"""Nobody's: mail_owner's own rights are refused to commands."""


@pytest.mark.parametrize(
    ("words", "argv", "user"),
    [
        (("user=a", "argv=/bin/x", "-v", "argv=y"), ("/bin/x", "-v", "argv=y"), "a"),
        (("user=a:b", "argv=/bin/x"), ("/bin/x",), "a:b"),
    ],
)
def test_the_words_of_a_line(words: tuple[str, ...], argv: tuple[str, ...], user: str) -> None:
    command = parse_spawn(words, 1)
    assert (argv, user) == (command.argv, command.user)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("argv=/bin/x",), "missing user= command-line attribute"),
        (("user=a",), "missing argv= command-line attribute"),
        (("user=a", "argv="), "missing argv= command-line attribute"),
        (("flags=F", "user=a", "argv=/bin/x"), "unknown attribute name: flags=F"),
    ],
)
def test_a_line_that_cannot_be_understood(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spawn(words, 7)
    assert caught.value.text == f"master.cf, line 7: {complaint}"


@given(st.lists(st.sampled_from(["user=a", "argv=/x", "argv=", "-v", ""]) | st.text(max_size=9)))
def test_any_words_are_a_command_or_refused(words: list[str]) -> None:
    try:
        command = parse_spawn(words, 1)
        assert command.argv
        assert command.user
    except ConfigError:
        pass


class Keeper:
    """A keeper's loop around the services of one master.cf."""

    def __init__(self, folder: Path, master: str, **values: str) -> None:
        self.sink = MemorySink()
        configuration = Configuration(
            "/etc/postfix", {"myhostname": "mail.example", "queue_directory": str(folder), **values}
        )
        services = parse_master_cf(master, "master.cf").services
        self.spawned = SpawnedServices.open(configuration, services, OWNER, ProcessLog(self.sink, "postfix/spawn", 1))
        self.selector = selectors.DefaultSelector()
        self.spawned.watch(self.selector)

    def turn(self) -> None:
        """One round."""
        for key, _ in self.selector.select(0.05):
            assert isinstance(key.data, Spawned)
            assert isinstance(key.fileobj, socket.socket)
            self.spawned.accept(key.data, key.fileobj, lambda: None)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self.spawned.ended(pid, status)
        self.spawned.end_late_ones()
        self.spawned.watch(self.selector)

    def until(self, text: str) -> None:
        """Go round until the log has a line."""
        end = time.monotonic() + 10
        while not any(text in line for line in self.lines()):
            assert time.monotonic() < end, self.lines()
            self.turn()

    def lines(self) -> list[str]:
        """What was logged."""
        return self.sink.lines


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: commands run as another user")
    (tmp_path / "private").mkdir()
    return tmp_path


def connected(folder: Path, name: str = "echo") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(folder / "private" / name))
    client.settimeout(10)
    return client


def read_all(keeper: Keeper, client: socket.socket) -> bytes:
    """Until the command ends."""
    client.setblocking(False)
    found = b""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        keeper.turn()
        try:
            data = client.recv(4096)
        except BlockingIOError:
            continue
        if not data:
            return found
        found += data
    raise AssertionError(found)


ECHO = "echo unix - n n - {limit} spawn user=nobody argv=/bin/sh -c {{ {script} }}\n"


def test_the_connection_is_the_commands_input_and_output(folder: Path) -> None:
    keeper = Keeper(folder, ECHO.format(limit=1, script="id -un; read line; echo got $line; echo err >&2"))
    with connected(folder) as client:
        client.sendall(b"hello\n")
        assert read_all(keeper, client) == b"nobody\ngot hello\nerr\n"
    keeper.spawned.close(keeper.selector)


def test_the_next_one_waits_when_all_are_busy(folder: Path) -> None:
    keeper = Keeper(folder, ECHO.format(limit=1, script="read line; echo $line"))
    with connected(folder) as first, connected(folder) as second:
        second.sendall(b"2\n")
        keeper.turn()
        keeper.turn()
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(10)
        first.sendall(b"1\n")
        assert read_all(keeper, first) == b"1\n"
        assert read_all(keeper, second) == b"2\n"
    keeper.spawned.close(keeper.selector)


def test_how_a_command_ended_is_told(folder: Path) -> None:
    keeper = Keeper(folder, ECHO.format(limit=1, script="exit 3"))
    with connected(folder):
        keeper.until("command /bin/sh exit status 3")
    keeper.spawned.close(keeper.selector)


def test_a_command_that_lasts_is_ended(folder: Path) -> None:
    keeper = Keeper(folder, ECHO.format(limit=1, script="exec cat"), echo_time_limit="1s")
    with connected(folder):
        keeper.until("command time limit exceeded")
        keeper.until("command /bin/sh killed by signal 9")
    keeper.spawned.close(keeper.selector)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a unix - n n - 1 spawn user=no-such-user-here argv=/bin/true", "unknown username: no-such-user-here"),
        ("a unix - n n - 1 spawn user=root argv=/bin/true", "specifies root privileges"),
        ("a unix - n n - 1 spawn argv=/bin/true", "missing user= command-line attribute"),
        ("a pass - n n - 1 spawn user=nobody argv=/bin/true", "type pass is not served"),
    ],
)
def test_a_line_that_cannot_be_served_is_told_and_the_others_are(folder: Path, line: str, complaint: str) -> None:
    keeper = Keeper(folder, f"{line}\n" + ECHO.format(limit=1, script="echo served"))
    assert [text for text in keeper.lines() if complaint in text]
    with connected(folder) as client:
        assert read_all(keeper, client) == b"served\n"
    keeper.spawned.close(keeper.selector)
