"""The ledger: deliveries to many accounts at once survive kill -9, and the loss of all that was not synced.

A child delivers to several accounts and tells each message's uid after deliver() returned; it is
killed at some point. Beside each account it keeps a copy of the files as they were at the last commit that
was synced: what a loss of power leaves at worst. Then the store is opened on those (or on WALs cut off somewhere
behind that), and every message that was told of must be there once, under its uid.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import posthouse
from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.index import lane
from posthouse.mailbox.index.rows import AccountFile
from posthouse.mailbox.native import rounds
from posthouse.mailbox.native.deposit import Deposit
from posthouse.mailbox.native.layout import account_folder
from posthouse.mailbox.native.ledger import LEDGER, SUFFIX
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import Delivered, Refused

ACCOUNTS = [f"u{number}@x" for number in range(6)]
AT_ONCE = 12
FILES = ("mailbox.db", "mailbox.db-wal")


def keep(file: AccountFile, durable: Path) -> None:
    """The account's files as they are durable now."""
    copy = durable / file.account
    copy.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (file.folder / name).exists():
            shutil.copyfile(file.folder / name, copy / f"{name}.new")
        else:
            (copy / f"{name}.new").write_bytes(b"")
    whole = b"".join(len((copy / f"{name}.new").read_bytes()).to_bytes(8, "big") for name in FILES)
    data = whole + b"".join((copy / f"{name}.new").read_bytes() for name in FILES)
    (copy / "both.new").write_bytes(data)
    os.rename(copy / "both.new", copy / "both")


def watch(durable: Path) -> None:
    """Take the copies: when an account is made, and after each statement and transaction that was synced."""
    make, transaction, open_file = rounds.make, lane._transaction, NativeMailStore._open_file

    def opened(store: NativeMailStore, account: str) -> AccountFile:
        file = open_file(store, account)
        if not (durable / account).exists():
            keep(file, durable)
        return file

    def made(file: AccountFile, deposit: Deposit) -> list[Delivered] | None:
        found = make(file, deposit)
        if found is not None and file.synced:
            keep(file, durable)
        return found

    def done(file: AccountFile, jobs: list[lane.Job]) -> None:
        transaction(file, jobs)
        keep(file, durable)

    rounds.make = made
    lane._transaction = done
    NativeMailStore._open_file = opened  # this process is only the child


async def child(folder: Path, durable: Path, seed: int) -> None:
    """Deliver for ever; now and then a session changes flags or expunges, which is synced."""
    watch(durable)
    store = NativeMailStore(folder)
    numbers = iter(range(1_000_000))
    dice = random.Random(seed)

    async def deliver() -> None:
        for number in numbers:
            account = dice.choice(ACCOUNTS)
            content = Content(b"Number: %d\r\n" % number, MemoryBody(b"x" * dice.randrange(6000) + b"\r\n"))
            done = await store.deliver(account, content)
            assert isinstance(done, Delivered)
            os.write(1, f"{account} {number} {done.uid}\n".encode())

    async def read() -> None:
        while True:
            account = await store.open(dice.choice(ACCOUNTS))
            assert not isinstance(account, Refused)
            mailbox = await account.select("INBOX")
            assert not isinstance(mailbox, Refused)
            await mailbox.store_flags((await mailbox.uids())[:1], "add", frozenset({"\\Seen"}))
            await asyncio.sleep(0.05)

    await asyncio.gather(*(deliver() for _ in range(AT_ONCE)), read())


def run_and_kill(folder: Path, durable: Path, seed: int) -> list[tuple[str, int, int]]:
    """Accounts, numbers and uids that the child told before it died."""
    environment = os.environ | {"PYTHONPATH": str(Path(posthouse.__file__).parents[1])}
    stop_after = random.Random(seed).randrange(40, 200)
    told = []
    with subprocess.Popen(
        [sys.executable, __file__, str(folder), str(durable), str(seed)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            account, number, uid = line.decode().split()
            told.append((account, int(number), int(uid)))
            if len(told) == stop_after:
                process.send_signal(signal.SIGKILL)
    return told


async def check(folder: Path, told: list[tuple[str, int, int]]) -> None:
    """Every message that was told of is there once, under its uid; nothing else is wrong."""
    store = NativeMailStore(folder)
    found: dict[int, list[tuple[str, int]]] = {}
    for name in ACCOUNTS:
        account = await store.open(name)
        assert not isinstance(account, Refused)
        mailbox = await account.select("INBOX")
        assert not isinstance(mailbox, Refused)
        for uid, content in (await mailbox.contents(await mailbox.uids())).items():
            header = (await content.read()).partition(b"\r\n")[0]
            found.setdefault(int(header[8:]), []).append((name, uid))
        assert (await verify_account(store, name)).problems == ()
    await store.close()
    assert [entry for entry in told if found.get(entry[1]) != [(entry[0], entry[2])]] == []
    assert {number for number, places in found.items() if len(places) > 1} == set()
    assert len(found) <= len(told) + AT_ONCE


def lose_power(folder: Path, durable: Path, dice: random.Random | None) -> int:
    """Put back what is durable: all of it, or WALs that reached the disk up to somewhere. How many lost any."""
    lost = 0
    for name in ACCOUNTS:
        place = account_folder(folder, name)
        data = (durable / name / "both").read_bytes()
        sizes = [int.from_bytes(data[at : at + 8], "big") for at in (0, 8)]
        database, wal = data[16 : 16 + sizes[0]], data[16 + sizes[0] :]
        assert len(wal) == sizes[1]
        now = (place / FILES[1]).read_bytes()
        if dice is not None and now.startswith(wal):
            wal = now[: dice.randrange(len(wal), len(now) + 1)]
        lost += wal != now
        (place / FILES[0]).write_bytes(database)
        (place / FILES[1]).write_bytes(wal)
        (place / f"{FILES[0]}-shm").unlink(missing_ok=True)
    return lost


@pytest.mark.parametrize("seed", range(3))
async def test_after_kill_9_nothing_is_missing(tmp_path: Path, seed: int) -> None:
    told = run_and_kill(tmp_path / "store", tmp_path / "durable", seed)
    await check(tmp_path / "store", told)
    assert not list((tmp_path / "store" / LEDGER).glob(f"*{SUFFIX}"))


@pytest.mark.parametrize("seed", range(3, 6))
async def test_what_was_never_synced_is_made_anew_from_the_ledger(tmp_path: Path, seed: int) -> None:
    told = run_and_kill(tmp_path / "store", tmp_path / "durable", seed)
    assert lose_power(tmp_path / "store", tmp_path / "durable", None)
    await check(tmp_path / "store", told)


@pytest.mark.parametrize("seed", range(6, 12))
async def test_a_wal_that_reached_the_disk_in_part_is_completed(tmp_path: Path, seed: int) -> None:
    told = run_and_kill(tmp_path / "store", tmp_path / "durable", seed)
    lose_power(tmp_path / "store", tmp_path / "durable", random.Random(seed))
    await check(tmp_path / "store", told)


async def test_a_recovery_that_is_cut_off_is_done_again(tmp_path: Path) -> None:
    told = run_and_kill(tmp_path / "store", tmp_path / "durable", 99)
    lose_power(tmp_path / "store", tmp_path / "durable", None)
    shutil.copytree(tmp_path / "store" / LEDGER, tmp_path / "ledger")
    await check(tmp_path / "store", told)
    shutil.copytree(tmp_path / "ledger", tmp_path / "store" / LEDGER, dirs_exist_ok=True)  # as before it was unlinked
    await check(tmp_path / "store", told)


if __name__ == "__main__":
    asyncio.run(child(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
