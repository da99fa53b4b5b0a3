"""The server that misbehaves on purpose does what its local parts say."""

import asyncio

import pytest

from posthouse.testkit.smtp_sink import Script, SmtpSink


@pytest.fixture
async def sink():
    sink = await SmtpSink(Script(slow=0.01)).start()
    yield sink
    await sink.stop()


async def talk(sink: SmtpSink, *commands: str) -> list[str]:
    """The last line of each reply, the greeting's first; "" when the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    replies = []
    try:
        for command in ("", *commands):
            if command:
                writer.write(command.encode() + b"\r\n")
            line = await reader.readline()
            while line[3:4] == b"-":
                line = await reader.readline()
            replies.append(line.decode().rstrip())
            if not line:
                break
    finally:
        writer.close()
    return replies


async def test_mail_is_taken_and_its_dots_undone(sink):
    replies = await talk(
        sink, "EHLO c", "MAIL FROM:<a@x>", "RCPT TO:<b@x>", "DATA", "Subject: s\r\n\r\n..dot\r\n.", "QUIT"
    )
    assert replies[-2:] == ["250 2.0.0 Ok: queued as 000001", "221 2.0.0 Bye"]
    assert (sink.taken[0].sender, sink.taken[0].recipients) == ("a@x", ("b@x",))
    assert sink.taken[0].content == b"Subject: s\r\n\r\n.dot\r\n"


@pytest.mark.parametrize(
    ("local_part", "replies"),
    [
        ("550", ["550 5.1.1 <550@x>: said on purpose"] * 2),
        ("451", ["451 4.1.1 <451@x>: said on purpose"] * 2),
        ("greylist", ["451 4.7.1 <greylist@x>: Greylisted, please try again later", "250 2.1.5 Ok"]),
        ("slow", ["250 2.1.5 Ok"] * 2),
        ("drop", [""]),
    ],
)
async def test_local_parts_misbehave(sink, local_part, replies):
    rcpt = f"RCPT TO:<{local_part}@x>"
    assert (await talk(sink, "EHLO c", "MAIL FROM:<a@x>", rcpt, rcpt))[3:] == replies


async def test_a_refusal_after_the_dot(sink):
    replies = await talk(sink, "EHLO c", "MAIL FROM:<a@x>", "RCPT TO:<552-data@x>", "DATA", "x\r\n.")
    assert replies[-1] == "552 5.2.0 <552-data@x>: said on purpose"
    assert not sink.taken


async def test_a_script_replaces_replies_in_turn():
    sink = await SmtpSink(Script(replies={"MAIL": ["450 4.0.0 first", "250 2.1.0 then"]})).start()
    assert (await talk(sink, "EHLO c", "MAIL FROM:<a@x>", "MAIL FROM:<a@x>"))[2:] == [
        "450 4.0.0 first",
        "250 2.1.0 then",
    ]
    await sink.stop()


async def test_lmtp_answers_for_each_recipient():
    sink = await SmtpSink(Script(lmtp=True)).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    writer.write(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<550-data@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
    text = (await reader.read()).decode()
    writer.close()
    assert text.endswith(
        "250 2.0.0 Ok: queued as 000001\r\n550 5.2.0 <550-data@x>: said on purpose\r\n221 2.0.0 Bye\r\n"
    )
    await sink.stop()
