"""`postfix WORD`, Postfix's and ours, in private instances: exit statuses and what stands in the log."""

import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_port
from tests.interop.peers import peer
from tests.system.machine import alive, eventually, run

MAIN_CF = """\
compatibility_level = 3.6
myhostname = both.test
mydestination =
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
master_service_disable = 127.0.0.1:{other}/inet
biff = no
"""

MASTER_CF = "127.0.0.1:{port} inet n - n - - smtpd\n127.0.0.1:{other} inet n - n - - smtpd\n" + SERVICES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the real Postfix needs root")


@dataclass(frozen=True, slots=True)
class System:
    """One instance, and the program that starts and stops it."""

    folder: Path
    program: str
    port: int
    other: int

    def postfix(self, *words: str) -> tuple[int, list[str]]:
        """Exit status, and the lines of the log that are no notes about folders, without times and numbers."""
        log = self.folder / "mail.log"
        before = log.stat().st_size if log.exists() else 0
        ran = run([self.program, "-c", str(self.folder / "etc"), *words])
        if words == ("stop",) and ran.status == 0:
            eventually(lambda: not self.running(), "the end of the master")
        if words == ("abort",):
            eventually(lambda: not self.running(), "the end of the master")
        lines = log.read_text()[before:].splitlines() if log.exists() else []
        said = [re.sub(r"^.*? (postfix/\S+?)\[\d+\]:", r"\1:", line) for line in lines]
        said = [line.replace(str(self.folder), "FOLDER") for line in said]
        said = [re.sub(r"PID: \d+", "PID: N", line) for line in said]
        # Postfix's master runs as one process of its own postlogd, which is asked to write and may come later.
        return ran.status, [line for line in said if "postfix-script" in line and "warning:" not in line]

    def pid(self) -> int | None:
        """What stands in the pid file."""
        try:
            words = (self.folder / "spool" / "pid" / "master.pid").read_text().split()
        except OSError:
            return None
        return int(words[0]) if words else None

    def running(self) -> bool:
        """Whether the master runs."""
        pid = self.pid()
        return pid is not None and alive(pid)

    def listens(self, port: int) -> bool:
        """Whether somebody answers there."""
        try:
            with socket.create_connection(("127.0.0.1", port), 10):
                return True
        except ConnectionRefusedError:
            return False


@pytest.fixture(params=["Postfix's", "ours"])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    folder = Path(tempfile.mkdtemp(prefix="posthouse-words-"))
    folder.chmod(0o755)
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    port, other = free_port(), free_port()
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(folder=folder, other=other))
    (folder / "etc" / "master.cf").write_text(MASTER_CF.replace("{port}", str(port)).replace("{other}", str(other)))
    program = peer("postfix") if request.param == "Postfix's" else "postfix"
    made = System(folder, program, port, other)
    try:
        yield made
    finally:
        if made.running():
            made.postfix("stop")
        shutil.rmtree(folder)


SCRIPT = "postfix/postfix-script: "
TITLE = "the Postfix mail system"


def test_the_words_of_a_day(system: System) -> None:
    down = [f"{SCRIPT}fatal: {TITLE} is not running"]
    for word in ("stop", "abort", "reload"):
        assert system.postfix(word) == (1, down), word
    assert system.postfix("status") == (1, [f"{SCRIPT}{TITLE} is not running"])
    assert system.postfix("flush")[0] == 69
    assert system.postfix("start") == (0, [f"{SCRIPT}starting {TITLE}"])
    eventually(lambda: system.listens(system.port), "the listener")
    assert not system.listens(system.other), "master_service_disable"
    assert system.postfix("start") == (1, [f"{SCRIPT}fatal: {TITLE} is already running"])
    assert system.postfix("start-fg") == (1, [f"{SCRIPT}fatal: {TITLE} is already running"])
    assert system.postfix("status") == (0, [f"{SCRIPT}{TITLE} is running: PID: N"])
    assert system.postfix("reload") == (0, [f"{SCRIPT}refreshing {TITLE}"])
    status, said = system.postfix("bogus")
    assert (status, said[0].partition(". Usage")[0]) == (1, f"{SCRIPT}fatal: unknown command: 'bogus'")
    status, said = system.postfix("stop")
    assert (status, said[:1]) == (0, [f"{SCRIPT}stopping {TITLE}"])
    assert system.postfix("start") == (0, [f"{SCRIPT}starting {TITLE}"])
    status, said = system.postfix("abort")
    if said or system.program == "postfix":  # Postfix's own postlogd may be gone before it has written it
        assert said == [f"{SCRIPT}aborting {TITLE}"]
    assert status == 0
    assert system.postfix("status") == (1, [f"{SCRIPT}{TITLE} is not running"])


def test_what_each_leaves_the_other_can_lock(system: System) -> None:
    assert system.postfix("start")[0] == 0
    lock, pid = system.folder / "data" / "master.lock", system.folder / "spool" / "pid" / "master.pid"
    assert pid.read_text() == lock.read_text() == f"{system.pid():32d}\n"
    assert (lock.owner(), pid.owner()) == ("postfix", "root")
    system.postfix("stop")
    others = System(system.folder, peer("postfix") if system.program == "postfix" else "postfix", system.port, 0)
    assert others.postfix("start")[0] == 0
    assert system.postfix("start") == (1, [f"{SCRIPT}fatal: {TITLE} is already running"])
    assert others.postfix("stop")[0] == 0


def test_a_lock_that_somebody_holds(system: System) -> None:
    lock = system.folder / "data" / "master.lock"
    with lock.open("w") as file:
        shutil.chown(lock, "postfix")
        fcntl.flock(file, fcntl.LOCK_EX)
        status, said = system.postfix("start")
    assert (status, said) == (1, [f"{SCRIPT}starting {TITLE}", f"{SCRIPT}fatal: mail system startup failed"])
    text = (system.folder / "mail.log").read_text()
    assert f"fatal: open lock file {lock}: unable to set exclusive lock: Resource temporarily unavailable" in text
