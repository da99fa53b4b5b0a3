"""Children are forked: what they keep, and what the master hears of their end."""

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.host.users import own_identity
from posthouse.service.channel import READY, Channel, Message
from posthouse.service.child import Inheritance, spawn


def born(
    main: Callable[[Inheritance], int], *, close: tuple[Channel, ...] = (), locks: tuple[int, ...] = (), **more: object
) -> tuple[int, list[Message]]:
    """Its exit status and what it said."""
    ours, theirs = Channel.pair()
    inheritance = Inheritance(
        role="mail",
        index=0,
        count=1,
        configuration=Configuration("/nowhere", {}),
        services=(),
        sockets=(),
        identity=own_identity(),
        log_descriptor=None,
        channel=theirs,
        **more,
    )
    child = spawn(inheritance, main, close, more.get("sockets_of_all", ()), locks, ours, 0.0)
    said = []
    while (message := child.channel.receive()) is not None:
        said.append(message)
    child.channel.close()
    return os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]), said


def test_a_child_exits_with_what_its_main_returns() -> None:
    def main(inheritance: Inheritance) -> int:
        inheritance.channel.send(READY)
        return 7

    assert born(main) == (7, [Message(READY)])


def test_a_child_that_breaks_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    def main(inheritance: Inheritance) -> int:
        raise ValueError("no table")

    assert born(main) == (1, [Message(b"fatal ValueError: no table")])


def test_a_child_keeps_no_lock_of_the_master(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    reader, writer = os.pipe()

    def main(inheritance: Inheritance) -> int:
        try:
            os.fstat(lock)
        except OSError:
            return 0
        return 1

    assert born(main, locks=(lock,)) == (0, [])
    for descriptor in (lock, reader, writer):
        os.close(descriptor)


def test_a_child_keeps_no_end_of_its_brothers() -> None:
    ours, theirs = Channel.pair()

    def main(inheritance: Inheritance) -> int:
        return 0 if ours.socket.fileno() == -1 else 1

    assert born(main, close=(ours,)) == (0, [])
    ours.close()
    theirs.close()


def test_a_child_keeps_its_own_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mine:

        def main(inheritance: Inheritance) -> int:
            return 0 if mine.fileno() != -1 else 1

        assert born(main, intake_socket=mine)[0] == 0
