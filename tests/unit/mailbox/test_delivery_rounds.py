"""Deliveries that wait together: one sync before any is told, and the long way wherever the short one does not fit."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from posthouse.commands import mailbox as mailbox_command
from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.native import deposit, ledger, recovery
from posthouse.mailbox.native.deposit import Deposit, Letter
from posthouse.mailbox.native.layout import DATABASE, account_folder
from posthouse.mailbox.native.ledger import LEDGER, Ledger, read_rounds
from posthouse.mailbox.native.recovery import recover
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import Delivered, MailboxFault, Refusal, Refused

NAMES = ["a@x", "b@x", "c@x"]


def content(text: str = "") -> Content:
    return Content(f"Subject: {text}\r\n".encode(), MemoryBody(b"body\r\n"))


async def deliver(store: NativeMailStore, names: Sequence[str], text: str = "") -> list[Delivered | Refused]:
    return await asyncio.gather(*(store.deliver(name, content(text)) for name in names))


async def subjects(store: NativeMailStore, name: str) -> dict[int, str]:
    account = await store.open(name)
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    found = await mailbox.contents(await mailbox.uids())
    return {uid: (await each.read()).split(b"\r\n")[0].decode()[9:] for uid, each in found.items()}


async def check_all(store: NativeMailStore, names: Sequence[str] = NAMES) -> None:
    for name in names:
        assert (await verify_account(store, name)).problems == ()


def rounds_of(folder: Path) -> list[list[str]]:
    return [
        [each.account for each in one.deposits]
        for path in sorted((folder / LEDGER).glob("*.ledger"))
        for one in read_rounds(path.read_bytes())
    ]


async def test_deliveries_to_several_accounts_are_one_round_of_the_ledger(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await deliver(store, NAMES)  # accounts that are not open are opened and synced by themselves
    for _ in range(2):
        done = await deliver(store, [*NAMES, "a@x"])
        assert all(isinstance(each, Delivered) for each in done)
    assert [sorted(each) for each in rounds_of(tmp_path)] == [NAMES, NAMES]
    assert [each.uid for each in done if isinstance(each, Delivered)] == [4, 3, 3, 5]
    await check_all(store)
    await store.close()
    assert rounds_of(tmp_path) == []


async def test_one_account_needs_no_ledger(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await deliver(store, ["a@x", "a@x"])
    assert not (tmp_path / LEDGER).exists()
    await check_all(store, ["a@x"])
    await store.close()


async def test_no_account_commits_before_the_ledger_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def sync(descriptor: int) -> None:
        other = apsw.Connection(str(account_folder(tmp_path, "a@x") / DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        seen.append(other.execute("SELECT count(*) FROM message").get)
        other.close()
        os.fdatasync(descriptor)

    store = NativeMailStore(tmp_path)
    await deliver(store, NAMES)
    monkeypatch.setattr(store._lanes._rounds._ledger, "_sync", sync)  # type: ignore[union-attr]
    await deliver(store, NAMES)
    assert seen == [1]
    await store.close()


async def test_a_ledger_that_cannot_be_written_costs_only_its_gain(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_bytes(b"in the way")
    store = NativeMailStore(tmp_path)
    for _ in range(2):
        done = await deliver(store, NAMES)
        assert all(isinstance(each, Delivered) for each in done)
    await check_all(store)
    await store.close()


async def test_an_account_that_somebody_else_changed_goes_the_long_way(tmp_path: Path) -> None:
    store, other = NativeMailStore(tmp_path), NativeMailStore(tmp_path)
    await deliver(store, NAMES, "1")
    await deliver(other, ["b@x"], "2")
    done = await deliver(store, NAMES, "3")
    assert [each.uid for each in done if isinstance(each, Delivered)] == [2, 3, 2]
    assert await subjects(other, "b@x") == {1: "1", 2: "2", 3: "3"}
    await check_all(store)
    await store.close()
    await other.close()


async def test_an_account_that_is_locked_holds_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deposit, "PATIENCE", 0)
    store = NativeMailStore(tmp_path)
    await deliver(store, NAMES)
    other = apsw.Connection(str(account_folder(tmp_path, "b@x") / DATABASE))
    other.execute("BEGIN IMMEDIATE")
    locked = asyncio.create_task(store.deliver("b@x", content("late")))
    done = await asyncio.gather(*(store.deliver(name, content("late")) for name in ("a@x", "c@x")))
    assert all(isinstance(each, Delivered) for each in done)
    assert not locked.done()
    other.execute("COMMIT")
    assert isinstance(await locked, Delivered)
    other.close()
    await check_all(store)
    await store.close()


async def test_quota_keywords_and_missing_mailboxes_are_answered_as_ever(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path, limits=lambda name: QuotaLimits(messages=2 if name == "a@x" else 0))
    for _ in range(2):
        await deliver(store, NAMES)
    full, keyword, missing, made = await asyncio.gather(
        store.deliver("a@x", content()),
        store.deliver("b@x", content(), flags=frozenset({"$Junk", "\\Deleted"})),
        store.deliver("c@x", content(), mailbox="Nowhere"),
        store.deliver("d@x", content(), mailbox="Lists", create=True),
    )
    assert isinstance(full, Refused)
    assert full.refusal is Refusal.OVER_QUOTA
    assert isinstance(keyword, Delivered)
    assert isinstance(missing, Refused)
    assert isinstance(made, Delivered)
    assert made.created
    await check_all(store, [*NAMES, "d@x"])
    await store.close()


async def test_names_that_are_no_utf_8_are_served(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    names = ["\udce9@x", "é@x", "e@x"]
    for _ in range(2):
        assert all(isinstance(each, Delivered) for each in await deliver(store, names))
    assert [sorted(each) for each in rounds_of(tmp_path)] == [["e@x", "é@x"]]
    await check_all(store, names)
    await store.close()


async def test_a_full_part_is_settled_behind_the_deliveries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PART", 500)
    store = NativeMailStore(tmp_path)
    for _ in range(30):
        await deliver(store, NAMES)
    assert len(list((tmp_path / LEDGER).glob("*.ledger"))) <= 3
    await check_all(store)
    await store.close()


# -- recovery -------------------------------------------------------------------------------------


def entry(name: str, uid: int, text: str, *, modseq: int = 0, validity: int, mailbox: int = 1) -> Deposit:
    data = f"Subject: {text}\r\n\r\nbody\r\n".encode()
    letter = Letter(0, 5.0, len(data), len(data) - 6, data)
    return Deposit(name, mailbox, "INBOX", validity, uid, modseq or uid + 1, uid, 5.0, (letter,))


async def born(folder: Path) -> int:
    """An account with one message; its INBOX's uid_validity."""
    store = NativeMailStore(folder)
    (done,) = await deliver(store, ["a@x"], "first")
    assert isinstance(done, Delivered)
    await store.close()
    return done.uid_validity


