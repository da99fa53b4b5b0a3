"""`kill -9` of the keeper, its children and access workers while they are at work: mail comes, sessions come again."""

import asyncio
import contextlib
import os
import poplib
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.system.kill9 import Clients, instance
from tests.system.machine import Instance, descendants, eventually, status_of, uids

NOBODY = 65534
LETTERS = 12


@pytest.fixture
def house() -> Iterator[tuple[Instance, int]]:
    port = free_port()
    with instance(port, free_port()) as made:
        yield made, port


def keepers(running: Instance) -> tuple[list[int], list[int]]:
    """The keeper, and its children that carry errands out."""
    below = descendants(running.master() or 0)
    return [p for p in below if uids(p) == {0}], [p for p in below if uids(p) == {NOBODY} and is_python(p)]


def is_python(process: int) -> bool:
    """Whether it is one of ours, and no program that a pipe runs."""
    return "postfix" in status_of(process).get("Name", "") or "python" in status_of(process).get("Name", "")


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="a keeper needs root")
def test_mail_that_a_killed_keeper_had_is_delivered_later(house: tuple[Instance, int]) -> None:
    running, port = house
    folder = running.configuration.parent
    got = folder / "got"
    got.touch()
    got.chmod(0o666)
    script = folder / "script"
    script.write_text(f"#!/bin/sh\nexec grep '^X-Number' >> {got}\n")
    script.chmod(0o755)
    with (running.configuration / "master.cf").open("a") as file:
        file.write(f"script unix - n n - - pipe user=nobody argv={script}\n")
    running.do("postconf", "-e", "default_transport = script:", "relayhost =")
    running.start()
    clients = Clients(port, 150, set())
    sending = threading.Thread(target=lambda: asyncio.run(clients.run()))
    sending.start()
    kills = 0
    killed: set[int] = set()  # one that was killed may be listed once more, before its parent has seen its end
    try:
        for share in (20, 60, 100, 140):
            eventually(lambda share=share: len(clients.acknowledged) >= share, "progress")
            (keeper,), _ = eventually(lambda: (k := keepers(running)) and len(k[0]) == 1 and k)
            kill(keeper)
            killed.add(keeper)
            _, children = keepers(running)
            for child in children:
                kill(child)
                kills += 1
    finally:
        sending.join()

    def arrived() -> Counter[int]:
        return Counter(int(number) for number in re.findall(r"X-Number: (\d+)", got.read_text()))

    eventually(lambda: clients.acknowledged <= set(arrived()), "all mail", 60)
    assert "Traceback" not in running.text()
    eventually(lambda: running.text().count("killed by signal 9") == len(killed) >= 2, "master tells of each")
    # What a child had carried out and could not tell is done again.
    assert sum(arrived().values()) - len(arrived()) <= 100


def pop3(port: int) -> tuple[int, int]:
    """One session: how many messages there are, and the lines of the last."""
    session = poplib.POP3("127.0.0.1", port, timeout=60)
    try:
        session.user("joe@virt.test")
        session.pass_("joespw")
        count, _ = session.stat()
        lines = len(session.retr(count)[1])
        session.quit()
    finally:
        session.close()
    return count, lines


def test_sessions_come_again_after_an_access_worker_was_killed(house: tuple[Instance, int]) -> None:
    running, _ = house
    counter = free_port()
    (running.configuration / "accounts").write_text("joe@virt.test:{PLAIN}joespw::::\n")
    with (running.configuration / "master.cf").open("a") as file:
        file.write(f"127.0.0.1:{counter} inet n - n - - pop3d -o pop3d_tls_auth_only=no\nstore unix - - n - - store\n")
    running.do(
        *("postconf", "-e", "virtual_mailbox_domains = virt.test", "virtual_transport = store"),
        *("posthouse_access_workers = 2", f"account_databases = passwd-file:{running.configuration}/accounts"),
        "virtual_mailbox_maps = inline:{joe@virt.test=joe}",
    )
    running.start()
    for number in range(LETTERS):
        running.do("sendmail", "-f", "a@client.test", "joe@virt.test", stdin=f"Subject: {number}\n\nhello\n")
    eventually(lambda: pop3(counter)[0] == LETTERS, "all letters")
    expected = pop3(counter)
    answers: Counter[tuple[int, int]] = Counter()
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, EOFError, poplib.error_proto):  # it was cut off
                answers[pop3(counter)] += 1

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    slowest = 0.0
    try:
        for _ in range(4):
            before = answers[expected]
            eventually(lambda before=before: answers[expected] > before, "visits")
            for process in access_workers(running, counter):
                kill(process)
            began = time.monotonic()
            eventually(lambda: serves(counter), "an access worker")
            slowest = max(slowest, time.monotonic() - began)
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    assert set(answers) == {expected}
    assert slowest < 10
    assert "Traceback" not in running.text()


def access_workers(running: Instance, port: int) -> list[int]:
    """The children of the master that listen on this port."""
    inode = {
        words[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (words := line.split())[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port
    }
    found = []
    for process in descendants(running.master() or 0):
        with contextlib.suppress(OSError):
            links = {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir()}
            if links & {f"socket:[{number}]" for number in inode}:
                found.append(process)
    return found


def serves(port: int) -> bool:
    """Whether a session can be had."""
    try:
        return pop3(port)[0] == LETTERS
    except (OSError, EOFError, poplib.error_proto):
        return False
