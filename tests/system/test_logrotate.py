"""`postfix logrotate`: the old log is compressed, and every process of the system goes on in the new one."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.system.kill9 import instance
from tests.system.machine import Instance, eventually

PIPE = "script unix - n n - - pipe user={user} argv=/bin/true\n"


@pytest.fixture
def running() -> Iterator[Instance]:
    with instance(free_port(), free_port()) as made:
        with (made.configuration / "master.cf").open("a") as file:
            file.write(PIPE.format(user="nobody"))
        made.do("postconf", "-e", "default_transport = script:", "relayhost =")
        made.start()
        yield made


def open_logs(process: int) -> set[str]:
    """The mail logs that a process has open."""
    found = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if "mail.log" in target:
            found.add(target)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="a child of the keeper needs root")
def test_every_process_goes_on_in_the_new_log(running: Instance) -> None:
    running.do("sendmail", "a@far.test", stdin="Subject: first\n\nhello\n")
    running.logged("status=sent .delivered via script service")
    processes = running.processes()
    assert len(processes) >= 4, "master, keeper, its child, a mail worker"
    for process in processes:
        assert open_logs(process) == {str(running.log)}
    assert running.run("postfix", "logrotate").status == 0
    (old,) = running.log.parent.glob("mail.log.*")
    assert old.suffix == ".gz"
    assert "delivered via script service" in gzip.decompress(old.read_bytes()).decode()
    for process in processes:
        eventually(lambda process=process: open_logs(process) == {str(running.log)}, f"{process} and the new log")
    assert running.processes() == processes
    assert "delivered via" not in running.text()
    running.do("sendmail", "a@far.test", stdin="Subject: second\n\nhello\n")
    running.logged("status=sent .delivered via script service")


@pytest.mark.parametrize(
    ("setting", "words", "said"),
    [
        ("biff = no", ("more",), "usage postfix logrotate (no arguments)"),
        ("maillog_file =", (), "empty 'maillog_file' parameter value - logfile rotation failed"),
        ("maillog_file_compressor =", (), "bad string length 0 < 1: maillog_file_compressor ="),
        ("maillog_file = /dev/stdout", (), "not rotating '/dev/stdout'"),
        ("maillog_file_compressor = /nowhere/gzip", (), "rotation failed: /nowhere/gzip: No such file or directory"),
    ],
)
def test_what_cannot_be_rotated_is_said_as_in_postfix(setting: str, words: tuple[str, ...], said: str) -> None:
    with instance(free_port(), free_port()) as made:
        made.log.touch()
        made.do("postconf", "-e", setting)
        ran = made.run("postfix", "logrotate", *words)
        assert ran.status == 1
        assert said in ran.err