async def left(folder: Path, *entries: tuple[str, float, Deposit]) -> dict[int, str]:
    """What INBOX holds after a recovery from these ledgers (by name), which were left behind."""
    written = {name: Ledger(folder, name) for name, _, _ in entries}
    for name, time, each in entries:
        written[name].append(time, [each])
    for each_ledger in written.values():
        each_ledger.close()
    store = NativeMailStore(folder)
    found = await subjects(store, "a@x")
    await check_all(store, ["a@x"])
    await store.close()
    assert rounds_of(folder) == []
    return found


async def test_deposits_that_are_missing_get_their_uids(tmp_path: Path) -> None:
    v = await born(tmp_path)
    found = await left(
        tmp_path,
        ("2-1", 2.0, entry("a@x", 3, "third", validity=v)),
        ("1-1", 1.0, entry("a@x", 1, "first", validity=v)),
        ("1-1", 1.5, entry("a@x", 2, "second", validity=v)),
    )
    assert found == {1: "first", 2: "second", 3: "third"}


async def test_two_that_claim_one_uid_are_both_delivered(tmp_path: Path) -> None:
    v = await born(tmp_path)
    found = await left(
        tmp_path,
        ("1-1", 1.0, entry("a@x", 2, "given up", validity=v)),
        ("2-1", 2.0, entry("a@x", 2, "second", validity=v)),
        ("2-1", 3.0, entry("a@x", 3, "third", validity=v)),
    )
    assert found == {1: "first", 2: "second", 3: "third", 4: "given up"}


