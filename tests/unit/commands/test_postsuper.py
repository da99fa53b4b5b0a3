import asyncio
import io
from pathlib import Path

import pytest

from posthouse.commands import postcat, postqueue, postsuper
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Client, Envelope, Notify, Recipient
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue.local import QueueSettings, open_queue
from posthouse.queue.store import NewMessage, QueuedMessage, State, StoredRecipient

CLIENT = Client("localhost", "127.0.0.1", "46426", "localhost", "client.example", "ESMTP")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "main.cf").write_text(
        f"queue_directory = {tmp_path}/spool\nmaillog_file = {tmp_path}/log\nmaillog_file_prefixes = {tmp_path}\n"
    )
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    return tmp_path


def fill(folder: Path, *states: State, body: bytes = b"body line\r\n.dot\r\n") -> list[str]:
    async def put() -> list[str]:
        root = str(folder / "spool" / "posthouse" / "queue")
        store = await open_queue(root, QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr", 1))
        ids = []
        who = Recipient("a@example.net", "a@example.net", Notify.SUCCESS | Notify.FAILURE, "rfc822;x@example.net")
        for state in states:
            queue_id = store.new_queue_id()
            envelope = Envelope("s@example.org", (who,), CLIENT, ret="HDRS", envid="abc123", body="8BITMIME")
            message = QueuedMessage(queue_id, 1_795_495_934.0, envelope, (StoredRecipient(0, who),), 30, state)
            await store.enqueue(NewMessage(message, Content(b"Subject: hello\r\n", MemoryBody(body))))
            ids.append(queue_id)
        await store.close()
        return ids

    return asyncio.run(put())


def listing(capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    postqueue.main(["-p"])
    return capfd.readouterr().out


def test_a_message_is_held_released_expired_and_removed(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, State.DEFERRED)
    assert postsuper.main(["-h", one]) == 0
    assert postsuper.main(["-h", one]) == 0
    assert postsuper.main(["-f", one]) == 0
    assert postsuper.main(["-r", one, "-d", one]) == 0
    assert capfd.readouterr().err == (
        f"postsuper: {one}: placed on hold\npostsuper: Placed on hold: 1 message\n"
        "postsuper: Placed on hold: 0 messages\n"
        f"postsuper: {one}: expired\npostsuper: {one}: released from hold\n"
        "postsuper: Force-expired: 1 message\npostsuper: Released from hold: 1 message\n"
        f"postsuper: {one}: requeued\npostsuper: {one}: removed\n"
        "postsuper: Requeued: 1 message\npostsuper: Deleted: 1 message\n"
    )
    assert "postfix/postsuper" in (instance / "log").read_text()


def test_marks_show_hold_and_expiry(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, State.HOLD)
    postsuper.main(["-e", one])
    assert f"{one}!# " in listing(capfd)


def test_all_reports_only_totals_and_queues_narrow_it(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(instance, State.DEFERRED, State.HOLD, State.HOLD)
    postsuper.main(["-d", "ALL", "hold"])
    postsuper.main(["-d", "ALL"])
    assert capfd.readouterr().err == "postsuper: Deleted: 2 messages\npostsuper: Deleted: 1 message\n"


def test_ids_come_from_standard_input(
    instance: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = fill(instance, State.DEFERRED, State.DEFERRED)
    given(monkeypatch, f"{one}\nbad/id\n{two}\n".encode())
    postsuper.main(["-d", "-"])
    assert capfd.readouterr().err == (
        f"postsuper: {one}: removed\npostsuper: warning: invalid mail queue id: bad/id\n"
        f"postsuper: {two}: removed\npostsuper: Deleted: 2 messages\n"
    )


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_what_is_no_id_is_shown_without_control_characters(
    instance: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = fill(instance, State.DEFERRED)
    given(monkeypatch, f"{one}\r\n\x1b[0m\n{one}\0rest\n{'A' * 255}\n{'B' * 256}\n".encode())
    postsuper.main(["-f", "-"])
    lines = [f"postsuper: warning: invalid mail queue id: {text}" for text in (f"{one}?", "?[0m")]
    last = f"postsuper: warning: invalid mail queue id: {'B' * 256}"
    assert capfd.readouterr().err.splitlines() == [
        *(line for line in lines for _ in range(2)),
        *([f"postsuper: {one}: expired", last, last]),
        *("postsuper: Force-expired: 1 message", "postsuper: Released from hold: 0 messages"),
    ]


def test_a_wrong_queue_name_counts_when_it_is_its_turn(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = fill(instance, State.DEFERRED, State.HOLD)
    assert postsuper.main(["-d", two, "nosuch", "hold"]) == 1
    assert capfd.readouterr().err == "postsuper: fatal: invalid directory name: nosuch\n"
    assert postsuper.main(["-d", one, "-d", two, "deferred", "nosuch"]) == 1
    assert capfd.readouterr().err == f"postsuper: {one}: removed\npostsuper: fatal: invalid directory name: nosuch\n"
    assert postsuper.main(["-d", two, "hold", "nosuch"]) == 0
    assert capfd.readouterr().err == f"postsuper: {two}: removed\npostsuper: Deleted: 1 message\n"


def test_purge_and_check_touch_no_mail(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, State.DEFERRED)
    (shard,) = (instance / "spool/posthouse/queue").glob("0*")
    (shard / "content" / "0123456789").write_bytes(b"left over")
    assert postsuper.main(["-p"]) == 0
    assert list((shard / "content").iterdir()) == []
    assert capfd.readouterr().err == ""
    assert one in listing(capfd)


def test_postcat_shows_records_as_postfix_does(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, State.DEFERRED)
    assert postcat.main(["-q", one]) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0] == f"*** ENVELOPE RECORDS deferred/{one[0]}/{one} ***"
    assert out[1].startswith("message_size:              30")
    assert out[4:8] == [
        f"named_attribute: log_ident={one}",
        "named_attribute: rewrite_context=local",
        "named_attribute: envelope_id=abc123",
        "named_attribute: ret_flags=2",
    ]
    assert out[-12:] == [
        "named_attribute: client_address_type=2",
        "named_attribute: notify_flags=6",
        "named_attribute: dsn_orig_rcpt=rfc822;x@example.net",
        "original_recipient: a@example.net",
        "recipient: a@example.net",
        f"*** MESSAGE CONTENTS deferred/{one[0]}/{one} ***",
        "Subject: hello",
        "",
        "body line",
        ".dot",
        f"*** HEADER EXTRACTED deferred/{one[0]}/{one} ***",
        f"*** MESSAGE FILE END deferred/{one[0]}/{one} ***",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [("-b", "\nbody line\n.dot\n"), ("-h", "Subject: hello\n"), ("-bh", "Subject: hello\n\nbody line\n.dot\n")],
)
def test_postcat_shows_parts(instance: Path, capfd: pytest.CaptureFixture[str], options: str, expected: str) -> None:
    (one,) = fill(instance, State.HOLD)
    assert postcat.main([options, "-q", one]) == 0
    assert capfd.readouterr().out == expected


def test_postcat_shows_a_large_body_whole(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, State.HOLD, body=b"0123456789\r\n" * 20_000)
    assert postcat.main(["-b", "-q", one]) == 0
    assert capfd.readouterr().out == "\n" + "0123456789\n" * 20_000


def test_postcat_shows_the_records_of_a_submission(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def put() -> str:
        root = str(instance / "spool" / "posthouse" / "queue")
        store = await open_queue(root, QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr", 1))
        who = Recipient("q q@example.net", "@r.example:q q@example.net", orcpt="rfc822;q+20q@example.net")
        other = Recipient("b@example.net", "b@example.net")
        envelope = Envelope("s@example.org", (who, other), ret="FULL", envid="id+2B1")
        recipients = (StoredRecipient(0, who), StoredRecipient(1, other))
        message = QueuedMessage(store.new_queue_id(), 1_795_495_934.0, envelope, recipients, 30, State.HOLD)
        await store.enqueue(NewMessage(message, Content(b"Subject: hello\r\n", MemoryBody(b""))))
        await store.close()
        return message.queue_id

    assert postcat.main(["-qe", asyncio.run(put())]) == 0
    assert capfd.readouterr().out.splitlines()[4:13] == [
        "named_attribute: envelope_id=id+1",
        "named_attribute: ret_flags=1",
        "named_attribute: rewrite_context=local",
        "sender: s@example.org",
        "named_attribute: dsn_orig_rcpt=rfc822;q q@example.net",
        "original_recipient: @r.example:q q@example.net",
        "recipient: q q@example.net",
        "named_attribute: dsn_orig_rcpt=rfc822;b@example.net",
        "original_recipient: b@example.net",
    ]
