"""Which store an account's mail is in, and INBOX as POP3 sees it."""

import os
from pathlib import Path

import pytest

from posthouse.config.error import ConfigError
from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.maildrop import Maildrop, open_maildrop
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.open import ChoosingStore, MailboxSettings, SystemUser, open_mail_store
from posthouse.mailbox.store import MailStore, Refused

SMALL = Content(b"Subject: x\r\n", MemoryBody(b"1\r\n2\r\n3\r\n"))


def settings(folder: Path, **changed: object) -> MailboxSettings:
    values: dict[str, object] = {
        "mail_store_directory": str(folder / "accounts"),
        "mailbox_spool_takeover": "copy",
        "mail_spool_directory": str(folder),
        "home_mailbox": "",
        "mailbox_delivery_lock": ("fcntl", "dotlock"),
        "mailbox_size_limit": 51_200_000,
        "deliver_lock_attempts": 20,
        "deliver_lock_delay": 1,
        "stale_lock_time": 500,
    }
    return MailboxSettings(**(values | changed))  # type: ignore[arg-type]


def choosing(folder: Path, **changed: object) -> ChoosingStore:
    def system_user(account: str) -> SystemUser | None:
        return None if "@" in account else SystemUser(account, str(folder / "home"))

    return open_mail_store(settings(folder, **changed), system_user=system_user)


async def test_an_account_that_is_no_user_is_in_the_native_store(tmp_path: Path) -> None:
    store = choosing(tmp_path)
    await store.deliver("alice@example.com", SMALL)
    assert isinstance(store.store_of("alice@example.com"), NativeMailStore)
    assert (tmp_path / "accounts" / "example.com").is_dir()
    await store.close()


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({}, "alice"),
        ({"home_mailbox": "mbox"}, "home/mbox"),
        ({"home_mailbox": "Maildir/"}, "home/Maildir/new"),
        ({"mail_spool_directory": "SPOOL/"}, "SPOOL/alice/new"),
    ],
)
async def test_a_users_mail_is_where_local_delivery_puts_it(tmp_path: Path, changed: dict[str, str], path: str) -> None:
    os.mkdir(tmp_path / "home")
    if "mail_spool_directory" in changed:
        changed = {"mail_spool_directory": str(tmp_path / "SPOOL") + "/"}
    store = choosing(tmp_path, **changed)
    await store.deliver("alice", SMALL)
    found = tmp_path / path
    assert os.listdir(found) if os.path.isdir(found) else os.path.getsize(found)  # noqa: ASYNC240
    await store.close()


async def test_move_carries_the_spool_into_the_native_store(tmp_path: Path) -> None:
    (tmp_path / "alice").write_bytes(b"From a@x  Mon Jan  1 10:00:00 2024\nSubject: one\n\none\n\n")
    store = choosing(tmp_path, mailbox_spool_takeover="move")
    drop = await maildrop(store, "alice")
    assert [message.size for message in drop.messages] == [21]
    assert (tmp_path / "alice").read_bytes() == b""
    await store.close()


def test_an_unknown_takeover_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='bad mailbox_spool_takeover value "both": copy or move'):
        settings(tmp_path, mailbox_spool_takeover="both")


async def maildrop(store: MailStore, account: str) -> Maildrop:
    opened = await store.open(account)
    assert not isinstance(opened, Refused)
    drop = await open_maildrop(opened)
    assert not isinstance(drop, Refused)
    return drop


async def test_a_maildrop_is_fixed_at_login_and_deletes_at_the_end(tmp_path: Path) -> None:
    store = NativeMailStore(tmp_path)
    for _ in range(3):
        await store.deliver("alice@x", SMALL)
    drop = await maildrop(store, "alice@x")
    await store.deliver("alice@x", SMALL)
    assert [message.number for message in drop.messages] == [1, 2, 3]
    assert await drop.remove([1, 3])
    await drop.close()
    again = await maildrop(store, "alice@x")
    assert again.messages[0].unique_id == drop.messages[1].unique_id
    assert len(again.messages) == 2
    assert b"".join([chunk async for chunk in again.content(1)]) == b"Subject: x\r\n\r\n1\r\n2\r\n3\r\n"
    await store.close()


@pytest.mark.parametrize(("lines", "body"), [(0, b""), (1, b"1\r\n"), (2, b"1\r\n2\r\n"), (9, b"1\r\n2\r\n3\r\n")])
async def test_top_gives_the_header_and_so_many_lines(tmp_path: Path, lines: int, body: bytes) -> None:
    store = NativeMailStore(tmp_path)
    await store.deliver("alice@x", SMALL)
    drop = await maildrop(store, "alice@x")
    assert b"".join([chunk async for chunk in drop.top(1, lines)]) == b"Subject: x\r\n\r\n" + body
    await store.close()
