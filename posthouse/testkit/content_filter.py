"""A content filter behind the queue, as amavisd is one: it takes a message, writes its field and hands it on by SMTP.

The reply after the dot is that of the server which it handed the message to, so nothing is lost between the two.

Standards: RFC 5321; FILTER_README of Postfix. No real filter: it looks at nothing.
"""

import asyncio

from posthouse.testkit.smtp_sink import KEYWORDS, Script, SmtpSink, Taken

FIELD = b"X-Virus-Scanned: by a fake\r\n"
XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"
PATIENCE = 30.0
"""Seconds that the server behind may take for one reply."""


async def start_content_filter(back: int, *, lmtp: bool = False, port: int = 0) -> SmtpSink:
    """A filter on loopback that hands on to the port `back`; its `taken` and `lines` say what it was given."""

    async def hand_on(taken: Taken) -> str:
        return await send(back, taken.sender, taken.recipients, FIELD + taken.content)

    script = Script("filter.example", keywords=(*KEYWORDS, XFORWARD), lmtp=lmtp, hand_on=hand_on)
    script.replies = {"XFORWARD": ["250 2.0.0 Ok"]}
    return await SmtpSink(script).start(port=port)


async def send(port: int, sender: str, recipients: tuple[str, ...], content: bytes) -> str:
    """One message to a server on loopback; the first reply that is not as it should be, or the last."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            dialogue = ["", "EHLO filter.example", f"MAIL FROM:<{sender}>"]
            dialogue += [f"RCPT TO:<{recipient}>" for recipient in recipients]
            for line in (*dialogue, "DATA"):
                if line:
                    writer.write(line.encode() + b"\r\n")
                reply = await _reply(reader)
                if reply[:1] not in "23":
                    return reply
            writer.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            reply = await _reply(reader)
            writer.write(b"QUIT\r\n")
            return reply
        finally:
            writer.close()


async def _reply(reader: asyncio.StreamReader) -> str:
    while True:
        line = (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n")
        if line[3:4] != "-":
            return line or "421 4.4.2 the server behind hung up"