async def test_one_that_was_given_up_and_whose_uid_is_taken_stays_away(tmp_path: Path) -> None:
    v = await born(tmp_path)
    assert await left(tmp_path, ("1-1", 1.0, entry("a@x", 1, "given up", validity=v))) == {1: "first"}


async def test_a_mailbox_or_account_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    v = await born(tmp_path)
    found = await left(
        tmp_path,
        ("1-1", 1.0, entry("a@x", 2, "lost", validity=v - 1)),
        ("1-1", 1.0, entry("a@x", 2, "lost", validity=v, mailbox=77)),
        ("1-1", 1.0, entry("nobody@x", 2, "lost", validity=v)),
    )
    assert found == {1: "first"}
    assert not account_folder(tmp_path, "nobody@x").exists()


async def test_a_damaged_account_keeps_its_ledger_and_the_others_are_served(tmp_path: Path) -> None:
    v = await born(tmp_path)
    store = NativeMailStore(tmp_path)
    await deliver(store, ["b@x"])
    await store.close()
    (account_folder(tmp_path, "b@x") / DATABASE).write_bytes(b"no database" * 1000)
    written = Ledger(tmp_path, "1-1")
    written.append(1.0, [entry("a@x", 2, "second", validity=v), entry("b@x", 2, "waits", validity=v)])
    written.close()
    warnings: list[str] = []
    store = NativeMailStore(tmp_path, warn=warnings.append)
    assert await subjects(store, "a@x") == {1: "first", 2: "second"}
    assert len(warnings) == 1
    assert warnings[0].startswith(f"b@x: deliveries of before the crash wait in {tmp_path / LEDGER}: ")
    with pytest.raises(MailboxFault):
        await store.open("b@x")
    await store.close()
    assert rounds_of(tmp_path) == [["a@x", "b@x"]]


async def test_the_ledger_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    for _ in range(2):
        await deliver(store, NAMES)
    assert recover(tmp_path) == []
    assert len(rounds_of(tmp_path)) == 1
    await store.close()


async def test_recovery_comes_before_any_account_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    v = await born(tmp_path)
    order: list[str] = []
    bring_up = recovery._bring_up

    def brought(folder: Path, account: str, entries: Sequence[tuple[float, Deposit]]) -> None:
        order.append("recovered")
        bring_up(folder, account, entries)

    def limits(_account: str) -> QuotaLimits:
        order.append("opened")
        return QuotaLimits()

    monkeypatch.setattr(recovery, "_bring_up", brought)
    written = Ledger(tmp_path, "1-1")
    written.append(1.0, [entry("a@x", 2, "second", validity=v)])
    written.close()
    store = NativeMailStore(tmp_path, limits=limits)
    await asyncio.gather(*(store.open(name) for name in NAMES))
    assert order == ["recovered", "opened", "opened", "opened"]
    await store.close()


async def test_a_backup_holds_what_only_the_ledger_has(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(f"mail_store_directory = {tmp_path}/store\ncompatibility_level = 3.6\n")
    v = await born(tmp_path / "store")
    written = Ledger(tmp_path / "store", "1-1")
    written.append(1.0, [entry("a@x", 2, "second", validity=v)])
    written.close()
    assert mailbox_command.main(str(tmp_path), "backup", ("a@x",), str(tmp_path / "copy")) == 0
    copy = apsw.Connection(str(tmp_path / "copy" / DATABASE))
    assert copy.execute("SELECT count(*) FROM message").get == 2
    copy.close()
