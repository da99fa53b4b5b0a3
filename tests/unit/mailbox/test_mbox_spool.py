"""The mbox spool, seen by other programs: what it reads from them, and what it leaves them."""

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.index.disk_store import DiskMailStore
from posthouse.mailbox.mbox import backing
from posthouse.mailbox.mbox.append_note import AppendNote
from posthouse.mailbox.mbox.format import messages_of, raw_content, unwrap, wrap
from posthouse.mailbox.mbox.locks import LockRules, lock_mbox, lock_to_read
from posthouse.mailbox.mbox.rewrite import Rewriter
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.store import FlagsStored, Mailbox, MailboxFault, Refusal, Refused

ONE = b"From a@x  Mon Jan  1 10:00:00 2024\nSubject: one\nStatus: RO\n\none\n\n"
TWO = b"From b@x  Tue Jan  2 10:00:00 2024\nSubject: two\nContent-Length: 999\n\n>From two\nFrom no date\n\n"


def make(folder: Path, **options: object) -> tuple[DiskMailStore, Path]:
    spool = folder / "alice"
    return mbox_store(lambda _account: (spool, folder / "index"), **options), spool


async def inbox(store: DiskMailStore) -> Mailbox:
    account = await store.open("alice")
    assert not isinstance(account, Refused)
    mailbox = await account.select("INBOX")
    assert not isinstance(mailbox, Refused)
    return mailbox


async def octets(mailbox: Mailbox) -> list[bytes]:
    contents = await mailbox.contents(await mailbox.uids())
    return [await contents[uid].read() for uid in await mailbox.uids()]


async def flags(mailbox: Mailbox) -> list[frozenset[str]]:
    return [row.flags async for page in mailbox.summaries() for row in page]


async def test_status_is_a_flag_and_not_content(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO)
    mailbox = await inbox(store)
    assert await octets(mailbox) == [
        b"Subject: one\r\n\r\none\r\n",
        b"Subject: two\r\nContent-Length: 999\r\n\r\nFrom two\r\nFrom no date\r\n",
    ]
    assert await flags(mailbox) == [{"\\Seen"}, frozenset()]
    await store.close()


async def test_uids_stay_when_another_program_removes_and_appends(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO)
    mailbox = await inbox(store)
    first, second = await mailbox.uids()
    spool.write_bytes(TWO + ONE.replace(b"one", b"three"))
    assert list(await mailbox.uids()) == [second, second + 1]
    assert list((await mailbox.changes(1)).vanished) == [first]
    await store.close()


async def test_flags_another_program_wrote_are_seen(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO)
    mailbox = await inbox(store)
    uids = await mailbox.uids()
    spool.write_bytes(ONE.replace(b"Status: RO\n", b"Status: RO\nX-Status: AF\nX-Keywords: Work\n") + TWO)
    assert (await flags(mailbox))[0] == {"\\Seen", "\\Answered", "\\Flagged", "Work"}
    assert await mailbox.uids() == uids
    await store.close()


async def test_flags_are_written_when_the_session_ends(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO)
    mailbox = await inbox(store)
    uids = await mailbox.uids()
    await mailbox.store_flags([uids[1]], "add", frozenset({"\\Seen", "\\Deleted", "Later"}))
    await mailbox.close()
    assert spool.read_bytes() == ONE + TWO.replace(b"999\n", b"999\nStatus: RO\nX-Status: D\nX-Keywords: Later\n")
    assert await mailbox.uids() == uids
    await store.close()


async def test_an_expunge_leaves_the_other_octets_as_they_were(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO + ONE.replace(b"one", b"last"))
    mailbox = await inbox(store)
    await mailbox.remove((await mailbox.uids())[:1])
    assert spool.read_bytes() == TWO + ONE.replace(b"one", b"last")
    assert len(await mailbox.uids()) == 2
    await store.close()


