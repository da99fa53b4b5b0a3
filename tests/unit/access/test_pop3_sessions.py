"""POP3 over loopback spoken by Python's own poplib, and sessions over streams that misbehave."""

import asyncio
import poplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from posthouse.access.pop3.front import Pop3Listener
from posthouse.access.pop3.service import LoggedIn, OpenAccount, Pop3Service
from posthouse.access.pop3.session import Pop3Session, serve_here
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.config.error import ConfigError
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.mailbox.maildrop import open_maildrop
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.store import AccountStore, MailboxFault, Refusal, Refused
from posthouse.net.pair import stream_pair
from posthouse.net.stream import Address, StreamTimeout, TlsInfo
from posthouse.net.tcp import start_server
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.testkit.certificate import write_certificate

T = TypeVar("T")

LARGE = b"x" * 70 + b"\r\n.\r\n" + b"." * 70 + b"\r\n"
LARGE *= 30_000
TONY = LoggedIn("tony", "mail.example", "192.0.2.7", 7)


class Logins:
    async def authenticate(self, login: str, password: str) -> str | None:
        return "tony" if (login, password) == ("tony", "secret") else None

    async def secret(self, login: str) -> str | None:
        return "secret" if login == "tony" else None


class DeafStream:
    """A client that sent its commands at once; drain() is told to fail after so many calls."""

    def __init__(self, commands: bytes, drains: int = 1_000_000) -> None:
        self.peer, self.local = Address("192.0.2.7", 40000), Address("127.0.0.1", 110)
        self.tls: TlsInfo | None = None
        self._commands = commands
        self._drains = drains
        self.undrained = self.most_undrained = self.written = 0
        self.tail = b""

    async def read(self, timeout: float) -> bytes:
        commands, self._commands = self._commands, b""
        return commands

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self.undrained += len(data)
        self.most_undrained = max(self.most_undrained, self.undrained)
        self.tail = (self.tail + data)[-400:]

    async def drain(self, timeout: float) -> None:
        self._drains -= 1
        if self._drains < 0:
            raise StreamTimeout
        self.undrained = 0

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_name: str = "", timeout: float
    ) -> TlsInfo:
        raise AssertionError("no TLS here")

    def buffered(self) -> bool:
        return bool(self._commands)

    def close(self) -> None:
        self._commands = b""

    abort = close


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[NativeMailStore]:
    store = NativeMailStore(tmp_path / "accounts", threads=1)
    for number in range(1, 4):
        await store.deliver("tony", Content(b"Subject: %d\r\n" % number, MemoryBody(b".one\r\ntwo\r\n")))
    yield store
    await store.close()


def service_of(open_account: OpenAccount, settings: Pop3dSettings, pauses: list[float] | None = None) -> Pop3Service:
    log = ProcessLog(MemorySink(), "postfix/pop3d")

    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    serve = serve_here(open_account, settings, log)
    return Pop3Service(settings=settings, login=Logins(), serve=serve, log=log, apop=lambda: True, sleep=sleep)


def log_of(log: ProcessLog) -> list[str]:
    sink = log._sink
    assert isinstance(sink, MemorySink)
    return [line.partition(": ")[2] for line in sink.lines]


