"""Every POP3 transcript, whole, byte by byte, cut at random, over a socket, and with the second half in a child."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from posthouse.access.login import LoginRetry
from posthouse.access.pop3.elsewhere import serve_elsewhere
from posthouse.access.pop3.front import Pop3Listener
from posthouse.access.pop3.open_service import open_pop3_service
from posthouse.access.pop3.service import LoggedIn, Pop3Service
from posthouse.access.pop3.session import Pop3Session, log_alone
from posthouse.config.read import read_configuration
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import AccountStore, Refusal, Refused
from posthouse.net.pair import stream_pair
from posthouse.net.stream import Stream
from posthouse.net.tcp import connect, start_server
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.transcript import CUTS, check_log, parse_transcript, play

FOLDER = Path(__file__).parents[2] / "transcripts" / "pop3"
TRANSCRIPTS = {path.stem: parse_transcript(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}

BODIES = (b".\r\n.dotted\r\nend\r\n", b"x" * 70 + b"\r\n", b"no line end")


class Logins:
    """tony's password is kept in plain."""

    async def authenticate(self, login: str, password: str) -> str | None:
        if login == "later":
            raise LoginRetry("the database is locked")
        return login if login in ("tony", "busy", "hashed") and password == "secret word" else None

    async def secret(self, login: str) -> str | None:
        return "secret word" if login == "tony" else None


async def no_sleep(seconds: float) -> None:
    """Failed logins are told at once."""


Build = Callable[..., Pop3Service]


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    certificate, key = write_certificate(tmp_path_factory.mktemp("pop3"), "mail.example")
    return KeyPair(certificate.read_bytes(), key.read_bytes())


@pytest.fixture
async def build(tmp_path: Path, key_pair: KeyPair) -> AsyncIterator[Build]:
    children: list[asyncio.Task[None]] = []
    store = NativeMailStore(tmp_path / "accounts", threads=1)
    for number, body in zip(("one", "two", "three"), BODIES, strict=True):
        await store.deliver("tony", Content(f"Subject: {number}\r\n".encode(), MemoryBody(body)))

    async def open_account(login: str) -> AccountStore | Refused:
        if login == "busy":
            return Refused(Refusal.IN_USE, "another session has it")
        return await store.open(login)

    def make(main_cf: str, *, apop: bool = False, child: bool = False) -> Pop3Service:
        (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mail.example\n" + main_cf)
        log = ProcessLog(MemorySink(), "postfix/pop3d")
        service = open_pop3_service(
            read_configuration(str(tmp_path)),
            login=Logins(),
            open_account=open_account,
            log=log,
            name="pop3",
            tls_context=server_context([key_pair]),
            apop=lambda: apop,
        )
        service.sleep = no_sleep
        service.unique = lambda: "1896.697170952"
        if child:

            async def run(stream: Stream, logged_in: LoggedIn) -> None:
                session_log = log.session(logged_in.number)
                session = Pop3Session(stream, logged_in, open_account, service.settings, session_log)
                log_alone(await session.run(), logged_in, session_log)
                stream.close()

            async def start(logged_in: LoggedIn) -> Stream:
                near, far = stream_pair()
                children.append(asyncio.create_task(run(far, logged_in)))
                return near

            service.serve = serve_elsewhere(start, service.serve, service.settings, log)
        return service

    yield make
    for task in children:
        task.cancel()
    await asyncio.gather(*children, return_exceptions=True)
    await store.close()


def log_of(service: Pop3Service) -> list[str]:
    sink = service.log._sink
    assert isinstance(sink, MemorySink)
    return [line.partition(": ")[2] for line in sink.lines]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_holds_however_its_bytes_are_cut(name: str, cut: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    service = build(transcript.main_cf, apop="apop" in name)
    near, far = stream_pair()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(Pop3Listener(service).on_stream(far))
        await play(transcript, near, cut=cut, client_tls=client_context())
    check_log(transcript, log_of(service))


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_holds_over_a_socket(name: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    service = build(transcript.main_cf, apop="apop" in name)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = await start_server(sock, Pop3Listener(service).on_stream)
        stream = await connect("127.0.0.1", sock.getsockname()[1], timeout=5)
        try:
            await play(transcript, stream, client_tls=client_context())
            listener.close()
            assert await listener.wait(5)
        finally:
            listener.abort()
    check_log(transcript, log_of(service))


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTS if "lost" not in name])
async def test_a_dialogue_is_the_same_when_a_child_serves_it(name: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    service = build(transcript.main_cf, apop="apop" in name, child=True)
    near, far = stream_pair()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(Pop3Listener(service).on_stream(far))
        await play(transcript, near, client_tls=client_context())
    assert any("disconnect from unknown[127.0.0.1]" in line for line in log_of(service))


async def test_a_child_logs_what_it_served(build: Build) -> None:
    service = build("pop3d_tls_auth_only = no\n", child=True)
    near, far = stream_pair()
    near.write(b"USER tony\r\nPASS secret word\r\nSTAT\r\nQUIT\r\n")
    await Pop3Listener(service).on_stream(far)
    assert log_of(service)[-2:] == [
        "logout: user=<tony> stat=1 quit=1 commands=2",
        "disconnect from unknown[127.0.0.1] user=1 pass=1 commands=2",
    ]


async def test_without_a_child_the_login_is_answered_all_the_same(build: Build) -> None:
    service = build("pop3d_tls_auth_only = no\n")

    async def start(logged_in: LoggedIn) -> Stream:
        raise OSError("no more processes")

    service.serve = serve_elsewhere(start, service.serve, service.settings, service.log)
    near, far = stream_pair()
    near.write(b"USER tony\r\nPASS secret word\r\n")
    await Pop3Listener(service).on_stream(far)
    said = b""
    while data := await near.read(5):
        said += data
    assert said.endswith(b"-ERR [SYS/TEMP] The maildrop cannot be opened now\r\n")
