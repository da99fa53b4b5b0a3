import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.commands import postqueue
from posthouse.commands.queue_listing import table_lines
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue.local import QueueSettings, open_queue
from posthouse.queue.store import Fate, NewMessage, QueuedMessage, RecipientState, State, StoredRecipient
from posthouse.wire.control import encode_line

DOWN = (
    "postqueue: warning: Mail system is down -- accessing queue directly"
    " (Connect to the Postfix showq service: No such file or directory)\n"
)
USAGE = (
    "postqueue: fatal: usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site\n"
)
LATER = Dsn("4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection timed out", "delayed")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}/spool\nfast_flush_domains = example.com\n")
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return tmp_path


def fill(folder: Path, *messages: tuple[str, State, tuple[Dsn | None, ...]]) -> list[str]:
    async def put() -> list[str]:
        root = str(folder / "spool" / "posthouse" / "queue")
        store = await open_queue(root, QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr", 1))
        ids = []
        for sender, state, dsns in messages:
            who = tuple(Recipient(f"r{i}@example.net", f"r{i}@example.net") for i in range(len(dsns)))
            queue_id = store.new_queue_id()
            stored = tuple(StoredRecipient(i, r) for i, r in enumerate(who))
            message = QueuedMessage(queue_id, 1_795_495_934.0, Envelope(sender, who), stored, 2839, state)
            await store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))))
            outcomes = tuple(
                StoredRecipient(i, who[i], RecipientState.PENDING, dsn) for i, dsn in enumerate(dsns) if dsn is not None
            )
            await store.record([Fate(queue_id, outcomes)])
            ids.append(queue_id)
        await store.close()
        return ids

    return asyncio.run(put())


def test_the_table_has_postfix_columns(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = fill(instance, ("s@example.org", State.HOLD, (LATER, LATER)), ("", State.DEFERRED, (None,)))
    assert postqueue.main(["-p"]) == 0
    out, err = capfd.readouterr()
    assert err == DOWN
    assert out == (
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        f"{one}!    2839 Tue Nov 24 04:52:14  s@example.org\n"
        "               (connect to mx.example.net[192.0.2.1]:25: Connection timed out)\n"
        "                                         r0@example.net\n"
        "                                         r1@example.net\n"
        "\n"
        f"{two}    2839 Tue Nov 24 04:52:14  MAILER-DAEMON\n"
        "                                         r0@example.net\n"
        "\n"
        "-- 5 Kbytes in 2 Requests.\n"
    )


def test_json_has_postfix_keys_in_their_order(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = fill(instance, ("s@example.org", State.DEFERRED, (LATER,)))
    assert postqueue.main(["-j"]) == 0
    assert capfd.readouterr().out == (
        f'{{"queue_name": "deferred", "queue_id": "{one}", "arrival_time": 1795495934, "message_size": 2839,'
        ' "forced_expire": false, "sender": "s@example.org", "recipients": [{"address": "r0@example.net",'
        f' "delay_reason": "{LATER.reason}"}}]}}\n'
    )


def test_an_empty_queue(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert postqueue.main(["-p"]) == 0
    assert postqueue.main(["-j"]) == 0
    assert capfd.readouterr() == ("Mail queue is empty\n", DOWN + DOWN)


def test_long_ids_move_the_columns(instance: Path) -> None:
    row = {
        "queue_name": "active",
        "queue_id": "4Xy0000001zABCD",
        "arrival_time": 1_795_495_934,
        "message_size": 12,
        "forced_expire": True,
        "sender": "s@example.org",
        "recipients": [{"address": "r@example.net", "delay_reason": "y" * 80}],
    }
    assert list(table_lines([row], long_ids=True)) == [
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------",
        "4Xy0000001zABCD*#       12 Tue Nov 24 04:52:14 s@example.org",
        f"({'y' * 80})",
        f"{'':47}r@example.net",
        "",
        "-- 0 Kbytes in 1 Request.",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], USAGE),
        (["-p", "extra"], USAGE),
        (["-pf"], USAGE),
        (["-i"], "postqueue: option requires an argument -- 'i'\n" + USAGE),
        (["-Z"], "postqueue: invalid option -- 'Z'\n" + USAGE),
        (["-i", "x/y"], 'postqueue: fatal: Cannot flush queue ID - invalid name: "x/y"\n'),
        (["-s", "no such"], 'postqueue: fatal: Cannot flush mail queue - invalid destination: "no such"\n'),
        (["-s", "a.test"], 'postqueue: fatal: Flush service is not configured for destination "a.test"\n'),
        (["-s", "example.com"], None),
        (
            ["-f"],
            "postqueue: warning: unable to look up public/qmgr: No such file or directory\n"
            "postqueue: fatal: Cannot flush mail queue - mail system is down\n",
        ),
        (
            ["-i", "ABC"],
            "postqueue: warning: connect to public/flush: No such file or directory\n"
            "postqueue: fatal: Cannot flush mail queue - mail system is down\n",
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_status_69(
    instance: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str | None
) -> None:
    assert postqueue.main(arguments) == 69
    err = capfd.readouterr().err
    assert err == words if words is not None else "mail system is down" in err


def serve(path: Path, answer: Callable[[bytes], bytes]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        connection, _ = listener.accept()
        connection.sendall(answer(connection.recv(65536)))
        connection.close()
        listener.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_running_owner_is_asked(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    row = {
        "queue_name": "active",
        "queue_id": "0123456789",
        "arrival_time": 1_795_495_934,
        "message_size": 1,
        "forced_expire": False,
        "sender": "s@x",
        "recipients": [],
    }
    thread = serve(instance / "spool/posthouse/control", lambda _: encode_line(row) + encode_line({"end": 1}))
    assert postqueue.main(["-j"]) == 0
    thread.join()
    assert json.loads(capfd.readouterr().out) == row


def test_a_refusal_is_fatal(instance: Path, capfd: pytest.CaptureFixture[str]) -> None:
    thread = serve(instance / "spool/posthouse/control", lambda _: encode_line({"error": "User joe is not allowed"}))
    assert postqueue.main(["-f"]) == 69
    thread.join()
    assert capfd.readouterr().err == "postqueue: fatal: User joe is not allowed\n"


def test_it_starts_without_heavy_imports() -> None:
    code = (
        "import sys; import posthouse.commands.postqueue, posthouse.commands.postsuper, posthouse.commands.postcat;"
        "print([m for m in ('asyncio', 'ssl', 'email', 'apsw', 'msgspec') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[3])
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert ran.stdout == "[]\n"