async def speak(service: Pop3Service, talk: Callable[[int], T]) -> T:
    """Run a client in a thread against a listener."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = await start_server(sock, Pop3Listener(service).on_stream)
        try:
            result = await asyncio.to_thread(talk, sock.getsockname()[1])
            listener.close()
            assert await listener.wait(5)
            return result
        finally:
            listener.abort()


async def subjects(store: NativeMailStore) -> list[bytes]:
    account = await store.open("tony")
    assert not isinstance(account, Refused)
    maildrop = await open_maildrop(account)
    assert not isinstance(maildrop, Refused)
    found = []
    for message in maildrop.messages:
        found.append(b"".join([piece async for piece in maildrop.top(message.number, 0)]))
    await maildrop.close()
    await account.close()
    return found


PLAIN = Pop3dSettings(pop3d_tls_auth_only=False, pop3d_tls_security_level="may")


async def test_poplib_reads_and_deletes(store: NativeMailStore) -> None:
    await store.deliver("tony", Content(b"Subject: large\r\n", MemoryBody(LARGE)))

    def talk(port: int) -> None:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        client.user("tony")
        client.pass_("secret")
        count, octets = client.stat()
        assert (4, 3 * 25 + 18 + len(LARGE)) == (count, octets)
        assert client.retr(1)[1] == [b"Subject: 1", b"", b".one", b"two"]
        assert client.top(2, 1)[1] == [b"Subject: 2", b"", b".one"]
        assert b"\r\n".join([*client.retr(4)[1], b""]) == b"Subject: large\r\n\r\n" + LARGE
        assert len({line.split()[1] for line in client.uidl()[1]}) == 4
        client.dele(1)
        client.dele(4)
        client.quit()

    await speak(service_of(store.open, PLAIN), talk)
    assert await subjects(store) == [b"Subject: 2\r\n\r\n", b"Subject: 3\r\n\r\n"]


async def test_poplib_logs_in_by_apop(store: NativeMailStore) -> None:
    def talk(port: int) -> bytes:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        greeting = client.apop("tony", "secret")
        client.quit()
        return greeting

    assert await speak(service_of(store.open, PLAIN), talk) == b"+OK 3 messages (75 octets)"


async def test_poplib_speaks_stls_and_tls_from_the_start(store: NativeMailStore, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "localhost", "127.0.0.1")
    context = server_context([KeyPair(str(certificate), str(key))])

    def upgrade(port: int) -> int:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        client.stls(client_context())
        client.user("tony")
        client.pass_("secret")
        client.quit()
        return 1

    def wrapped(port: int) -> int:
        client = poplib.POP3_SSL("127.0.0.1", port, timeout=5, context=client_context())
        assert "STLS" not in client.capa()
        client.user("tony")
        client.pass_("secret")
        client.quit()
        return 1

    service = service_of(store.open, Pop3dSettings(pop3d_tls_security_level="may", smtpd_tls_loglevel=1))
    service.tls_context = context
    assert await speak(service, upgrade)
    assert any(
        "Anonymous TLS connection established from unknown[127.0.0.1]: TLSv1.3" in x for x in log_of(service.log)
    )
    service = service_of(store.open, Pop3dSettings(pop3d_tls_wrappermode=True))
    service.tls_context = context
    assert await speak(service, wrapped)


async def test_what_came_behind_stls_in_plain_text_is_dropped(store: NativeMailStore, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "localhost")
    service = service_of(store.open, Pop3dSettings(pop3d_tls_security_level="may"))
    service.tls_context = server_context([KeyPair(str(certificate), str(key))])
    near, far = stream_pair()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(Pop3Listener(service).on_stream(far))
        await near.read(5)
        near.write(b"STLS\r\nUSER tony\r\n")
        assert await near.read(5) == b"+OK Begin TLS negotiation\r\n"
        await near.start_tls(client_context(), server_side=False, timeout=5)
        near.write(b"PASS secret\r\n")
        assert await near.read(5) == b"-ERR USER first\r\n"
        near.write(b"QUIT\r\n")


async def test_a_client_that_half_closes_behind_quit_still_gets_its_answers(store: NativeMailStore) -> None:
    def talk(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"USER tony\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n")
            sock.shutdown(socket.SHUT_WR)
            said = b""
            while data := sock.recv(4096):
                said += data
            return said

    said = await speak(service_of(store.open, PLAIN), talk)
    assert said.endswith(b"+OK Message 1 deleted\r\n+OK Bye\r\n")
    assert len(await subjects(store)) == 2


async def test_an_interrupted_session_deletes_nothing_and_unique_ids_stay(store: NativeMailStore) -> None:
    def cut(port: int) -> list[bytes]:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        client.user("tony")
        client.pass_("secret")
        for number in (1, 2):
            client.retr(number)
            client.dele(number)
        client.rset()
        client.dele(1)
        ids = client.uidl()[1]
        client.close()
        return ids

    def look(port: int) -> list[bytes]:
        client = poplib.POP3("127.0.0.1", port, timeout=5)
        client.user("tony")
        client.pass_("secret")
        ids = client.uidl()[1]
        client.quit()
        return ids

    ids = await speak(service_of(store.open, PLAIN), cut)
    again = await speak(service_of(store.open, PLAIN), look)
    assert again[1:] == ids
    assert len(again) == 3
    account = await store.open("tony")
    assert not isinstance(account, Refused)
    status = (await account.status(["INBOX"]))["INBOX"]
    assert status.unseen == 1
    await account.close()


async def test_mail_that_came_meanwhile_is_for_the_next_session(store: NativeMailStore) -> None:
    near, far = stream_pair()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(Pop3Session(far, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run())
        assert await near.read(5) == b"+OK 3 messages (75 octets)\r\n"
        await store.deliver("tony", Content(b"Subject: new\r\n", MemoryBody(b"x\r\n")))
        near.write(b"STAT\r\nQUIT\r\n")
        assert (await near.read(5)).startswith(b"+OK 3 75\r\n")


async def test_a_message_that_another_session_removed_is_gone(store: NativeMailStore) -> None:
    near, far = stream_pair()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(Pop3Session(far, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run())
        await near.read(5)
        other = DeafStream(b"DELE 2\r\nQUIT\r\n")
        await Pop3Session(other, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run()
        near.write(b"RETR 2\r\nTOP 2 0\r\nRETR 3\r\nQUIT\r\n")
        said = b""
        while not said.endswith(b"+OK Bye\r\n"):
            said += await near.read(5)
    gone = b"-ERR The message was removed by another session\r\n"
    assert said.startswith(gone + gone + b"+OK 25 octets\r\nSubject: 3\r\n")


async def test_a_large_message_never_waits_in_memory(store: NativeMailStore) -> None:
    await store.deliver("tony", Content(b"Subject: large\r\n", MemoryBody(LARGE)))
    stream = DeafStream(b"RETR 4\r\nQUIT\r\n")
    served = await Pop3Session(stream, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run()
    assert served.reason == ""
    assert stream.written > len(LARGE)
    assert stream.most_undrained < 300_000


async def test_a_client_that_takes_nothing_is_cut_off_and_nothing_is_deleted(store: NativeMailStore) -> None:
    await store.deliver("tony", Content(b"Subject: large\r\n", MemoryBody(LARGE)))
    stream = DeafStream(b"DELE 1\r\nRETR 4\r\nQUIT\r\n", drains=3)
    served = await Pop3Session(stream, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run()
    assert (served.reason, served.where) == ("timeout", "RETR")
    assert served.tally == {"dele": (1, 1), "retr": (0, 1)}
    assert len(await subjects(store)) == 4


async def test_many_small_replies_never_wait_in_memory(store: NativeMailStore) -> None:
    stream = DeafStream(b"UIDL\r\n" * 5000 + b"QUIT\r\n")
    await Pop3Session(stream, TONY, store.open, PLAIN, ProcessLog(MemorySink(), "pop3d")).run()
    assert stream.most_undrained < 70_000 < stream.written


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(Refusal.IN_USE, "IN-USE"), (Refusal.NONEXISTENT, "SYS/PERM"), (Refusal.LIMIT, "SYS/TEMP")],
)
async def test_a_maildrop_that_does_not_open_is_the_answer_to_the_login(refusal: Refusal, code: str) -> None:
    async def open_account(login: str) -> AccountStore | Refused:
        return Refused(refusal, "not now")

    stream, log = DeafStream(b"STAT\r\n"), ProcessLog(MemorySink(), "pop3d")
    served = await Pop3Session(stream, TONY, open_account, PLAIN, log).run()
    assert stream.tail == f"-ERR [{code}] not now\r\n".encode()
    assert (served.reason, served.tally) == ("", {})
    assert log_of(log) == ["warning: mail.example[192.0.2.7]: cannot open the maildrop of <tony>: not now"]


async def test_a_store_that_is_out_of_order_is_the_answer_to_the_login() -> None:
    async def open_account(login: str) -> AccountStore | Refused:
        raise MailboxFault("disk I/O error")

    stream = DeafStream(b"")
    await Pop3Session(stream, TONY, open_account, PLAIN, ProcessLog(MemorySink(), "pop3d")).run()
    assert stream.tail == b"-ERR [SYS/TEMP] The maildrop cannot be opened now\r\n"


async def test_a_stranger_who_says_noop_for_ever_is_cut_off(store: NativeMailStore) -> None:
    near, far = stream_pair()
    service = service_of(store.open, Pop3dSettings(pop3d_timeout=300))
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 100.0
        return now

    service.clock = clock
    service.apop = lambda: False
    session = asyncio.create_task(Pop3Listener(service).on_stream(far))
    assert await near.read(5) == b"+OK mail.example ready\r\n"
    said = 0
    while True:
        near.write(b"NOOP\r\n")
        if not await near.read(5):
            break
        said += 1
    await session
    assert 1 <= said <= 6
    assert "timeout after NOOP from unknown[127.0.0.1]" in log_of(service.log)


async def test_a_silent_client_is_cut_off_without_an_answer(store: NativeMailStore) -> None:
    near, far = stream_pair()
    service = service_of(store.open, Pop3dSettings(pop3d_timeout=0))
    service.apop = lambda: False
    await Pop3Listener(service).on_stream(far)
    assert await near.read(5) == b"+OK mail.example ready\r\n"
    assert await near.read(5) == b""
    assert log_of(service.log)[1:] == [
        "timeout after CONNECT from unknown[127.0.0.1]",
        "disconnect from unknown[127.0.0.1] commands=0/0",
    ]


async def test_a_command_has_one_deadline_however_slowly_it_drips(store: NativeMailStore) -> None:
    now = 0.0
    given: list[float] = []

    class Dripping(DeafStream):
        async def read(self, timeout: float) -> bytes:
            nonlocal now
            given.append(timeout)
            now += 200.0
            if len(given) > 3:
                raise StreamTimeout
            return b"x"

    log = ProcessLog(MemorySink(), "pop3d")
    served = await Pop3Session(Dripping(b""), TONY, store.open, PLAIN, log, clock=lambda: now).run()
    assert given == [600.0, 400.0, 200.0, 0.001]
    assert served.reason == "timeout"


async def test_failed_logins_take_longer_and_longer_over_connections_too(store: NativeMailStore) -> None:
    pauses: list[float] = []
    service = service_of(store.open, PLAIN, pauses)

    async def fail() -> None:
        near, far = stream_pair()
        near.write(b"USER tony\r\nPASS x\r\nUSER tony\r\nPASS x\r\nUSER tony\r\nPASS x\r\nQUIT\r\n")
        await Pop3Listener(service).on_stream(far)

    await fail()
    await fail()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


async def test_connections_of_one_client_are_limited(store: NativeMailStore) -> None:
    service = service_of(store.open, Pop3dSettings(pop3d_client_connection_count_limit=1))
    near, far = stream_pair()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(Pop3Listener(service).on_stream(far))
        await near.read(5)
        second, end = stream_pair()
        await Pop3Listener(service).on_stream(end)
        assert await second.read(5) == b"-ERR [SYS/TEMP] too many connections from 127.0.0.1\r\n"
        near.write(b"QUIT\r\n")
    third, end = stream_pair()
    third.write(b"QUIT\r\n")
    await Pop3Listener(service).on_stream(end)
    assert (await third.read(5)).startswith(b"+OK mail.example ready <")
    expected = "warning: Connection concurrency limit exceeded: 2 from unknown[127.0.0.1] for service pop3"
    assert expected in log_of(service.log)


async def test_a_greeting_never_has_the_same_timestamp_twice(store: NativeMailStore) -> None:
    greetings = set()
    for _ in range(3):
        near, far = stream_pair()
        near.write(b"QUIT\r\n")
        await Pop3Listener(service_of(store.open, PLAIN)).on_stream(far)
        greetings.add((await near.read(5)).splitlines()[0])
    assert len(greetings) == 3


async def test_wrapper_mode_without_a_certificate_says_so_and_closes(store: NativeMailStore) -> None:
    near, far = stream_pair()
    service = service_of(store.open, Pop3dSettings(pop3d_tls_wrappermode=True))
    await Pop3Listener(service).on_stream(far)
    assert await near.read(5) == b""
    assert "warning: pop3d_tls_wrappermode is on, but there is no usable certificate" in log_of(service.log)


def test_an_unknown_tls_level_is_refused() -> None:
    with pytest.raises(ConfigError, match='invalid TLS level "maybe"'):
        Pop3dSettings(pop3d_tls_security_level="maybe")
