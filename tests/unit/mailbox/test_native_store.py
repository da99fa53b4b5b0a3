"""The native store beyond the contract: quota, formats, files, several processes, verify, take-over."""

import asyncio
import os
import time
from pathlib import Path

import apsw
import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox import takeover
from posthouse.mailbox.index import lanes
from posthouse.mailbox.index.rows import LIMITS_SECONDS, QuotaLimits
from posthouse.mailbox.mbox.locks import LockRules, lock_mbox
from posthouse.mailbox.native.layout import account_folder, safe_name
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import (
    AccountStore,
    Appended,
    Delivered,
    Mailbox,
    MailboxFault,
    NewMessage,
    Refusal,
    Refused,
)
from posthouse.mailbox.takeover import Takeover, TakingStore, take_over

ALICE = "alice@example.com"
SMALL = Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))
LARGE = Content(b"Subject: x\r\n", MemoryBody(b"0123456789\r\n" * 10_000))
SPOOL = (
    b"From a@x  Mon Jan  1 10:00:00 2024\nSubject: one\nStatus: RO\n\none\n\n"
    b"From b@x  Tue Jan  2 10:00:00 2024\nSubject: two\n\n" + b"two\n" * 30_000 + b"\n"
)


async def opened(store: NativeMailStore, name: str = "INBOX") -> tuple[AccountStore, Mailbox]:
    account = await store.open(ALICE)
    assert not isinstance(account, Refused)
    mailbox = await account.select(name)
    assert not isinstance(mailbox, Refused)
    return account, mailbox


def content_files(folder: Path) -> list[Path]:
    return list((account_folder(folder, ALICE) / "content").glob("*"))


