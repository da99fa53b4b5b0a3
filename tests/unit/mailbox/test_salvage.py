"""A damaged account is made anew from what can be read; a backup is sound while the account is in use."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.native.backup import back_up
from posthouse.mailbox.native.layout import account_folder
from posthouse.mailbox.native.salvage import Salvaged, WalIndexLock, salvage
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import Mailbox, MailboxFault, Refused

COUNT = 60
LARGE = 7
"""The number of a message whose content is a file."""


async def fill(directory: Path) -> None:
    store = NativeMailStore(directory)
    for number in range(1, COUNT + 1):
        size = 100_000 if number == LARGE else 3_000
        await store.deliver("a@x", Content(b"Number: %d\r\n" % number, MemoryBody(b"x" * size + b"\r\n")))
    account = await store.open("a@x")
    assert not isinstance(account, Refused)
    await account.create("Work/Letters")
    inbox = await opened(store)
    await inbox.copy([1, LARGE], "Work/Letters")
    await inbox.store_flags([2], "add", frozenset(("\\Flagged", "$Label")))
    await store.close()


async def opened(store: NativeMailStore, name: str = "INBOX") -> Mailbox:
    account = await store.open("a@x")
    assert not isinstance(account, Refused)
    mailbox = await account.select(name)
    assert not isinstance(mailbox, Refused)
    return mailbox


async def numbers(store: NativeMailStore, name: str = "INBOX") -> dict[int, int]:
    """uid to number; every content is whole."""
    mailbox = await opened(store, name)
    found = {}
    for uid, content in (await mailbox.contents(await mailbox.uids())).items():
        data = await content.read()
        number = int(data.partition(b"\r\n")[0].removeprefix(b"Number: "))
        assert len(data) == len(b"Number: %d\r\n\r\n\r\n" % number) + (100_000 if number == LARGE else 3_000)
        found[uid] = number
    return found


def overwrite(path: Path, places: list[int]) -> None:
    source = random.Random(5)
    with path.open("r+b") as stream:
        for place in places:
            stream.seek(place * 4096)
            stream.write(source.randbytes(4096))


def database(directory: Path) -> Path:
    return account_folder(directory, "a@x") / "mailbox.db"


def header(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(random.Random(1).randbytes(100))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def some_pages(path: Path) -> None:
    overwrite(path, random.Random(3).sample(range(4, path.stat().st_size // 4096), 4))


def nothing(path: Path) -> None:
    path.unlink()


async def test_a_sound_account_is_salvaged_whole(tmp_path: Path) -> None:
    await fill(tmp_path)
    before = NativeMailStore(tmp_path)
    inbox, letters = await numbers(before), await numbers(before, "Work/Letters")
    validity = (await opened(before)).uid_validity
    await before.close()
    done = salvage(database(tmp_path).parent, "a@x")
    assert (done.messages, done.recovered, done.lost) == (COUNT + 2, 0, ())
    store = NativeMailStore(tmp_path)
    await verify_account(store, "a@x", repair=True)
    assert (await verify_account(store, "a@x")).problems == ()
    assert await numbers(store) == inbox
    assert await numbers(store, "Work/Letters") == letters
    mailbox = await opened(store)
    assert mailbox.uid_validity == validity
    rows = [row async for page in mailbox.summaries([2]) for row in page]
    assert rows[0].flags == {"\\Flagged", "$Label"}
    assert not (await mailbox.changes(1)).complete, "whoever was here before compares everything"
    await store.close()


@pytest.mark.parametrize("damage", [header, half, some_pages])
async def test_what_can_be_read_is_there_again_and_the_rest_is_named(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    await fill(tmp_path)
    path = database(tmp_path)
    damage(path)
    done = salvage(path.parent, "a@x")
    store = NativeMailStore(tmp_path)
    await verify_account(store, "a@x", repair=True)
    assert (await verify_account(store, "a@x")).problems == ()
    account = await store.open("a@x")
    assert not isinstance(account, Refused)
    found = set()
    for info in await account.mailboxes():
        if info.selectable:
            found |= set((await numbers(store, info.name)).values())
    least = {header: COUNT, half: 1, some_pages: COUNT - 8}[damage]
    assert len(found) >= least, done
    if len(found) < COUNT:
        assert done.lost
    assert sorted(each.name for each in done.kept.iterdir())[0] == "mailbox.db"
    delivered = await store.deliver("a@x", Content(b"Number: 99\r\n", MemoryBody(b"x" * 3_000 + b"\r\n")))
    assert not isinstance(delivered, Refused)
    assert delivered.uid > max(uid for uid, number in (await numbers(store)).items() if number != 99)
    await store.close()


async def test_content_files_without_any_row_are_recovered(tmp_path: Path) -> None:
    await fill(tmp_path)
    database(tmp_path).unlink()
    done = salvage(database(tmp_path).parent, "a@x")
    assert done.recovered == 1
    store = NativeMailStore(tmp_path)
    await verify_account(store, "a@x", repair=True)
    assert list((await numbers(store, "Recovered")).values()) == [LARGE]
    await store.close()


def test_an_account_in_use_is_not_salvaged(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    script = (
        "import apsw, sys; connection = apsw.Connection(sys.argv[1]);"
        " connection.execute('SELECT * FROM account').fetchall(); print(1, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(database(tmp_path))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(MailboxFault, match="is in use"):
            salvage(database(tmp_path).parent, "a@x")
        process.communicate(b"")
    assert isinstance(salvage(database(tmp_path).parent, "a@x"), Salvaged)


def test_nobody_opens_an_account_that_is_being_salvaged(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    lock = WalIndexLock(database(tmp_path))
    script = (
        "import apsw, sys; connection = apsw.Connection(sys.argv[1]);"
        " connection.execute('SELECT * FROM account').fetchall()"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(database(tmp_path))], capture_output=True, check=False)
    lock.release()
    assert b"locking protocol" in ran.stderr


async def test_a_backup_is_an_account_of_its_own(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    store = NativeMailStore(tmp_path / "store")
    inbox = await numbers(store)
    copy = account_folder(tmp_path / "copy", "a@x")
    copy.parent.mkdir(parents=True)
    assert back_up(database(tmp_path / "store").parent, copy) == 1
    mailbox = await opened(store)
    await mailbox.remove(await mailbox.uids())
    await store.close()
    restored = NativeMailStore(tmp_path / "copy")
    assert await numbers(restored) == inbox
    assert (await verify_account(restored, "a@x")).problems == ()
    await restored.close()
    with pytest.raises(MailboxFault):
        back_up(database(tmp_path / "store").parent, copy)


async def test_a_fault_names_the_file(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = database(tmp_path)
    apsw.Connection(str(path)).pragma("wal_checkpoint(truncate)")
    overwrite(path, list(range(2, path.stat().st_size // 4096)))
    store = NativeMailStore(tmp_path)
    with pytest.raises(MailboxFault, match=r"mailbox\.db: .*malformed"):
        await opened(store)
    with pytest.raises(MailboxFault, match=r"mailbox\.db: .*malformed"):
        await store.deliver("a@x", Content(b"", MemoryBody(b"x\r\n")))
    await store.close()


async def test_what_is_left_of_an_account_is_not_hidden_by_a_new_one(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = database(tmp_path)
    os.truncate(path, 0)
    for content in path.parent.joinpath("content").iterdir():
        os.utime(content, (1_000_000_000, 1_000_000_000))
    store = NativeMailStore(tmp_path)
    with pytest.raises(MailboxFault, match="posthouse mailbox repair a@x"):
        await store.open("a@x")
    with pytest.raises(MailboxFault, match="missing or empty"):
        await store.deliver("a@x", Content(b"", MemoryBody(b"x\r\n")))
    await store.close()


def command(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (directory / "main.cf").write_text(f"mail_store_directory = {directory}/store\ncompatibility_level = 3.6\n")
    program = Path(sys.executable).parent / "posthouse"
    argv = [str(program), "mailbox", words[0], "-c", str(directory), *words[1:]]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_command_checks_repairs_and_backs_up(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path / "store"))
    ran = command(tmp_path, "check", "a@x", "nobody@x")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (1, f"a@x: {COUNT + 2} messages, sound")
    assert ran.stdout.splitlines()[1].startswith("nobody@x: no such account")
    ran = command(tmp_path, "backup", "a@x", str(tmp_path / "copy"))
    assert (ran.returncode, ran.stdout) == (0, f"a@x: {tmp_path}/copy: the database and 1 content files\n")
    some_pages(database(tmp_path / "store"))
    ran = command(tmp_path, "check", "a@x")
    assert ran.returncode == 1
    assert "a@x: " in ran.stdout
    ran = command(tmp_path, "repair", "a@x")
    assert ran.returncode == 0, ran
    assert ran.stdout.splitlines()[-1].endswith("messages, sound")
    assert "the damaged file is in " in ran.stdout
