"""kill -9 in the middle of appends: what was acknowledged is there once, whole; the store is sound.

A child appends and prints each number after the store said that it is durable; it is killed at
some point. What is found afterwards: every acknowledged message exactly once, and at most the
ones in flight besides.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import posthouse
from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import Appended, MailStore, NewMessage, Refused

AT_ONCE = 5


def make(kind: str, folder: Path) -> MailStore:
    if kind == "maildir":
        return maildir_store(lambda _account: folder / "Maildir")
    if kind == "mbox":
        return mbox_store(lambda _account: (folder / "spool", folder / "index"))
    return NativeMailStore(folder)


async def child(kind: str, folder: Path) -> None:
    """Deliver, move within the mailbox, expunge others, for ever."""
    store = make(kind, folder)
    numbers = iter(range(1_000_000))

    async def deliver() -> None:
        for number in numbers:
            size = 100_000 if number % 10 == 0 else 100
            content = Content(b"Number: %d\r\n" % number, MemoryBody(b"x" * size + b"\r\n"))
            await store.deliver("a@x", content)
            os.write(1, b"%d\n" % number)

    async def expunge() -> None:
        account = await store.open("a@x")
        assert not isinstance(account, Refused)
        mailbox = await account.select("INBOX")
        assert not isinstance(mailbox, Refused)
        while True:
            writer = account.new_content()
            writer.write(b"Doomed: yes\r\n\r\n")
            appended = await mailbox.append([NewMessage(await writer.finish())])
            assert isinstance(appended, Appended)
            await mailbox.remove(appended.uids)

    await asyncio.gather(*(deliver() for _ in range(AT_ONCE)), expunge())


async def found(kind: str, folder: Path) -> list[int]:
    store = make(kind, folder)
    account = await store.open("a@x")
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    numbers = []
    for uid, content in (await mailbox.contents(await mailbox.uids())).items():
        data = await content.read()
        header, _empty, body = data.partition(b"\r\n\r\n")
        if header.startswith(b"Number: "):
            number = int(header[8:])
            assert body == b"x" * (100_000 if number % 10 == 0 else 100) + b"\r\n", uid
            numbers.append(number)
    if isinstance(store, NativeMailStore):
        problems = (await verify_account(store, "a@x")).problems
        assert problems == ()
    await store.close()
    return numbers


def run_and_kill(kind: str, folder: Path, stop_after: int) -> list[int]:
    """The numbers that the child acknowledged before it died."""
    environment = os.environ | {"PYTHONPATH": str(Path(posthouse.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, __file__, kind, str(folder)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        everything: list[int] = []
        for line in process.stdout:
            everything.append(int(line))
            if len(everything) == stop_after:
                process.send_signal(signal.SIGKILL)
    return everything


@pytest.mark.parametrize("kind", ["native", "maildir", "mbox"])
@pytest.mark.parametrize("seed", range(3))
async def test_what_was_acknowledged_is_there_once_after_kill_9(tmp_path: Path, kind: str, seed: int) -> None:
    everything = run_and_kill(kind, tmp_path, random.Random(seed).randrange(20, 60))
    counted = Counter(await found(kind, tmp_path))
    assert {number for number in everything if counted[number] != 1} == set()
    assert set(counted.values()) == {1}
    assert len(counted) <= len(everything) + AT_ONCE


if __name__ == "__main__":
    asyncio.run(child(sys.argv[1], Path(sys.argv[2])))