async def test_an_account_is_born_with_its_special_mailboxes(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    account, _ = await opened(store)
    uses = {info.name: info.special_use for info in await account.mailboxes()}
    assert uses == {
        "INBOX": "",
        "Sent": "\\Sent",
        "Drafts": "\\Drafts",
        "Trash": "\\Trash",
        "Junk": "\\Junk",
        "Archive": "\\Archive",
    }
    assert all(info.subscribed for info in await account.mailboxes())
    await store.close()


async def test_over_quota_is_a_value_and_changes_nothing(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path, limits=lambda _account: QuotaLimits(storage=60, messages=2))
    account, mailbox = await opened(store)
    for _ in range(2):
        assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    refused = [await store.deliver(ALICE, SMALL), await mailbox.copy(await mailbox.uids(), "Trash")]
    writer = account.new_content()
    writer.write(b"A: b\r\n\r\n" + b"x" * 100_000)
    refused.append(await mailbox.append([NewMessage(await writer.finish())]))
    for each in refused:
        assert isinstance(each, Refused)
        assert each.refusal is Refusal.OVER_QUOTA
    quota = await account.quota()
    assert (quota.storage, quota.storage_limit, quota.messages, quota.message_limit) == (40, 60, 2, 2)
    assert content_files(tmp_path) == []
    await mailbox.remove(await mailbox.uids())
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    await store.close()


async def test_a_large_content_is_a_file_until_its_last_use_goes(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    _, mailbox = await opened(store)
    await store.deliver(ALICE, LARGE)
    (first,) = await mailbox.uids()
    await mailbox.copy([first], "Archive")
    assert len(content_files(tmp_path)) == 1
    await mailbox.remove([first])
    assert len(content_files(tmp_path)) == 1
    _, archive = await opened(store, "Archive")
    handle = (await archive.contents([1]))[1]
    await archive.remove([1])
    assert content_files(tmp_path) == []
    with pytest.raises(MailboxFault):
        await handle.read()
    await store.close()


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.open(ALICE)
    await store.close()
    connection = apsw.Connection(str(account_folder(tmp_path, ALICE) / "mailbox.db"))
    connection.pragma("user_version", 99)
    connection.close()
    store = NativeMailStore(tmp_path)
    with pytest.raises(MailboxFault, match="format 99 is newer than 1"):
        await store.open(ALICE)
    await store.close()


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = account_folder(tmp_path, ALICE)
    await asyncio.to_thread(folder.mkdir, parents=True)
    connection = apsw.Connection(str(folder / "mailbox.db"))
    connection.execute("CREATE TABLE other(x)")
    connection.close()
    store = NativeMailStore(tmp_path)
    with pytest.raises(MailboxFault, match="not a mailbox"):
        await store.open(ALICE)
    await store.close()


async def test_two_processes_never_give_one_uid_twice_and_wake_each_other(tmp_path: Path) -> None:
    one, two = NativeMailStore(tmp_path), NativeMailStore(tmp_path)
    _, mailbox = await opened(one)
    waiting = asyncio.create_task(mailbox.wait((await mailbox.status()).highest_modseq, 20))
    await asyncio.sleep(0)
    delivered = await asyncio.gather(*(store.deliver(ALICE, SMALL) for _ in range(30) for store in (one, two)))
    assert sorted(each.uid for each in delivered if isinstance(each, Delivered)) == list(range(1, 61))
    assert await asyncio.wait_for(waiting, 5)
    waiting = asyncio.create_task(mailbox.wait((await mailbox.status()).highest_modseq, 20))
    await asyncio.sleep(0.01)  # it must be waiting before the other store tells
    await two.deliver(ALICE, SMALL)
    assert await asyncio.wait_for(waiting, 5)
    await one.close()
    await two.close()
    assert os.listdir(tmp_path / "notices") == []


async def test_more_accounts_than_open_files_are_served(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path, open_files=3)
    for _ in range(2):
        delivered = await asyncio.gather(*(store.deliver(f"user{number}@x", SMALL) for number in range(10)))
        assert all(isinstance(each, Delivered) for each in delivered)
    assert len(store._lanes._lanes) <= 3
    await store.close()


async def test_a_cancelled_append_leaves_a_whole_store(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    account, mailbox = await opened(store)
    writer = account.new_content()
    writer.write(b"A: b\r\n\r\n" + b"x" * 100_000)
    task = asyncio.create_task(mailbox.append([NewMessage(await writer.finish())]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await verify_account(store, ALICE)).problems == ()
    for uid in await mailbox.uids():
        assert len(await (await mailbox.contents([uid]))[uid].read()) == 100_008
    await store.close()


async def test_one_refused_job_of_a_batch_takes_nothing_with_it(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.open(ALICE)
    done = await asyncio.gather(
        store.deliver(ALICE, SMALL), store.deliver(ALICE, SMALL, mailbox="No such"), store.deliver(ALICE, SMALL)
    )
    assert [type(each) for each in done] == [Delivered, Refused, Delivered]
    assert (await verify_account(store, ALICE)).problems == ()
    await store.close()


async def test_deliveries_that_wait_together_get_uids_in_order_and_their_own_contents(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.open(ALICE)
    contents = [Content(b"Subject: %d\r\n" % n, MemoryBody(b"body\r\n" * (1 + n % 3 * 20_000))) for n in range(40)]
    done = await asyncio.gather(*(store.deliver(ALICE, each, flags=frozenset({"$New"})) for each in contents))
    uids = [each.uid for each in done if isinstance(each, Delivered)]
    assert sorted(uids) == list(range(1, 41))
    _, mailbox = await opened(store)
    for uid, content in zip(uids, contents, strict=True):
        stored = await (await mailbox.contents([uid]))[uid].read()
        assert stored == content.header + b"\r\n" + await content.body.read()
    assert [row.flags async for page in mailbox.summaries() for row in page] == [{"$New"}] * 40
    assert (await verify_account(store, ALICE)).problems == ()
    await store.close()


async def test_deliveries_that_wait_together_are_refused_one_by_one(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path, limits=lambda _account: QuotaLimits(messages=25))
    await store.open(ALICE)
    done = await asyncio.gather(*(store.deliver(ALICE, LARGE if n % 5 == 0 else SMALL) for n in range(40)))
    assert [type(each) for each in done].count(Delivered) == 25
    assert {each.refusal for each in done if isinstance(each, Refused)} == {Refusal.OVER_QUOTA}
    verified = await verify_account(store, ALICE)
    assert verified.problems == ()
    await store.close()


async def test_a_delivery_that_fails_among_others_takes_nothing_with_it(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.open(ALICE)
    connection = apsw.Connection(str(account_folder(tmp_path, ALICE) / "mailbox.db"))
    connection.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON content WHEN instr(new.data, 'poison')"
        " BEGIN SELECT raise(ABORT, 'no'); END"
    )
    connection.close()
    poison = Content(b"Subject: poison\r\n", MemoryBody(b"body\r\n"))
    waiting = [store.deliver(ALICE, poison if n == 7 else SMALL) for n in range(20)]
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [n for n, each in enumerate(done) if isinstance(each, MailboxFault)] == [7]
    assert sorted(each.uid for each in done if isinstance(each, Delivered)) == list(range(1, 20))
    assert (await verify_account(store, ALICE)).problems == ()
    await store.close()


async def test_deliver_may_make_the_mailbox(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    done = await store.deliver(ALICE, SMALL, mailbox="Lists/dev", create=True, flags=frozenset({"\\Flagged", "$Junk"}))
    assert isinstance(done, Delivered)
    assert (done.mailbox, done.created, done.uid) == ("Lists/dev", True, 1)
    await store.close()


async def test_a_keyword_keeps_its_first_spelling(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.deliver(ALICE, SMALL, flags=frozenset({"Work"}))
    await store.deliver(ALICE, SMALL, flags=frozenset({"WORK"}))
    _, mailbox = await opened(store)
    assert [row.flags async for page in mailbox.summaries() for row in page] == [{"Work"}, {"Work"}]
    assert "Work" in mailbox.permanent_flags
    await store.close()


async def test_verify_finds_and_repairs_counters_and_orphans(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.deliver(ALICE, LARGE)
    assert (await verify_account(store, ALICE)).problems == ()
    orphan = account_folder(tmp_path, ALICE) / "content" / "orphan"
    orphan.touch()
    os.utime(orphan, (time.time() - 100_000,) * 2)
    await store.lane(ALICE).write(lambda file: file.connection.execute("UPDATE mailbox SET messages = 9, uid_next = 1"))
    found = await verify_account(store, ALICE, repair=True)
    assert len(found.problems) == 8  # six mailboxes' counters, one uid, one file
    assert (await verify_account(store, ALICE)).problems == ()
    assert not os.path.lexists(orphan)  # noqa: ASYNC240
    await store.close()


async def test_verify_finds_lost_contents(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    await store.deliver(ALICE, LARGE)
    content_files(tmp_path)[0].unlink()
    (problem,) = (await verify_account(store, ALICE)).problems
    assert "is missing" in problem
    await store.close()


async def test_a_spool_is_taken_over_once_and_emptied(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    spool.write_bytes(SPOOL)
    assert await take_over(store, ALICE, spool, LockRules()) == Takeover(2, 0)
    assert spool.read_bytes() == b""
    assert await take_over(store, ALICE, spool, LockRules()) == Takeover(0, 0)
    _, mailbox = await opened(store)
    rows = [row async for page in mailbox.summaries() for row in page]
    assert [row.flags for row in rows] == [{"\\Seen"}, frozenset()]
    assert rows[0].internal_date == time.mktime(time.strptime("2024-01-01 10", "%Y-%m-%d %H"))
    contents = await mailbox.contents([1, 2])
    assert await contents[2].read() == b"Subject: two\r\n\r\n" + b"two\r\n" * 30_000
    await store.close()


async def test_a_crash_before_the_spool_is_emptied_imports_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    spool.write_bytes(SPOOL)
    with monkeypatch.context() as patched:
        patched.setattr(takeover, "_empty", lambda _file, lock, _path: lock.release())
        await take_over(store, ALICE, spool, LockRules())
    with spool.open("ab") as file:
        file.write(SPOOL[:74].replace(b"one", b"new") + b"\n")
    assert await take_over(store, ALICE, spool, LockRules()) == Takeover(1, 2)
    assert spool.read_bytes() == b""
    _, mailbox = await opened(store)
    assert len(await mailbox.uids()) == 3
    await store.close()


async def test_a_spool_restored_from_a_copy_is_new_mail(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    for _ in range(2):
        spool.write_bytes(SPOOL)  # the same inode, the same messages
        assert await take_over(store, ALICE, spool, LockRules()) == Takeover(2, 0)
    await store.close()


async def test_mail_that_comes_to_the_spool_while_it_is_open_is_seen(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    taking = TakingStore(store, spool, LockRules())
    account = await taking.open(ALICE)
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    spool.write_bytes(SPOOL)
    assert [row.uid for row in (await mailbox.changes(1)).changed] == [1, 2]
    assert spool.read_bytes() == b""
    waiting = asyncio.create_task(mailbox.wait((await mailbox.changes(0)).highest_modseq, 10))
    spool.write_bytes(SPOOL)
    store.notices.tell(ALICE)  # a look that comes at once instead of in a quarter of a minute
    assert await waiting
    assert len(await mailbox.uids()) == 4
    spool.write_bytes(SPOOL)
    assert (await account.status(["INBOX"]))["INBOX"].messages == 6
    await store.close()


async def test_a_spool_that_somebody_holds_delays_no_command(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    taking = TakingStore(store, spool, LockRules())
    account = await taking.open(ALICE)
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    spool.write_bytes(SPOOL)
    held = lock_mbox(str(spool), LockRules())
    assert held is not None
    assert (await mailbox.changes(0)).changed == []
    held.release()
    assert len((await mailbox.changes(0)).changed) == 2
    await store.close()


async def test_sessions_that_begin_at_once_take_each_message_once(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    spool.write_bytes(SPOOL)
    taking = TakingStore(store, spool, LockRules())
    await asyncio.gather(*(taking.open(ALICE) for _ in range(5)))
    _, mailbox = await opened(store)
    assert len(await mailbox.uids()) == 2
    await store.close()


async def test_what_is_no_mbox_is_not_taken(tmp_path: Path) -> None:
    store, spool = NativeMailStore(tmp_path / "store"), tmp_path / "alice"
    spool.write_bytes(b"not a mailbox\n")
    with pytest.raises(MailboxFault, match="not an mbox file"):
        await take_over(store, ALICE, spool, LockRules())
    assert spool.read_bytes() == b"not a mailbox\n"
    await store.close()


async def test_multiappend_with_a_failing_draft_adds_none(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path, limits=lambda _account: QuotaLimits(messages=1))
    account, mailbox = await opened(store)
    drafts = []
    for _ in range(2):
        writer = account.new_content()
        writer.write(b"A: b\r\n\r\n")
        drafts.append(NewMessage(await writer.finish()))
    assert isinstance(await mailbox.append(drafts), Refused)
    assert list(await mailbox.uids()) == []
    writer = account.new_content()
    writer.write(b"A: b\r\n\r\n")
    assert isinstance(await mailbox.append([NewMessage(await writer.finish())]), Appended)
    await store.close()


def test_names_of_accounts_never_meet_and_never_leave_the_folder(tmp_path: Path) -> None:
    names = [
        "a@x",
        "A@x",
        "a@y",
        "a",
        "../../etc@x",
        "a/b@x",
        "@x",
        ".@x",
        "..",
        "a%2Fb@x",
        "é@x",
        "x" * 500 + "@x",
        "x" * 501 + "@x",
    ]
    folders = [account_folder(tmp_path, name) for name in names]
    assert len(set(folders)) == len(names) - 1  # a@x and A@x are one
    for folder in folders:
        assert tmp_path in folder.parents
        assert len(folder.relative_to(tmp_path).parts) == 3
        assert ".." not in folder.parts
    assert safe_name("") == "%"


def open_files(folder: Path) -> list[Path]:
    return [link for link in Path("/proc/self/fd").iterdir() if str(folder) in os.path.realpath(link)]


async def test_an_account_that_nobody_uses_is_closed_and_opens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.0)
    store = NativeMailStore(tmp_path)
    _account, mailbox = await opened(store)
    async with asyncio.timeout(20):
        while store._lanes._lanes or store._lanes._closing:  # noqa: ASYNC110 - the end of a timer tells nobody
            await asyncio.sleep(0)
    assert not open_files(tmp_path)
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    assert list(await mailbox.uids()) == [1]
    await store.close()


async def test_a_new_limit_counts_though_the_account_is_open(tmp_path: Path) -> None:
    now = 1000.0
    limits = [QuotaLimits(messages=1)]
    store = NativeMailStore(tmp_path, limits=lambda _account: limits[-1], clock=lambda: now)
    account, _ = await opened(store)
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    assert isinstance(await store.deliver(ALICE, SMALL), Refused)
    limits.append(QuotaLimits(messages=2))
    assert isinstance(await store.deliver(ALICE, SMALL), Refused)
    now += LIMITS_SECONDS
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    assert (await account.quota()).message_limit == 2
    await store.close()


async def test_limits_that_cannot_be_had_are_a_fault_at_first_and_the_old_ones_later(tmp_path: Path) -> None:
    now = 1000.0
    down = True

    def limits(_account: str) -> QuotaLimits:
        if down:
            raise MailboxFault("the database is down")
        return QuotaLimits(messages=2)

    store = NativeMailStore(tmp_path, limits=limits, clock=lambda: now)
    with pytest.raises(MailboxFault, match="the database is down"):
        await store.deliver(ALICE, SMALL)
    down = False
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    down = True
    now += LIMITS_SECONDS
    assert isinstance(await store.deliver(ALICE, SMALL), Delivered)
    assert isinstance(await store.deliver(ALICE, SMALL), Refused)
    await store.close()