async def test_a_delivery_looks_as_postfix_writes_it(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    content = Content(b"Subject: x\r\n", MemoryBody(b"From me\r\n"))
    await store.deliver("alice", content, sender="bob@example.com", internal_date=1_700_000_000.0)
    stamp = time.asctime(time.localtime(1_700_000_000)).encode()
    assert spool.read_bytes() == b"From bob@example.com  " + stamp + b"\nSubject: x\n\n>From me\n\n"
    assert sorted(os.listdir(tmp_path)) == ["alice", "index"]
    await store.close()


async def test_the_size_limit_holds(tmp_path: Path) -> None:
    store, spool = make(tmp_path, size_limit=200)
    spool.write_bytes(ONE)
    refused = await store.deliver("alice", Content(b"Subject: x\r\n", MemoryBody(b"x" * 200)))
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.OVER_QUOTA
    assert spool.read_bytes() == ONE
    await store.close()


async def test_pines_own_message_is_not_shown_and_stays(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    own = b"From MAILER-DAEMON  Mon Jan  1 10:00:00 2024\nSubject: DON'T DELETE\nX-IMAP: 1 2\n\ndata\n\n"
    spool.write_bytes(own + ONE + TWO)
    mailbox = await inbox(store)
    await mailbox.remove([(await mailbox.uids())[0]])
    assert spool.read_bytes() == own + TWO
    await store.close()


async def test_what_is_no_mbox_is_a_fault_and_is_not_touched(tmp_path: Path) -> None:
    store, spool = make(tmp_path)
    spool.write_bytes(b"not a mailbox\n")
    with pytest.raises(MailboxFault):
        await inbox(store)
    assert spool.read_bytes() == b"not a mailbox\n"
    await store.close()


async def test_other_mailboxes_are_refused(tmp_path: Path) -> None:
    store, _spool = make(tmp_path)
    account = await store.open("alice")
    assert not isinstance(account, Refused)
    refused = await account.create("Sent")
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.CANNOT
    await store.close()


def test_a_held_dot_lock_is_waited_for_and_then_a_fault(tmp_path: Path) -> None:
    spool = tmp_path / "alice"
    Path(f"{spool}.lock").touch()
    waits: list[float] = []
    with pytest.raises(MailboxFault, match="unable to create lock file"):
        lock_mbox(str(spool), LockRules(attempts=3), wait=waits.append)
    assert waits == [1.0, 1.0]
    assert not spool.exists()


def test_a_stale_dot_lock_is_broken(tmp_path: Path) -> None:
    spool = tmp_path / "alice"
    Path(f"{spool}.lock").touch()
    lock = lock_mbox(str(spool), LockRules(stale=-1.0))
    assert lock is not None
    lock.release()
    assert not Path(f"{spool}.lock").exists()


def test_an_fcntl_lock_keeps_others_out_and_outlives_another_descriptor(tmp_path: Path) -> None:
    spool = tmp_path / "alice"
    lock = lock_mbox(str(spool), LockRules(("fcntl",)))
    assert lock is not None
    os.close(os.open(spool, os.O_RDWR))  # drops a classic fcntl lock of this process
    script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    held = subprocess.run([sys.executable, "-I", "-c", script, str(spool)], stderr=subprocess.PIPE)
    assert b"BlockingIOError" in held.stderr
    with pytest.raises(MailboxFault, match="unable to lock"):
        lock_to_read(str(spool), LockRules(("fcntl",), attempts=2), wait=lambda _seconds: None)
    lock.release()
    assert subprocess.run([sys.executable, "-I", "-c", script, str(spool)]).returncode == 0
    os.close(lock_to_read(str(spool), LockRules(("fcntl",), attempts=1)))


class Stop(Exception):
    """The power went."""


@pytest.mark.parametrize("new", [TWO, ONE + ONE + TWO], ids=["shorter", "longer"])
@pytest.mark.parametrize("appended", [b"", ONE])
def test_a_crash_in_a_rewrite_loses_no_octet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: bytes, appended: bytes
) -> None:
    for stop in range(30):
        spool = tmp_path / f"spool{stop}"
        spool.write_bytes(ONE + ONE + TWO if new == TWO else ONE + TWO)
        old = spool.read_bytes()
        rewriter = Rewriter(tmp_path / f"note{stop}")
        descriptor = os.open(spool, os.O_RDWR)
        steps = 0
        for name in ("pwrite", "fsync", "ftruncate", "replace"):
            real = getattr(os, name)

            def step(*arguments: object, _real: object = real, _stop: int = stop) -> object:
                nonlocal steps
                steps += 1
                if steps > _stop:
                    raise Stop
                return _real(*arguments)  # type: ignore[operator]

            monkeypatch.setattr(os, name, step)
        try:
            rewriter.rewrite(descriptor, len(ONE), new)
            done = True
        except Stop:
            done = False
        monkeypatch.undo()
        with spool.open("ab") as file:
            file.write(appended)
        rewriter.recover(descriptor)
        os.close(descriptor)
        left = [raw_content(spool.read_bytes(), each) for each in messages_of(spool.read_bytes())]
        before = [raw_content(old + appended, each) for each in messages_of(old + appended)]
        after = [raw_content(ONE + new + appended, each) for each in messages_of(ONE + new + appended)]
        # empty lines may be added to a message that a delivery came after, where the crash was while they were added
        stripped = [[each.rstrip(b"\n") for each in some] for some in (left, before, after)]
        assert stripped[0] in stripped[1:]
        assert not (tmp_path / f"note{stop}").exists()
        if done:
            assert left == after
            return
    raise AssertionError("never came to the end")


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\r", b"")))
def test_what_is_wrapped_is_found_and_unwrapped(body: bytes) -> None:
    content = b"Subject: x\n\n" + body + b"\n"
    raw = wrap(content, "a@x", 1_700_000_000.0)
    (found,) = messages_of(raw)
    assert raw_content(raw, found) == content
    assert raw_content(raw + ONE, next(messages_of(raw + ONE))) == content


@given(st.binary(max_size=400))
def test_any_octets_are_read(data: bytes) -> None:
    for found in messages_of(data):
        unwrap(data[found.content : found.end])
    for found in messages_of(ONE + data):
        raw_content(ONE + data, found)


async def test_a_spool_that_may_not_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/var/mail on a file system mounted read-only: root's tests cannot forbid themselves, so the lock says so."""
    store, spool = make(tmp_path)
    spool.write_bytes(ONE + TWO)

    def read_only(path: str, _rules: LockRules, **_options: object) -> None:
        error = OSError(errno.EROFS, os.strerror(errno.EROFS))
        raise MailboxFault(f"{path}: {error.strerror}") from error

    monkeypatch.setattr(backing, "lock_mbox", read_only)
    mailbox = await inbox(store)
    assert len(await octets(mailbox)) == 2
    copied = await mailbox.copy(await mailbox.uids(), "INBOX")
    assert isinstance(copied, Refused)
    assert copied.refusal is Refusal.READ_ONLY
    assert isinstance(await mailbox.store_flags([2], "add", frozenset(("\\Deleted",))), FlagsStored)
    with pytest.raises(MailboxFault, match="Read-only"):
        await mailbox.expunge()
    await mailbox.close()
    assert spool.read_bytes() == ONE + TWO
    assert list(await mailbox.uids()) == [1, 2]
    await store.close()


NOTES = [
    # what lies in the file behind the first message; its size when whole; what is left of it
    (b"From x  Tue Jan  2 10:00:00 2024\nSubject: part\n\nwell be", 500, b""),
    (b"From x", 500, b""),
    (TWO, len(TWO), TWO),
    (TWO + TWO, len(TWO), TWO + TWO),
    (b"From x  Tue Jan  2\nSubject: part\n\nwell beFrom b@x  Tue Jan  2 10:00:00 2024\n\nmail\n\n", 500, None),
]


@pytest.mark.parametrize(("behind", "size", "left"), NOTES)
def test_part_of_a_message_of_a_killed_process_is_cut_off(
    tmp_path: Path, behind: bytes, size: int, left: bytes | None
) -> None:
    spool = tmp_path / "alice"
    spool.write_bytes(ONE + behind)
    note = tmp_path / "note"
    note.write_text(f"{spool.stat().st_ino} {len(ONE)} {len(ONE) + size}\n")
    descriptor = os.open(spool, os.O_RDWR)
    AppendNote(note).recover(descriptor)
    os.close(descriptor)
    assert spool.read_bytes() == ONE + (behind if left is None else left)
    assert not note.exists()


@given(st.binary(max_size=60))
def test_any_note_is_read(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "note").write_bytes(text)
        (Path(folder) / "spool").write_bytes(ONE)
        descriptor = os.open(Path(folder) / "spool", os.O_RDWR)
        AppendNote(Path(folder) / "note").recover(descriptor)
        os.close(descriptor)
        assert (Path(folder) / "spool").read_bytes() == ONE


async def test_no_note_is_left_behind(tmp_path: Path) -> None:
    store, _spool = make(tmp_path)
    await store.deliver("alice", Content(b"Subject: x\n", MemoryBody(b"y" * 100_000)))
    assert not [name for name in os.listdir(tmp_path / "index") if name.endswith(".append")]
    await store.close()
