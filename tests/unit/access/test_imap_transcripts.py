"""Every IMAP transcript, whole, byte by byte, cut at random, and with the dialogue after login in a child."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from posthouse.access.imap.dialogue import serve_handed_over
from posthouse.access.imap.front import ImapListener
from posthouse.access.imap.service import ImapService
from posthouse.access.imap.settings import ImapdSettings
from posthouse.access.login import LoginRetry
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.mailbox.index.rows import QuotaLimits
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import AccountStore, Refusal, Refused
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.transcript import CUTS, check_log, parse_transcript, play

FOLDER = Path(__file__).parents[2] / "transcripts" / "imap"
TRANSCRIPTS = {path.stem: parse_transcript(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}

ARRIVED = 825_000_000.0
"""22 Feb 1996."""

LETTERS = (
    (
        b"From: Fred Foobar <foobar@blurdybloop.example>\r\nTo: mooch@owatagu.example\r\nSubject: afternoon meeting\r\n"
        b"Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\nMessage-Id: <B27397-0100000@blurdybloop.example>\r\n",
        b"Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n",
    ),
    (
        b"From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\r\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n"
        b"Date: Tue, 20 Feb 1996 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="x y"\r\n',
        b"preamble\r\n--x y\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"R3LDvMOfZSBhdXMgS8O2bG4=\r\n--x y\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n"
        b"From: i@n.example\r\n\r\ninside\r\n--x y\r\nContent-Type: image/png; name=a.png\r\n"
        b"Content-Disposition: attachment; filename=a.png\r\n\r\nPNG\r\n--x y--\r\n",
    ),
    (b"Subject: three\r\n", b"last words\r\n"),
)


class Logins:
    async def authenticate(self, login: str, password: str) -> str | None:
        if login == "later":
            raise LoginRetry("the database is locked")
        return login if login in ("tony", "busy", "full") and password == "secret word" else None

    async def secret(self, login: str) -> str | None:
        return None


async def no_sleep(seconds: float) -> None:
    """Failed logins are told at once."""


def settings_of(main_cf: str) -> ImapdSettings:
    kinds = {field.name: field.type for field in dataclasses.fields(ImapdSettings)}
    values: dict[str, object] = {}
    for line in main_cf.splitlines():
        name, _, value = (word.strip() for word in line.partition("="))
        kind = kinds[name]
        values[name] = int(value) if kind in (int, "int") else value == "yes" if kind in (bool, "bool") else value
    plain = {"imapd_tls_auth_only": False, "myhostname": "mail.example", "imapd_banner": "mail.example ready"}
    return ImapdSettings(**{**plain, **values})  # type: ignore[arg-type]


Build = Callable[..., ImapService]


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    certificate, key = write_certificate(tmp_path_factory.mktemp("imap"), "mail.example")
    return KeyPair(certificate.read_bytes(), key.read_bytes())


@pytest.fixture
async def build(tmp_path: Path, key_pair: KeyPair) -> AsyncIterator[Build]:
    def limits(account: str) -> QuotaLimits:
        return QuotaLimits(storage=2048) if account == "full" else QuotaLimits()

    store = NativeMailStore(tmp_path / "accounts", threads=1, limits=limits)
    for header, body in LETTERS:
        await store.deliver("tony", Content(header, MemoryBody(body)), internal_date=ARRIVED)
    waiting: list[asyncio.Task[None]] = []

    async def open_account(login: str) -> AccountStore | Refused:
        if login == "busy":
            return Refused(Refusal.IN_USE, "another session has it")
        return await store.open(login)

    def make(main_cf: str, sink: MemorySink, *, child: bool = False) -> ImapService:
        service = ImapService(
            settings_of(main_cf),
            open_account,
            ProcessLog(sink, "posthouse/imapd"),
            MemoryJournal(),
            login=Logins(),
            tls_context=server_context([key_pair]),
            sleep=no_sleep,
            clock=lambda: ARRIVED + 3600,
        )
        if child:
            other = dataclasses.replace(service, login=None)

            async def elsewhere(login: str) -> TcpStream | None:
                near, far = stream_pair()
                waiting.append(asyncio.create_task(serve_handed_over(other, far)))
                return near

            service.elsewhere = elsewhere
        return service

    yield make
    for task in waiting:
        task.cancel()  # nothing to those that have ended, as all have after a test that passed
    await asyncio.gather(*waiting, return_exceptions=True)
    await store.close()


# A child that cannot open the account ends the session: those with "busy" go on.
PLAYS = [
    (name, way)
    for name, transcript in TRANSCRIPTS.items()
    for way in (*CUTS, "child")
    if way != "child" or not any("busy" in step.text for step in transcript.steps)
]


@pytest.mark.parametrize(("name", "way"), PLAYS)
async def test_a_transcript_holds_however_its_bytes_are_cut(name: str, way: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    sink = MemorySink()
    service = build(transcript.main_cf, sink, child=way == "child")
    near, far = stream_pair(server=("127.0.0.1", 143))
    session = asyncio.create_task(ImapListener(service).on_stream(far))
    try:
        async with asyncio.timeout(20):
            cut = "whole" if way == "child" else way
            await play(transcript, near, cut=cut, client_tls=client_context(verify=False))
            await session
    finally:
        session.cancel()
    check_log(transcript, sink.lines)


async def test_what_is_pipelined_behind_starttls_in_plain_text_is_dropped(build: Build) -> None:
    service = build("imapd_tls_security_level = may", MemorySink())
    near, far = stream_pair()
    session = asyncio.create_task(ImapListener(service).on_stream(far))
    async with asyncio.timeout(20):
        assert (await near.read(10)).startswith(b"* OK ")
        near.write(b"a STARTTLS\r\nb NOOP\r\n")
        assert await near.read(10) == b"a OK Begin TLS negotiation now.\r\n"
        await near.start_tls(client_context(verify=False), server_side=False, timeout=10)
        near.write(b"c LOGOUT\r\n")
        said = b""
        while data := await near.read(10):
            said += data
        await session
    assert said == b"* BYE Logging out\r\nc OK Logout completed.\r\n"


async def test_tls_from_the_first_byte(build: Build) -> None:
    service = build("imapd_tls_wrappermode = yes\nimapd_tls_auth_only = yes", MemorySink())
    near, far = stream_pair()
    session = asyncio.create_task(ImapListener(service).on_stream(far))
    async with asyncio.timeout(20):
        await near.start_tls(client_context(verify=False), server_side=False, timeout=10)
        assert b"AUTH=PLAIN" in await near.read(10)
        near.write(b'a LOGIN tony "secret word"\r\nb LOGOUT\r\n')
        assert (await near.read(10)).startswith(b"a OK ")
        await session
