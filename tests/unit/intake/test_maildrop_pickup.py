import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.envelope.envelope import Recipient
from posthouse.host.log import ProcessLog
from posthouse.host.maildrop import NotADrop, drop, dropped, make_maildrop, open_drop, read_drop, take_postfix_drops
from posthouse.intake.local_submission import LocalSubmission
from posthouse.intake.pickup import Pickup
from posthouse.wire.intake import HEADING, Submission
from tests.queue_files import drop_file, put, queue_file

SUBMISSION = Submission("joe", (Recipient("bob"),), full_name="Joe Full")
CONTENT = b"Subject: t\r\n\r\nhello\r\n"


@pytest.fixture
def queue_directory(tmp_path: Path) -> str:
    make_maildrop(str(tmp_path), os.getuid(), os.getgid())
    return str(tmp_path)


def test_a_dropped_message_can_be_read_back(queue_directory: str) -> None:
    queue_id = drop(queue_directory, SUBMISSION, [CONTENT[:10], CONTENT[10:]])
    (one,) = dropped(queue_directory)
    assert (one.queue_id, one.uid) == (queue_id, os.getuid())
    assert len(queue_id) == 12
    assert int(queue_id, 16) >= 0
    assert os.stat(one.path).st_mode & 0o777 == 0o644
    assert read_drop(one.path) == (SUBMISSION, CONTENT)


def test_the_folder_can_be_written_by_all_and_listed_by_none(queue_directory: str) -> None:
    assert os.stat(f"{queue_directory}/posthouse/maildrop").st_mode & 0o7777 == 0o1733


def test_a_message_that_breaks_off_leaves_nothing(queue_directory: str) -> None:
    def content() -> Any:
        yield b"A: b\r\n"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        drop(queue_directory, SUBMISSION, content())
    assert os.listdir(f"{queue_directory}/posthouse/maildrop") == []


def test_only_complete_regular_files_with_one_name_are_opened(queue_directory: str, tmp_path: Path) -> None:
    drop(queue_directory, SUBMISSION, [CONTENT])
    (one,) = dropped(queue_directory)
    os.symlink(one.path, tmp_path / "link")
    os.mkfifo(tmp_path / "fifo", 0o644)
    with pytest.raises(NotADrop, match="symbolic link"):
        open_drop(str(tmp_path / "link"))
    with pytest.raises(NotADrop, match="regular"):
        open_drop(str(tmp_path / "fifo"))
    with pytest.raises(NotADrop, match="too large"):
        open_drop(one.path, 10)
    os.chmod(one.path, 0o600)
    with pytest.raises(NotADrop, match="complete"):
        open_drop(one.path)
    os.chmod(one.path, 0o644)
    os.link(one.path, tmp_path / "second")
    with pytest.raises(NotADrop, match="more than one name"):
        open_drop(one.path)


@pytest.fixture
def open_pickup(open_house: Callable[..., Any], queue_directory: str) -> Callable[..., tuple[Pickup, Any]]:
    def make(trusted: frozenset[int] = frozenset(), **settings: str) -> tuple[Pickup, Any]:
        house = open_house(**settings)
        log = ProcessLog(house.sink, "postfix/pickup")
        door = LocalSubmission.open(house.configuration, {"pickup": house.intake, "forward": house.intake}, log)
        return Pickup(queue_directory, door, log, 10240000, trusted), house

    return make


