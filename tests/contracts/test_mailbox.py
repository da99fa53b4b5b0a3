"""What every mail store promises (posthouse/mailbox/store.py): one suite, each implementation passes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import (
    AccountStore,
    Appended,
    Copied,
    Delivered,
    Expunged,
    FlagsStored,
    Mailbox,
    MailboxFault,
    MailboxInfo,
    MailStore,
    NewMessage,
    Refusal,
    Refused,
)

ALICE = "alice@example.com"
SIMPLE = b"From: bob@example.com\r\nSubject: hello\r\n\r\nHello,\r\nFrom here on\r\n>From there\r\n"


def native(folder: Path) -> MailStore:
    return NativeMailStore(folder / "store")


def maildir(folder: Path) -> MailStore:
    return maildir_store(lambda account: folder / account / "Maildir")


def mbox(folder: Path) -> MailStore:
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    return mbox_store(lambda account: (spool / account, folder / account / "index"))


KINDS: dict[str, Callable[[Path], MailStore]] = {"native": native, "maildir": maildir, "mbox": mbox}
FOLDERS = [kind for kind in KINDS if kind != "mbox"]


@pytest.fixture(params=sorted(KINDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MailStore]:
    made = KINDS[request.param](tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def account(store: MailStore) -> AccountStore:
    opened = await store.open(ALICE)
    assert not isinstance(opened, Refused)
    return opened


async def selected(account: AccountStore, name: str = "INBOX", *, read_only: bool = False) -> Mailbox:
    mailbox = await account.select(name, read_only=read_only)
    assert not isinstance(mailbox, Refused)
    return mailbox


async def append(
    account: AccountStore,
    mailbox: Mailbox,
    data: bytes = SIMPLE,
    flags: tuple[str, ...] = (),
    date: float | None = None,
) -> int:
    writer = account.new_content()
    writer.write(data)
    await writer.room()
    appended = await mailbox.append([NewMessage(await writer.finish(), frozenset(flags), date)])
    assert isinstance(appended, Appended)
    assert appended.uid_validity == mailbox.uid_validity
    return appended.uids[0]


async def flags_of(mailbox: Mailbox) -> dict[int, frozenset[str]]:
    return {row.uid: row.flags async for page in mailbox.summaries() for row in page}


async def octets(mailbox: Mailbox, uid: int) -> bytes:
    return await (await mailbox.contents([uid]))[uid].read()


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def content(data: bytes) -> Content:
    header, _empty, body = data.partition(b"\r\n\r\n")
    return Content(header + b"\r\n", MemoryBody(body))


async def test_inbox_is_there_in_any_case(account: AccountStore) -> None:
    assert (await selected(account, "inbox")).name == "INBOX"
    assert (await account.mailboxes())[0].name == "INBOX"


async def test_a_delivered_message_is_found_octet_by_octet(store: MailStore, account: AccountStore) -> None:
    delivered = await store.deliver(ALICE, content(SIMPLE), sender="bob@example.com")
    assert isinstance(delivered, Delivered)
    mailbox = await selected(account)
    assert [delivered.uid] == list(await mailbox.uids())
    assert mailbox.uid_validity == delivered.uid_validity
    assert await octets(mailbox, delivered.uid) == SIMPLE


async def test_an_appended_message_keeps_octets_flags_and_date(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox, flags=("\\Seen", "$Label1"), date=1_000_000_000.0)
    (row,) = [row async for page in mailbox.summaries() for row in page]
    assert row.uid == uid
    assert row.flags == {"\\Seen", "$Label1"}
    assert row.internal_date == 1_000_000_000.0
    assert (row.size, row.header_size) == (len(SIMPLE), SIMPLE.index(b"\r\n\r\n") + 4)
    assert await octets(mailbox, uid) == SIMPLE


@pytest.mark.parametrize(
    "data",
    [
        b"A: b\r\n\r\n",
        b"\r\n\r\nbody\r\n",
        b"A: b\r\n\r\nno end of line\r\n",
        b"A: b\r\n\r\n\r\n\r\ntwo empty lines follow\r\n\r\n\r\n",
        b"A: b\r\n\r\n" + b"\xff\x00\x01 octets\r\n" * 3,
        b"A: b\r\n\r\nFrom x Mon Jan  1 00:00:00 2024\r\n\r\nFrom y\r\n",
        b"Status: RO\r\nX-Status: F\r\nX-Keywords: a b\r\nA: b\r\n\r\nx\r\n",
        b"A: b\r\n\r\n" + b"0123456789abcdef" * 20_000 + b"\r\n",
    ],
)
async def test_any_canonical_octets_come_back_after_reopening(
    request: pytest.FixtureRequest, account: AccountStore, data: bytes
) -> None:
    mailbox = await selected(account)
    first = await append(account, mailbox, data)
    second = await append(account, mailbox, SIMPLE)
    await mailbox.close()
    again = await selected(account)
    expected = data
    if data.startswith(b"Status") and "mbox" in request.node.name:
        expected = data.partition(b"a b\r\n")[2]  # in an mbox these fields are the store's, as for every program
    assert expected == await octets(again, first)
    assert await octets(again, second) == SIMPLE


async def test_ranges_are_exact(account: AccountStore) -> None:
    mailbox = await selected(account)
    data = b"A: b\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(20_000))
    uid = await append(account, mailbox, data)
    handle = (await mailbox.contents([uid]))[uid]
    assert handle.size == len(data)
    assert handle.header_size == 8
    for start, stop in (
        (0, 8),
        (8, None),
        (70_000, 70_010),
        (len(data) - 1, None),
        (len(data), None),
        (5, 5),
        (131_071, 131_074),
    ):
        assert data[start:stop] == await handle.read(start, stop)
        pieces = [piece async for piece in handle.chunks(start, stop)]
        assert data[start:stop] == b"".join(pieces)
        assert all(len(piece) <= 65_536 for piece in pieces)


async def test_bare_line_ends_become_crlf_however_cut(account: AccountStore) -> None:
    mailbox = await selected(account)
    writer = account.new_content()
    for number in range(len(b"A: b\n\nx\ry\r\nz\n")):
        writer.write(b"A: b\n\nx\ry\r\nz\n"[number : number + 1])
    appended = await mailbox.append([NewMessage(await writer.finish())])
    assert isinstance(appended, Appended)
    assert await octets(mailbox, appended.uids[0]) == b"A: b\r\n\r\nx\r\ny\r\nz\r\n"


async def test_several_messages_are_appended_together(account: AccountStore) -> None:
    mailbox = await selected(account)
    drafts = []
    for number in range(3):
        writer = account.new_content()
        writer.write(b"A: %d\r\n\r\n" % number)
        drafts.append(NewMessage(await writer.finish()))
    appended = await mailbox.append(drafts)
    assert isinstance(appended, Appended)
    assert list(appended.uids) == sorted(appended.uids)
    assert [await octets(mailbox, uid) for uid in appended.uids] == [b"A: 0\r\n\r\n", b"A: 1\r\n\r\n", b"A: 2\r\n\r\n"]


async def test_flags_are_added_removed_and_replaced(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox)
    other = await append(account, mailbox)
    await mailbox.store_flags([uid], "add", frozenset({"\\Seen", "\\Flagged", "Work"}))
    assert (await flags_of(mailbox))[uid] == {"\\Seen", "\\Flagged", "Work"}
    await mailbox.store_flags([uid], "remove", frozenset({"\\Seen", "work"}))
    assert (await flags_of(mailbox))[uid] == {"\\Flagged"}
    stored = await mailbox.store_flags([uid, 999], "replace", frozenset({"\\Answered", "\\Draft", "\\Deleted"}))
    assert isinstance(stored, FlagsStored)
    assert [(row.uid, row.flags) for row in stored.changed] == [(uid, {"\\Answered", "\\Draft", "\\Deleted"})]
    assert (await flags_of(mailbox))[other] == frozenset()


async def test_flags_are_still_there_in_the_next_session(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox)
    await mailbox.store_flags([uid], "add", frozenset({"\\Seen", "\\Answered", "Later"}))
    await mailbox.close()
    assert (await flags_of(await selected(account)))[uid] == {"\\Seen", "\\Answered", "Later"}


async def test_a_change_raises_modseq_and_no_change_does_not(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox)
    first = await mailbox.store_flags([uid], "add", frozenset({"\\Seen"}))
    second = await mailbox.store_flags([uid], "add", frozenset({"\\Seen"}))
    assert isinstance(first, FlagsStored)
    assert isinstance(second, FlagsStored)
    assert first.changed[0].modseq == second.changed[0].modseq == (await mailbox.status()).highest_modseq


async def test_a_store_below_the_modseq_is_a_conflict(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox)
    before = (await mailbox.status()).highest_modseq
    await mailbox.store_flags([uid], "add", frozenset({"\\Seen"}))
    stored = await mailbox.store_flags([uid], "add", frozenset({"\\Deleted"}), unchanged_since=before)
    assert isinstance(stored, FlagsStored)
    assert (list(stored.changed), list(stored.conflicts)) == ([], [uid])
    assert (await flags_of(mailbox))[uid] == {"\\Seen"}


async def test_expunge_takes_the_deleted_and_only_those_asked_for(account: AccountStore) -> None:
    mailbox = await selected(account)
    uids = [await append(account, mailbox, b"A: %d\r\n\r\n" % number) for number in range(4)]
    await mailbox.store_flags(uids[:3], "add", frozenset({"\\Deleted"}))
    some = await mailbox.expunge([uids[1], uids[3]])
    assert isinstance(some, Expunged)
    assert list(some.uids) == [uids[1]]
    rest = await mailbox.expunge()
    assert isinstance(rest, Expunged)
    assert list(rest.uids) == [uids[0], uids[2]]
    assert list(await mailbox.uids()) == [uids[3]]
    assert await octets(mailbox, uids[3]) == b"A: 3\r\n\r\n"


async def test_a_uid_is_never_given_twice(account: AccountStore) -> None:
    mailbox = await selected(account)
    first = await append(account, mailbox)
    await mailbox.remove([first])
    await mailbox.close()
    again = await selected(account)
    assert await append(account, again) > first
    assert again.uid_validity == mailbox.uid_validity


async def test_changes_tell_what_came_what_changed_and_what_went(account: AccountStore) -> None:
    mailbox = await selected(account)
    gone, changed, same = [await append(account, mailbox, b"A: %d\r\n\r\n" % number) for number in range(3)]
    since = (await mailbox.status()).highest_modseq
    other = await selected(account)
    await other.remove([gone])
    await other.store_flags([changed], "add", frozenset({"\\Flagged"}))
    new = await append(account, other)
    changes = await mailbox.changes(since)
    assert [row.uid for row in changes.changed] == [changed, new]
    assert list(changes.vanished) == [gone]
    assert changes.complete
    assert not changes.gone
    assert changes.uid_next == new + 1
    assert (await mailbox.changes(changes.highest_modseq)).changed == ()
    assert same in await mailbox.uids()


async def test_status_counts(account: AccountStore) -> None:
    mailbox = await selected(account)
    for flags in ((), ("\\Seen",), ("\\Deleted",)):
        await append(account, mailbox, flags=flags)
    status = (await account.status(["inbox", "no such"]))["inbox"]
    assert (status.messages, status.unseen, status.deleted) == (3, 2, 1)
    assert (status.size, status.deleted_size) == (3 * len(SIMPLE), len(SIMPLE))
    assert status.recent == 3
    assert status == await mailbox.status()


async def test_recent_is_told_to_one_session(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox)
    looker = await selected(account, read_only=True)
    assert await looker.take_recent() <= uid
    assert await mailbox.take_recent() <= uid
    assert await (await selected(account)).take_recent() == uid + 1


async def test_an_examined_mailbox_is_not_changed(account: AccountStore) -> None:
    uid = await append(account, await selected(account))
    looker = await selected(account, read_only=True)
    for refused in (
        await looker.store_flags([uid], "add", frozenset({"\\Seen"})),
        await looker.remove([uid]),
        await looker.move([uid], "INBOX"),
    ):
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.READ_ONLY
    assert await flags_of(looker) == {uid: frozenset()}


async def test_a_copy_into_the_same_mailbox_gets_a_new_uid(account: AccountStore) -> None:
    mailbox = await selected(account)
    uid = await append(account, mailbox, flags=("\\Flagged",), date=1_000_000_000.0)
    copied = await mailbox.copy([uid], "INBOX")
    assert isinstance(copied, Copied)
    assert list(copied.source_uids) == [uid]
    assert copied.destination_uids[0] > uid
    assert list(await mailbox.uids()) == [uid, *copied.destination_uids]
    rows = [row async for page in mailbox.summaries() for row in page]
    assert rows[0].flags == rows[1].flags == {"\\Flagged"}
    assert rows[1].internal_date == 1_000_000_000.0
    await mailbox.remove([uid])
    assert await octets(mailbox, copied.destination_uids[0]) == SIMPLE


async def test_a_parent_that_was_deleted_goes_with_its_last_child(folders: AccountStore) -> None:
    await folders.create("p/q/r")
    await folders.create("x")
    assert await folders.delete("p") is None
    assert await folders.delete("p/q") is None
    kept = {info.name: info.selectable for info in await folders.mailboxes() if info.name.startswith("p")}
    assert kept == {"p": False, "p/q": False, "p/q/r": True}
    assert await folders.rename("p/q/r", "x/r") is None
    assert not {name for name in await names(folders) if name.startswith("p")}
    await folders.delete("x")
    assert await folders.delete("x/r") is None
    assert "x" not in await names(folders)


async def test_a_mailbox_takes_the_place_of_a_parent_that_was_deleted(folders: AccountStore) -> None:
    await folders.create("c/d/d")
    await folders.create("c/k")
    await folders.create("x/k")
    await folders.delete("c")
    refused = await folders.rename("x", "c")
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.ALREADY_EXISTS, "c/k would be there twice"
    assert {"x", "x/k"} <= await names(folders)
    assert await folders.rename("c/d", "c") is None
    kept = {info.name: info.selectable for info in await folders.mailboxes() if info.name.startswith("c")}
    assert kept == {"c": True, "c/d": True, "c/k": True}
    await folders.delete("c")
    inbox = await selected(folders)
    await append(folders, inbox)
    assert await folders.rename("INBOX", "c") is None
    assert len(await (await selected(folders, "c")).uids()) == 1


async def fails(store: MailStore, call: Callable[[], Awaitable[object]]) -> None:
    """A call whose commit fails, as on a full disk."""
    lane = store.lane(ALICE)  # type: ignore[attr-defined]
    file = await lane.read(lambda file: file)
    file.connection.set_commit_hook(lambda: True)
    with pytest.raises(MailboxFault):
        await call()
    file.connection.set_commit_hook(None)


async def test_a_commit_that_fails_takes_no_message_away(store: MailStore, account: AccountStore) -> None:
    mailbox = await selected(account)
    kept = [await append(account, mailbox, b"Number: %d\r\n\r\nx\r\n" % number) for number in range(4)]
    await mailbox.store_flags(kept[:1], "add", frozenset(("\\Deleted",)))
    await fails(store, lambda: mailbox.remove(kept[1:3]))
    await fails(store, mailbox.expunge)
    await fails(store, lambda: mailbox.move(kept[:2], "INBOX"))
    await fails(store, lambda: mailbox.copy(kept, "INBOX"))
    numbers = []
    for content in (await mailbox.contents(await mailbox.uids())).values():
        numbers.append((await content.read()).partition(b"\r\n")[0])
    found = sorted(numbers)
    # An mbox is rewritten before the commit: what was to be removed may be gone, the rest is there once.
    inbox = next(info for info in await account.mailboxes() if info.name == "INBOX")
    every = [b"Number: %d" % number for number in range(4)]
    assert found == every if inbox.may_have_children else set(every[3:]) <= set(found) <= set(every)
    assert len(set(found)) == len(found)
    new = await append(account, mailbox)
    assert new > max(kept)
    assert await octets(mailbox, new) == SIMPLE


async def test_a_commit_that_fails_moves_nothing_to_another_mailbox(
    folders: AccountStore, request: pytest.FixtureRequest
) -> None:
    store = folders._surroundings  # type: ignore[attr-defined]
    await folders.create("a")
    mailbox, target = await selected(folders), await selected(folders, "a")
    uid = await append(folders, mailbox)
    await fails(store, lambda: mailbox.move([uid], "a"))
    assert (list(await mailbox.uids()), list(await target.uids())) == ([uid], [])
    assert await octets(mailbox, uid) == SIMPLE
    await fails(store, lambda: folders.rename("a", "b"))
    assert {"a"} <= await names(folders) and "b" not in await names(folders)
    moved = await mailbox.move([uid], "a")
    assert isinstance(moved, Copied)
    assert (list(await mailbox.uids()), list(await target.uids())) == ([], list(moved.destination_uids))


async def test_a_name_that_is_not_there_is_refused(store: MailStore, account: AccountStore) -> None:
    for refused in (
        await account.select("No such"),
        await (await selected(account)).copy([await append(account, await selected(account))], "No such"),
        await account.delete("No such"),
        await store.deliver(ALICE, content(SIMPLE), mailbox="No such"),
    ):
        assert isinstance(refused, Refused)
        assert refused.refusal in {Refusal.NONEXISTENT, Refusal.CANNOT}
        # Where no mailbox but INBOX can be made, nobody is told to try.
        (inbox,) = [info for info in await account.mailboxes() if info.name == "INBOX"]
        assert inbox.may_have_children or refused.refusal is Refusal.CANNOT or "doesn't exist" in refused.text
        assert refused.refusal is Refusal.NONEXISTENT or not inbox.may_have_children


async def test_a_subscription_needs_no_mailbox(account: AccountStore) -> None:
    await account.subscribe(["Elsewhere"], True)
    (info,) = [info for info in await account.mailboxes() if info.name == "Elsewhere"]
    assert (info.subscribed, info.exists, info.selectable) == (True, False, False)
    await account.subscribe(["Elsewhere"], False)
    assert "Elsewhere" not in [info.name for info in await account.mailboxes()]


async def test_a_waiting_session_wakes_when_mail_comes(store: MailStore, account: AccountStore) -> None:
    mailbox = await selected(account)
    since = (await mailbox.status()).highest_modseq
    waiting = asyncio.create_task(mailbox.wait(since, 20))
    await asyncio.sleep(0)
    await store.deliver(ALICE, content(SIMPLE))
    assert await asyncio.wait_for(waiting, 5)
    assert not await mailbox.wait((await mailbox.status()).highest_modseq, 0.01)


async def test_deliveries_at_once_all_arrive_once(store: MailStore, account: AccountStore) -> None:
    messages = [b"A: %d\r\n\r\nbody\r\n" % number for number in range(20)]
    delivered = await asyncio.gather(*(store.deliver(ALICE, content(data)) for data in messages))
    mailbox = await selected(account)
    by_uid = {each.uid: data for each, data in zip(delivered, messages, strict=True) if isinstance(each, Delivered)}
    assert by_uid == {uid: await octets(mailbox, uid) for uid in await mailbox.uids()}
    assert len(by_uid) == 20


async def test_the_structure_has_offsets_into_the_content(account: AccountStore) -> None:
    mailbox = await selected(account)
    data = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n--b--\r\n"
    )
    uid = await append(account, mailbox, data)
    part = (await mailbox.structures([uid]))[uid]
    assert [data[each.body_start : each.body_end] for each in part.parts] == [b"one", b"two"]


async def test_a_draft_that_is_dropped_leaves_nothing(account: AccountStore, tmp_path: Path) -> None:
    mailbox = await selected(account)
    await append(account, mailbox)
    before = files_below(tmp_path)
    writer = account.new_content()
    writer.write(b"A: b\r\n\r\n" + b"x" * 300_000)
    await writer.room()
    (await writer.finish()).abort()
    assert files_below(tmp_path) == before


# Mailboxes beside INBOX: every store but the mbox spool.


@pytest.fixture(params=sorted(FOLDERS))
async def folders(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccountStore]:
    made = KINDS[request.param](tmp_path)
    opened = await made.open(ALICE)
    assert not isinstance(opened, Refused)
    yield opened
    await made.close()


async def names(account: AccountStore) -> set[str]:
    return {info.name for info in await account.mailboxes()}


async def test_a_mailbox_is_made_with_those_above_it(folders: AccountStore) -> None:
    made = await folders.create("Work/Öffentlich/2024/")
    assert isinstance(made, MailboxInfo)
    assert made.name == "Work/Öffentlich/2024"
    assert {"Work", "Work/Öffentlich", "Work/Öffentlich/2024"} <= await names(folders)
    again = await folders.create("Work")
    assert isinstance(again, Refused)
    assert again.refusal is Refusal.ALREADY_EXISTS


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "/a", "a/../b", "a\x00", "a\nb", "x" * 300, "a/" * 40 + "a", "a*", "\ud800"]
)
async def test_a_name_that_cannot_be_is_refused(folders: AccountStore, name: str) -> None:
    assert isinstance(await folders.create(name), Refused)


async def test_a_move_gives_new_uids_and_leaves_tombstones(folders: AccountStore) -> None:
    await folders.create("Done")
    inbox, done = await selected(folders), await selected(folders, "Done")
    uids = [await append(folders, inbox, b"A: %d\r\n\r\n" % number, ("\\Seen", "Kept")) for number in range(3)]
    since = (await inbox.status()).highest_modseq
    moved = await inbox.move(uids[:2], "Done")
    assert isinstance(moved, Copied)
    assert (moved.uid_validity, list(moved.source_uids)) == (done.uid_validity, uids[:2])
    assert list(await inbox.uids()) == uids[2:]
    assert list((await inbox.changes(since)).vanished) == uids[:2]
    assert [await octets(done, uid) for uid in await done.uids()] == [b"A: 0\r\n\r\n", b"A: 1\r\n\r\n"]
    assert set((await flags_of(done)).values()) == {frozenset({"\\Seen", "Kept"})}


async def test_a_rename_takes_children_uids_and_validity_along(folders: AccountStore) -> None:
    await folders.create("Old/Child")
    old = await selected(folders, "Old/Child")
    uid = await append(folders, old)
    assert await folders.rename("Old", "New/Place") is None
    assert not {"Old", "Old/Child"} & await names(folders)
    new = await selected(folders, "New/Place/Child")
    assert (new.uid_validity, list(await new.uids())) == (old.uid_validity, [uid])
    assert await octets(new, uid) == SIMPLE


async def test_renaming_inbox_moves_its_messages_and_keeps_it(folders: AccountStore) -> None:
    await append(folders, await selected(folders))
    assert await folders.rename("INBOX", "Before") is None
    assert list(await (await selected(folders)).uids()) == []
    before = await selected(folders, "Before")
    assert [await octets(before, uid) for uid in await before.uids()] == [SIMPLE]


async def test_a_deleted_mailbox_is_gone_for_the_session_that_has_it(folders: AccountStore) -> None:
    await folders.create("Short/Child")
    mailbox = await selected(folders, "Short/Child")
    uid = await append(folders, mailbox)
    assert await folders.delete("Short/Child") is None
    assert (await mailbox.changes(0)).gone
    assert isinstance(await mailbox.store_flags([uid], "add", frozenset({"\\Seen"})), Refused)
    await folders.create("Short/Child")
    again = await selected(folders, "Short/Child")
    assert again.uid_validity != mailbox.uid_validity
    assert list(await again.uids()) == []


async def test_a_deleted_mailbox_with_children_stays_as_a_name(folders: AccountStore) -> None:
    await folders.create("Top/Child")
    await append(folders, await selected(folders, "Top"))
    assert await folders.delete("Top") is None
    (top,) = [info for info in await folders.mailboxes() if info.name == "Top"]
    assert (top.selectable, top.has_children) == (False, True)
    assert isinstance(await folders.select("Top"), Refused)
    assert isinstance(await folders.create("Top"), MailboxInfo)
    assert list(await (await selected(folders, "Top")).uids()) == []


async def test_inbox_cannot_be_deleted(folders: AccountStore) -> None:
    refused = await folders.delete("INBOX")
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.CANNOT


async def test_a_special_use_belongs_to_one_mailbox(folders: AccountStore) -> None:
    made = await folders.create("Everything", "\\All")
    assert isinstance(made, MailboxInfo)
    assert made.special_use == "\\All"
    assert isinstance(await folders.create("Second", "\\All"), Refused)
