"""smtpd_proxy_filter: what the filter is told, and that its replies are the client's."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import StreamClosed
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.open_service import open_smtp_service
from posthouse.session.smtp.proxy_filter import open_proxy_filter
from posthouse.testkit.smtp_parts import MemoryIntake, MemoryStages
from posthouse.wire.smtp.data import DataReader
from posthouse.wire.smtp.stuffing import DotStuffing

OFFER = b"250-filter\r\n250 XFORWARD NAME ADDR PORT HELO IDENT PROTO SOURCE\r\n"
REPLIES = {"DATA": b"354 go\r\n", "EHLO": OFFER, "CONTENT": b"250 2.0.0 Ok: queued as F1\r\n"}
CONTENT = b"Subject: hi\r\n\r\n..dot\r\n.\r\n"


class Filter:
    """An SMTP server in memory; a reply of b"" closes the connection."""

    def __init__(self, replies: Mapping[str, bytes]) -> None:
        self.replies = {**REPLIES, **replies}
        self.lines: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def connect(self, endpoint: str, timeout: float) -> TcpStream:
        if self.replies.get("CONNECT") == b"":
            raise ConnectionRefusedError(111, "refused")
        near, far = stream_pair()
        self.tasks.append(asyncio.get_running_loop().create_task(self._serve(far)))
        return near

    async def _serve(self, stream: TcpStream) -> None:
        stream.write(self.replies.get("CONNECT", b"220 filter\r\n"))
        buffer, content = b"", False
        try:
            while data := await stream.read(20):
                buffer += data
                while b"\r\n" in buffer:
                    raw, _, buffer = buffer.partition(b"\r\n")
                    line = raw.decode()
                    self.lines.append(line)
                    verb = "CONTENT" if content and line == "." else line.partition(" ")[0]
                    if content and line != ".":
                        continue
                    reply = self.replies.get(line.split(">")[0], self.replies.get(verb, b"250 2.0.0 ok\r\n"))
                    content = verb == "DATA" and reply.startswith(b"354")
                    if not reply:
                        return
                    stream.write(reply)
        except StreamClosed:
            pass
        finally:
            stream.close()


async def talk(
    tmp_path: Path, replies: Mapping[str, bytes], *, late: bool = False, recipients: tuple[str, ...] = ("b@y",)
) -> tuple[list[str], Filter, list[str], MemoryJournal]:
    """(replies to RCPT, DATA and the content; the filter; the log; the journal)."""
    options = "smtpd_proxy_options = speed_adjust\n" if late else ""
    (tmp_path / "main.cf").write_text(f"myhostname = mail.example\nsmtpd_proxy_filter = 127.0.0.1:1\n{options}")
    configuration = read_configuration(str(tmp_path))
    found, sink, journal = Filter(replies), MemorySink(), MemoryJournal()
    service = open_smtp_service(
        configuration,
        stages=MemoryStages(),
        intake=MemoryIntake(),
        log=ProcessLog(sink, "postfix/smtpd"),
        journal=journal,
        name="smtp",
        proxy=open_proxy_filter(configuration, found.connect),
    )
    near, far = stream_pair(client=("192.0.2.1", 4000))
    session = asyncio.create_task(SmtpListener(service).on_stream(far))
    said: list[str] = []

    async def hear() -> str:
        answer = ""
        while not answer.endswith("\r\n") or answer.split("\r\n")[-2][3] == "-":
            data = await near.read(20)
            if not data:
                return answer
            answer += data.decode()
        return answer

    await hear()
    commands = ["EHLO c", "MAIL FROM:<a@x> SIZE=9", *[f"RCPT TO:<{recipient}>" for recipient in recipients], "DATA"]
    for command in commands:
        near.write(command.encode() + b"\r\n")
        answer = await hear()
        if command.startswith(("RCPT", "DATA")):
            said.append(answer)
    if said[-1].startswith("354"):
        near.write(CONTENT)
        said.append(await hear())
    near.write(b"QUIT\r\n")
    await session
    await asyncio.gather(*found.tasks)
    return said, found, [line.partition(": ")[2] for line in sink.lines], journal


@pytest.mark.parametrize("late", [False, True])
async def test_the_filter_hears_the_client_and_the_client_the_filter(late: bool, tmp_path: Path) -> None:
    said, found, log, journal = await talk(tmp_path, {}, late=late)
    assert said == ["250 2.1.5 Ok\r\n", "354 End data with <CR><LF>.<CR><LF>\r\n", "250 2.0.0 Ok: queued as F1\r\n"]
    assert found.lines[:5] == [
        "EHLO mail.example",
        "XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=4000 HELO=c IDENT=[UNAVAILABLE] PROTO=ESMTP SOURCE=REMOTE",
        "MAIL FROM:<a@x> SIZE=9",
        "RCPT TO:<b@y>",
        "DATA",
    ]
    assert found.lines[5:7] == ["Received: from c (unknown [192.0.2.1])", "\tby mail.example (Postfix) with ESMTP"]
    assert found.lines[8:] == ["Subject: hi", "", "..dot", ".", "QUIT"]
    assert "NOQUEUE: client=unknown[192.0.2.1]" in log
    line = "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as F1; from=<a@x> to=<b@y> proto=ESMTP helo=<c>"
    assert line in log
    (entry,) = [entry for entry in journal.entries if entry.step == "filtered"]
    assert entry.evidence[0].parameter == "smtpd_proxy_filter"


DOWN = "451 4.3.0 Error: queue file write error\r\n"


@pytest.mark.parametrize(
    ("replies", "answer", "warning"),
    [
        ({"CONNECT": b""}, DOWN, "connect to proxy filter 127.0.0.1:1: Connection refused"),
        ({"CONNECT": b"554 no\r\n"}, DOWN, 'proxy 127.0.0.1:1 rejected "connection request": "554 no"'),
        ({"EHLO": b""}, DOWN, "lost connection with proxy 127.0.0.1:1"),
        (
            {"MAIL": b"550 5.7.1 no\r\n"},
            "550 5.7.1 no\r\n",
            'proxy 127.0.0.1:1 rejected "MAIL FROM:<a@x> SIZE=9": "550 5.7.1 no"',
        ),
        ({"RCPT": b"450 4.1.1 w\r\n"}, "450 4.1.1 w\r\n", 'proxy 127.0.0.1:1 rejected "RCPT TO:<b@y>": "450 4.1.1 w"'),
    ],
)
async def test_a_filter_that_is_down_or_refuses_is_heard_at_rcpt(
    replies: Mapping[str, bytes], answer: str, warning: str, tmp_path: Path
) -> None:
    said, _, log, _ = await talk(tmp_path, replies)
    assert said == [answer, "554 5.5.1 Error: no valid recipients\r\n"]
    assert f"warning: {warning}" in log


async def test_one_recipient_is_refused_and_another_is_not(tmp_path: Path) -> None:
    said, _, _, _ = await talk(tmp_path, {"RCPT TO:<no@y": b"550 5.1.1 no\r\n"}, recipients=("no@y", "b@y"))
    assert [answer[:3] for answer in said] == ["550", "250", "354", "250"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"554 5.7.1 spam\r\n", "554 5.7.1 spam\r\n"),
        (b"554-5.7.1 a\r\n554 5.7.1 b\r\n", "554-5.7.1 a\r\n554 5.7.1 b\r\n"),
        (b"", DOWN),
    ],
)
async def test_what_the_filter_says_of_the_message_is_the_answer(
    reply: bytes, answer: str, late: bool, tmp_path: Path
) -> None:
    said, _, log, _ = await talk(tmp_path, {"CONTENT": reply}, late=late)
    assert said[-1] == answer
    assert any(line.startswith("proxy-reject: END-OF-MESSAGE: ") for line in log)


async def test_a_late_filter_refuses_at_the_end_of_data(tmp_path: Path) -> None:
    said, _, _, _ = await talk(tmp_path, {"RCPT": b"550 5.1.1 no\r\n"}, late=True)
    assert [said[0][:3], said[-1]] == ["250", "550 5.1.1 no\r\n"]


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("smtpd_proxy_filter = h:1\nsmtpd_proxy_options = fast\n")
    with pytest.raises(ConfigError, match='unknown smtpd_proxy_options value "fast" in "fast"'):
        open_proxy_filter(read_configuration(str(tmp_path)), Filter({}).connect)


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b"\r", b"..", b"\r\n."]), max_size=20), st.data())
def test_stuffed_dots_come_off_again(words: list[bytes], data: st.DataObject) -> None:
    content = b"".join(words).replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    content += b"" if content.endswith(b"\r\n") or not content else b"\r\n"
    stuffing, wire, at = DotStuffing(), b"", 0
    while at < len(content):
        cut = data.draw(st.integers(1, len(content) - at))
        wire += stuffing.feed(content[at : at + cut])
        at += cut
    reader = DataReader()
    assert reader.receive(wire + stuffing.finish()) == content
    assert reader.ended