async def test_pickup_brings_mail_into_the_queue_in_order(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup()
    for subject in (b"one", b"two"):
        drop(queue_directory, SUBMISSION, [b"Subject: " + subject + b"\r\n\r\nhello\r\n"])
    assert await pickup.run() == 2
    assert dropped(queue_directory) == []
    header = house.store.messages[0].content.header.decode()
    assert header.startswith(f"Received: by mail.example.com (Postfix, from userid {os.getuid()})\r\n\tid 0000000001; ")
    assert header.endswith("From: Joe Full <joe@example.com>\r\n")
    assert house.sink.lines[0] == f"postfix/pickup: 0000000001: uid={os.getuid()} from=<joe>"
    stored = house.store.messages[0].message.recipients[0].recipient
    assert (stored.address, stored.original) == ("bob@example.com", "bob")


def leave(queue_directory: str, name: str, data: bytes) -> None:
    path = Path(queue_directory, "posthouse/maildrop", name)
    path.write_bytes(data)
    path.chmod(0o644)


async def test_what_is_no_submission_is_removed_and_logged(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup()
    for name, data in (("AAAAAAAAAA-1", b"junk"), ("AAAAAAAAAB-1", HEADING + b"junk"), ("AAAAAAAAAC-1", HEADING)):
        leave(queue_directory, name, data)
    assert await pickup.run() == 0
    assert dropped(queue_directory) == []
    assert len(house.sink.lines) == 3


async def test_a_forward_of_a_user_is_not_believed(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    forward = Submission("", (Recipient("bob"),), source="forward")
    pickup, house = open_pickup()
    drop(queue_directory, forward, [CONTENT])
    assert (await pickup.run(), house.store.messages) == (0, [])
    pickup, house = open_pickup(frozenset({os.getuid()}))
    drop(queue_directory, forward, [CONTENT])
    assert await pickup.run() == 1
    assert house.store.messages[0].content.header.startswith(b"Received: by mail.example.com (Postfix)\r\n")


async def test_mail_that_must_wait_stays(open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str) -> None:
    pickup, _ = open_pickup(virtual_alias_maps="hash:/nonexistent/virtual")
    drop(queue_directory, SUBMISSION, [CONTENT])
    assert await pickup.run() == 0
    assert len(dropped(queue_directory)) == 1


async def test_rejected_mail_goes_back_to_its_sender(open_house: Callable[..., Any], queue_directory: str) -> None:
    house = open_house(header_checks="static:{REJECT no}", internal_mail_filter_classes="")
    log = ProcessLog(house.sink, "postfix/pickup")
    returned: list[Any] = []

    async def give_back(*notice: Any) -> None:
        returned.append(notice)

    door = LocalSubmission.open(house.configuration, {"pickup": house.intake}, log, give_back)
    drop(queue_directory, SUBMISSION, [CONTENT])
    assert await Pickup(queue_directory, door, log, 10240000, frozenset()).run() == 1
    ((message, content, recipients),) = returned
    assert (message.envelope.sender, content.body.data) == ("joe@example.com", b"hello\r\n")
    assert [(r.recipient.address, r.dsn.status, r.dsn.reason) for r in recipients] == [
        ("bob@example.com", "5.7.1", "no")
    ]
    assert house.store.messages == []
    assert house.sink.lines[-1] == (
        "postfix/cleanup: 0000000001: to=<bob@example.com>, orig_to=<bob>, relay=none, delay=0, delays=0/0/0/0, "
        "dsn=5.7.1, status=bounced (no)"
    )


@pytest.mark.parametrize(
    ("sender", "content", "smtputf8"),
    [
        ("joe", CONTENT, False),
        ("jöe@x.example", CONTENT, True),
        ("joe", "Subject: ü\r\n\r\n".encode(), True),
        ("joe", b"Subject: \xfc\r\n\r\n", True),  # as Postfix: 8 bits are taken for UTF-8
    ],
)
async def test_utf8_of_users_is_detected(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str, sender: str, content: bytes, smtputf8: bool
) -> None:
    pickup, house = open_pickup()
    drop(queue_directory, Submission(sender, (Recipient("bob"),)), [content])
    assert await pickup.run() == 1
    assert house.store.messages[0].message.envelope.smtputf8 == smtputf8


async def test_a_file_that_breaks_us_stays_and_keeps_back_none(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup()
    for subject in (b"one", b"two"):
        drop(queue_directory, SUBMISSION, [b"Subject: " + subject + b"\r\n\r\nhello\r\n"])
    house.store.fail_commit = ValueError("a fault of ours")
    assert await pickup.run() == 0
    first, second = dropped(queue_directory)
    assert house.sink.lines[-1] == f"postfix/pickup: error: maildrop/{second.queue_id}: ValueError: a fault of ours"
    os.unlink(first.path)
    house.store.fail_commit = None
    assert await pickup.run() == 1


def put_postfix(queue_directory: str, name: str, data: bytes, mode: int = 0o744) -> Path:
    return put(Path(queue_directory), "maildrop", name, data, mode)


async def test_pickup_takes_what_postfix_left(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup()
    put_postfix(queue_directory, "AF5E92126DA", drop_file(CONTENT))
    put_postfix(queue_directory, "AF5E92126DB", drop_file(CONTENT), 0o644)  # not written to its end
    assert [one.queue_id for one in dropped(queue_directory)] == ["AF5E92126DA"]
    assert await pickup.run() == 1
    assert dropped(queue_directory) == []
    message = house.store.messages[0].message
    assert (message.envelope.sender, message.recipients[0].recipient.original) == ("joe@example.com", "bob")
    assert b"From: Joe Full <joe@example.com>" in house.store.messages[0].content.header


async def test_what_postsuper_requeued_goes_to_those_who_wait(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup(frozenset({os.getuid()}))
    put_postfix(queue_directory, "AF5E92126DA", queue_file(CONTENT, recipients=("b@x.test",), done=("a@x.test",)))
    assert await pickup.run() == 1
    assert [r.recipient.address for r in house.store.messages[0].message.recipients] == ["b@x.test"]


async def test_users_may_not_leave_files_of_the_queue(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup(frozenset())
    put_postfix(queue_directory, "AF5E92126DA", queue_file(CONTENT))
    assert await pickup.run() == 0
    assert len(dropped(queue_directory)) == 1
    assert f"uid {os.getuid()} may not leave a file of the queue: left" in house.sink.lines[-1]


async def test_a_damaged_file_of_postfix_stays(
    open_pickup: Callable[..., tuple[Pickup, Any]], queue_directory: str
) -> None:
    pickup, house = open_pickup()
    put_postfix(queue_directory, "AF5E92126DA", drop_file(CONTENT)[:-3])
    assert await pickup.run() == 0
    assert len(dropped(queue_directory)) == 1
    assert house.sink.lines[-1].endswith(": left")


def test_another_spools_maildrop_is_taken_once(queue_directory: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put(other, "maildrop", "AF5E92126DA", drop_file(CONTENT), 0o744)
    assert take_postfix_drops(str(other), queue_directory) == 1
    assert take_postfix_drops(str(other), queue_directory) == 0
    (one,) = dropped(queue_directory)
    assert read_drop(one.path)[1] == CONTENT
    os.rename(one.path, other / "kept")  # taken by pickup
    put(other, "maildrop", "AF5E92126DB.taken", drop_file(CONTENT), 0o744)  # broken off behind that
    assert take_postfix_drops(str(other), queue_directory) == 0
    assert dropped(queue_directory) == []
    assert os.listdir(other / "maildrop") == []
