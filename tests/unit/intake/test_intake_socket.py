import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posthouse.envelope.envelope import Recipient
from posthouse.host.log import ProcessLog
from posthouse.host.submission import ABSENT, submit
from posthouse.intake.local_submission import LocalSubmission
from posthouse.intake.socket import IntakeSocket, peer_uid
from posthouse.intake.submit_users import SubmitUsers
from posthouse.net.stream import Address, StreamClosed
from posthouse.wire.intake import (
    END,
    FrameReader,
    NotTaken,
    Submission,
    Taken,
    decode_reply,
    encode_content,
    encode_submission,
)

SUBMISSION = Submission("joe", (Recipient("bob"),))
ASK = encode_submission(SUBMISSION) + encode_content(b"Subject: t\r\n\r\nhello\r\n") + END


class FedStream:
    """A connection that says what it was given, then ends."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data[at : at + 9] for at in range(0, len(data), 9)]
        self.said = b""
        self.closed = False
        self.peer = self.local = Address("", 0)
        self.tls = None

    async def read(self, timeout: float) -> bytes:
        if self.closed:
            raise StreamClosed
        return self._pieces.pop(0) if self._pieces else b""

    def write(self, data: bytes) -> None:
        self.said += data

    async def drain(self, timeout: float) -> None:
        return None

    def close(self) -> None:
        self.closed = True

    def reply(self) -> Taken | NotTaken | None:
        frames = FrameReader()
        frames.receive_data(self.said)
        frame = frames.next_frame()
        return decode_reply(*frame) if frame is not None else None


def door(house: Any, users: tuple[str, ...] = ("static:anyone",)) -> IntakeSocket:
    log = ProcessLog(house.sink, "postfix/pickup")
    submissions = LocalSubmission.open(house.configuration, {"pickup": house.intake, "forward": house.intake}, log)
    return IntakeSocket(submissions, SubmitUsers(users, house.configuration), frozenset({4242}))


async def ask(house: Any, data: bytes, uid: int = 0, users: tuple[str, ...] = ("static:anyone",)) -> Any:
    stream: Any = FedStream(data)
    await door(house, users).serve(stream, uid)
    assert stream.closed
    return stream.reply()


async def test_a_submission_is_durable_when_the_reply_comes(open_house: Callable[..., Any]) -> None:
    house = open_house()
    assert await ask(house, ASK) == Taken("0000000001")
    assert house.store.messages[0].content.header.startswith(b"Received: by mail.example.com (Postfix, from userid 0)")
    assert house.sink.lines[0] == "postfix/pickup: 0000000001: uid=0 from=<joe>"


async def test_a_connection_that_breaks_off_queues_nothing(open_house: Callable[..., Any]) -> None:
    house = open_house()
    assert await ask(house, ASK[:-4]) is None
    assert (house.store.messages, house.sink.lines) == ([], [])


async def test_only_authorized_users_submit(open_house: Callable[..., Any]) -> None:
    house = open_house()
    assert await ask(house, ASK, 0, ("!root", "static:all")) == NotTaken(
        550, "5.7.1", "User root(0) is not allowed to submit mail"
    )
    assert await ask(house, ASK, 0, ("root",)) == Taken("0000000001")


async def test_forwards_come_from_the_house_only(open_house: Callable[..., Any]) -> None:
    house = open_house()
    forward = encode_submission(Submission("", (Recipient("bob"),), source="forward")) + END
    assert await ask(house, forward, 0) == NotTaken(550, "5.7.1", "service denied")
    assert await ask(house, forward, 4242) == Taken("0000000001")


async def test_other_protocols_are_refused(open_house: Callable[..., Any]) -> None:
    assert await ask(open_house(), b"EHLO x\r\n") == NotTaken(501, "5.5.4", "no netstring")


async def test_refused_content_is_told(open_house: Callable[..., Any]) -> None:
    house = open_house(header_checks="static:{REJECT no}")
    assert await ask(house, ASK) == NotTaken(550, "5.7.1", "no")


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    assert submit(str(tmp_path), SUBMISSION, [b"x"]) is ABSENT


async def test_the_client_hands_over_and_waits_for_the_reply(open_house: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "posthouse").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "posthouse/intake"))
    listener.listen()
    seen: list[tuple[int, bytes]] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            data = b""
            while not data.endswith(END):
                data += connection.recv(65536)
            seen.append((peer_uid(connection), data))
            connection.sendall(b"4:AABC,")

    thread = threading.Thread(target=serve)
    thread.start()
    result = await asyncio.to_thread(submit, str(tmp_path), SUBMISSION, [b"Subject: t\r\n\r\nhello\r\n"])
    thread.join()
    listener.close()
    assert result == Taken("ABC")
    assert seen[0][1] == ASK
