"""A whole SMTP session whose logins a Dovecot auth server decides, over a socket, as smtpd is wired."""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.accounts.dovecot import DovecotServer, dovecot_stream
from posthouse.config.read import read_configuration
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.net.pair import stream_pair
from posthouse.service.authentication import DovecotMechanisms
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.open_service import open_smtp_service
from posthouse.testkit.smtp_parts import MemoryIntake, MemoryStages

CHALLENGE = base64.b64encode(b"<1.2@mail.example>")
PLAIN = base64.b64encode(b"\0joe\0good")
MECHANISMS = b"MECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\n"


class AuthServer:
    """Knows joe, whose password is "good"; "later" makes it say that it cannot tell now."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"VERSION\t1\t1\n" + MECHANISMS + b"SPID\t7\nCUID\t1\nCOOKIE\tc0\nDONE\n")
        while line := await reader.readline():
            words = line.rstrip(b"\n").split(b"\t")
            if words[0] == b"AUTH":
                self.asked.append(words[2:])
                if words[2] == b"CRAM-MD5":
                    writer.write(b"CONT\t%b\t%b\n" % (words[1], CHALLENGE))
                else:
                    _, login, password = base64.b64decode(words[-1].removeprefix(b"resp=")).split(b"\0")
                    writer.write(self._decide(words[1], login, login == b"joe" and password == b"good"))
            elif words[0] == b"CONT":
                login, digest = base64.b64decode(words[2]).split()
                right = hmac.new(b"good", base64.b64decode(CHALLENGE), "md5").hexdigest().encode()
                writer.write(self._decide(words[1], login, digest == right))
        writer.close()

    def _decide(self, number: bytes, login: bytes, good: bool) -> bytes:
        if login == b"later":
            return b"FAIL\t%b\tuser=%b\ttemp\n" % (number, login)
        return (b"OK\t%b\tuser=%b\n" if good else b"FAIL\t%b\tuser=%b\n") % (number, login)


Talk = Callable[[bytes], Awaitable[list[bytes]]]


@pytest.fixture
def server() -> AuthServer:
    return AuthServer()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
async def talk(tmp_path: Path, server: AuthServer, sink: MemorySink) -> AsyncIterator[Talk]:
    (tmp_path / "main.cf").write_text(
        "compatibility_level = 3.6\nmyhostname = mail.example\nsmtpd_sasl_auth_enable = yes\n"
        "smtpd_sasl_type = dovecot\nsmtpd_error_sleep_time = 0\n"
    )
    listening = await asyncio.start_unix_server(server.serve, str(tmp_path / "auth"))
    dovecot = DovecotServer("auth", dovecot_stream("auth", str(tmp_path)), sink.lines.append)
    service = open_smtp_service(
        read_configuration(str(tmp_path)),
        stages=MemoryStages(),
        intake=MemoryIntake(),
        log=ProcessLog(sink, "postfix/smtpd"),
        journal=MemoryJournal(),
        name="smtp",
        sasl_server=DovecotMechanisms(dovecot, "smtp"),
    )

    async def converse(data: bytes) -> list[bytes]:
        near, far = stream_pair(client=("127.0.0.1", 40000))
        session = asyncio.create_task(SmtpListener(service).on_stream(far))
        near.write(b"EHLO c\r\n" + data + b"QUIT\r\n")
        said = b""
        async with asyncio.timeout(10):
            while part := await near.read(5):
                said += part
            await session
        near.close()
        return said.splitlines()

    yield converse
    dovecot.close()
    listening.close()
    await listening.wait_closed()


async def test_a_login_in_one_word(talk: Talk, server: AuthServer) -> None:
    said = await talk(b"AUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<a@b.example>\r\n")
    assert b"250-AUTH PLAIN CRAM-MD5" in said
    assert said[-3:] == [b"235 2.7.0 Authentication successful", b"250 2.1.0 Ok", b"221 2.0.0 Bye"]
    ((mechanism, *words),) = server.asked
    assert mechanism == b"PLAIN"
    assert {b"service=smtp", b"nologin", b"rip=127.0.0.1"} <= set(words)
    assert b"secured" not in words


async def test_a_challenge_goes_to_and_fro(talk: Talk) -> None:
    digest = hmac.new(b"good", base64.b64decode(CHALLENGE), "md5").hexdigest()
    said = await talk(b"AUTH CRAM-MD5\r\n" + base64.b64encode(f"joe {digest}".encode()) + b"\r\n")
    assert said[-3:] == [b"334 " + CHALLENGE, b"235 2.7.0 Authentication successful", b"221 2.0.0 Bye"]


async def test_the_same_login_holds_for_the_message_only_of_its_session(talk: Talk, sink: MemorySink) -> None:
    await talk(b"AUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\n")
    await talk(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\n")
    first, second = (line for line in sink.lines if ": client=" in line)
    assert first.endswith("client=unknown[127.0.0.1], sasl_method=PLAIN, sasl_username=joe")
    assert second.endswith("client=unknown[127.0.0.1]")


async def test_a_wrong_password_a_wish_to_wait_and_a_change_of_mind(talk: Talk, sink: MemorySink) -> None:
    wrong, later = (base64.b64encode(text) for text in (b"\0joe\0bad", b"\0later\0x"))
    said = await talk(b"AUTH PLAIN " + wrong + b"\r\nAUTH PLAIN " + later + b"\r\nAUTH CRAM-MD5\r\n*\r\nAUTH LOGIN\r\n")
    assert said[-6:] == [
        b"535 5.7.8 Error: authentication failed: (reason unavailable)",
        b"454 4.7.0 Temporary authentication failure: (reason unavailable)",
        b"334 " + CHALLENGE,
        b"501 5.7.0 Authentication aborted",
        b"535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
        b"221 2.0.0 Bye",
    ]
    failed = "warning: unknown[127.0.0.1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=joe"
    assert f"postfix/smtpd: {failed}" in sink.lines
