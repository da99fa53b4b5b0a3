"""Maildir++, seen by other programs: names, flags, keywords, folders, Dovecot's uid list."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.index.disk_store import DiskMailStore
from posthouse.mailbox.maildir.names import decode_utf7, encode_utf7, folder_of, name_of, read_letters, write_letters
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.store import AccountStore, Mailbox, Refused

SMALL = Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "Maildir"
    for each in ("tmp", "new", "cur"):
        (made / each).mkdir(parents=True)
    return made


async def opened(root: Path) -> tuple[DiskMailStore, AccountStore, Mailbox]:
    store = maildir_store(lambda _account: root)
    account = await store.open("alice")
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    return store, account, mailbox


async def flags(mailbox: Mailbox) -> dict[int, frozenset[str]]:
    return {row.uid: row.flags async for page in mailbox.summaries() for row in page}


async def test_mail_of_other_programs_is_taken_from_new_to_cur_in_order(root: Path) -> None:
    (root / "new" / "1700000002.b.host").write_bytes(b"Subject: two\n\nx\n")
    (root / "cur" / "1700000001.a.host:2,FS").write_bytes(b"Subject: one\n\nx\n")
    store, _, mailbox = await opened(root)
    assert await flags(mailbox) == {1: {"\\Flagged", "\\Seen"}, 2: frozenset()}
    assert os.listdir(root / "new") == []
    assert sorted(os.listdir(root / "cur")) == ["1700000001.a.host:2,FS", "1700000002.b.host:2,"]
    contents = await mailbox.contents([1, 2])
    assert await contents[2].read() == b"Subject: two\r\n\r\nx\r\n"
    await store.close()


async def test_a_delivery_is_in_new_with_its_sizes_and_lf(root: Path) -> None:
    store, _, _ = await opened(root)
    await store.deliver("alice", SMALL)
    (name,) = os.listdir(root / "new")
    assert ",S=17,W=20" in name
    assert (root / "new" / name).read_bytes() == b"Subject: x\n\nbody\n"
    assert os.listdir(root / "tmp") == []
    await store.close()


async def test_flags_are_letters_and_keywords_have_dovecots_file(root: Path) -> None:
    store, _, mailbox = await opened(root)
    await store.deliver("alice", SMALL)
    await mailbox.store_flags([1], "replace", frozenset({"\\Seen", "\\Answered", "$Forwarded", "Work"}))
    (name,) = os.listdir(root / "cur")
    assert name.endswith(":2,PRSa")
    assert (root / "dovecot-keywords").read_text() == "0 Work\n"
    await store.close()


async def test_a_rename_by_another_program_is_a_change_of_flags(root: Path) -> None:
    (root / "cur" / "1700000001.a.host:2,").write_bytes(b"A: b\n\n")
    store, _, mailbox = await opened(root)
    handle = (await mailbox.contents([1]))[1]
    since = (await mailbox.status()).highest_modseq
    os.rename(root / "cur" / "1700000001.a.host:2,", root / "cur" / "1700000001.a.host:2,S")
    assert [(row.uid, row.flags) for row in (await mailbox.changes(since)).changed] == [(1, {"\\Seen"})]
    assert await handle.read() == b"A: b\r\n\r\n"
    os.unlink(root / "cur" / "1700000001.a.host:2,S")
    assert list((await mailbox.changes(since)).vanished) == [1]
    await store.close()


async def test_dovecots_uids_are_taken_over(root: Path) -> None:
    for name in ("1700000001.a", "1700000002.b", "1700000003.c"):
        (root / "cur" / f"{name}:2,").write_bytes(b"A: " + name.encode() + b"\n\n")
    (root / "dovecot-uidlist").write_text("3 V1234567 N90 Gabc\n7 :1700000002.b\n42 W9 :1700000001.a:2,S\n")
    store, _, mailbox = await opened(root)
    assert mailbox.uid_validity == 1234567
    assert list(await mailbox.uids()) == [7, 42, 90]
    assert await (await mailbox.contents([7]))[7].read() == b"A: 1700000002.b\r\n\r\n"
    await store.close()


async def test_folders_of_other_programs_are_listed_and_removed_ones_go(root: Path) -> None:
    for each in ("tmp", "new", "cur"):
        (root / ".Work.&ANY-ffentlich" / each).mkdir(parents=True)
    store, account, _ = await opened(root)
    assert [info.name for info in await account.mailboxes()] == ["INBOX", "Work", "Work/Öffentlich"]
    os.rename(root / ".Work.&ANY-ffentlich", root / ".Other")
    assert [info.name for info in await account.mailboxes()] == ["INBOX", "Other"]
    await store.close()


async def test_a_deleted_mailbox_leaves_no_folder(root: Path) -> None:
    store, account, _ = await opened(root)
    await account.create("Gone")
    await store.deliver("alice", SMALL, mailbox="Gone")
    assert (root / ".Gone" / "maildirfolder").exists()
    await account.delete("Gone")
    assert ".Gone" not in os.listdir(root)
    await store.close()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_modified_utf7_comes_back(text: str) -> None:
    assert decode_utf7(encode_utf7(text)) == text
    assert encode_utf7(text).isascii()


@given(st.text(max_size=40))
def test_any_folder_name_is_a_name_or_none(text: str) -> None:
    name_of("." + text)


def test_a_dot_in_a_level_is_no_separator() -> None:
    assert folder_of("a.b/c") == ".a&AC4-b.c"
    assert name_of(".a&AC4-b.c") == "a.b/c"


@pytest.mark.parametrize(
    ("letters", "bits", "words"),
    [("", 0, set()), ("DFRST", 31, set()), ("Pab", 0, {"$Forwarded", "one", "two"}), ("z", 0, set())],
)
def test_letters_both_ways(letters: str, bits: int, words: set[str]) -> None:
    assert read_letters(letters, ["one", "two"]) == (bits, words)
    if letters != "z":
        assert write_letters("", bits, words, ["one", "two"]) == letters


def test_unknown_letters_stay() -> None:
    assert write_letters("QSx", 0, set(), []) == "Q"
