"""POP3 over loopback, spoken by Python's own poplib, and by hand where poplib will not misbehave."""

import asyncio
import poplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import trustme

from posthouse.access.pop3.listener import Pop3Listener
from posthouse.access.pop3.maildrop import MaildropRefused
from posthouse.access.pop3.session import Pop3Service, Pop3Settings
from posthouse.accounts.account import Account, AccountRetry
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.net.tcp import start_server

MAIL = [
    b"Subject: one\r\n\r\nhello\r\n.dot\r\n..\r\nend\r\n",
    b"Subject: two\r\n\r\n" + (b"x" * 76 + b"\r\n") * 1300,
    b"Subject: three\r\n\r\nno line end",
]


@dataclass
class FakeMessage:
    data: bytes
    unique_id: str

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass
class FakeDrop:
    messages: list[FakeMessage]
    store: "FakeStore"
    piece: int = 7

    async def content(self, number: int) -> AsyncIterator[bytes]:
        data = self.messages[number - 1].data
        step = self.piece if len(data) < 1000 else 4096
        for start in range(0, len(data), step):
            yield data[start : start + step]

    async def top(self, number: int, lines: int) -> AsyncIterator[bytes]:
        head, _, body = self.messages[number - 1].data.partition(b"\r\n\r\n")
        yield head + b"\r\n\r\n"
        yield b"".join(body.splitlines(keepends=True)[:lines])

    async def seen(self, numbers: list[int]) -> None:
        self.store.seen += [self.messages[number - 1].unique_id for number in numbers]

    async def remove(self, numbers: list[int]) -> bool:
        if self.store.refuses_removal:
            return False
        gone = {self.messages[number - 1].unique_id for number in numbers}
        self.store.mail = [message for message in self.store.mail if message.unique_id not in gone]
        return True

    async def close(self) -> None:
        self.store.closed += 1


@dataclass
class FakeStore:
    mail: list[FakeMessage] = field(
        default_factory=lambda: [FakeMessage(data, f"0000000{n}") for n, data in enumerate(MAIL)]
    )
    seen: list[str] = field(default_factory=list)
    closed: int = 0
    refuses_removal: bool = False
    refusal: MaildropRefused | None = None

    async def open(self, account: Account) -> FakeDrop | MaildropRefused:
        return self.refusal or FakeDrop(list(self.mail), self)


class FakeLogins:
    retry = False

    async def authenticate(self, login: str, password: str) -> Account | None:
        if self.retry:
            raise AccountRetry("passwd-file: Permission denied")
        return Account("bob") if (login, password) == ("bob", "the secret") else None

    async def find(self, login: str) -> Account | None:
        return Account("bob") if login == "bob" else None

    async def secret(self, login: str) -> str | None:
        return "the secret" if login == "bob" else None


@dataclass
class House:
    port: int
    store: FakeStore
    logins: FakeLogins
    sink: MemorySink
    pauses: list[float]
    trust: ssl.SSLContext

    async def speak(self, talk: Callable[[poplib.POP3], object]) -> object:
        """Run a client in a thread."""

        def run() -> object:
            client = poplib.POP3("127.0.0.1", self.port, timeout=5)
            try:
                return talk(client)
            finally:
                client.close()

        result = await asyncio.to_thread(run)
        await asyncio.sleep(0)
        return result

    async def raw(self, data: bytes) -> bytes:
        """Everything the server says to these bytes, to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        writer.write_eof()
        said = await reader.read()
        writer.close()
        return said

    async def log(self, word: str) -> str:
        """The first log line that holds a word."""
        for _ in range(100):
            for line in self.sink.lines:
                if word in line:
                    return line
            await asyncio.sleep(0.01)
        return "\n".join(self.sink.lines)


def settings(**changes: object) -> Pop3Settings:
    values: dict[str, object] = {
        "myhostname": "mail.example",
        "pop3d_banner": "mail.example ready",
        "pop3d_client_connection_count_limit": 5,
        "pop3d_hard_error_limit": 4,
        "pop3d_line_length_limit": 255,
        "pop3d_timeout": 5,
        "pop3d_tls_auth_only": False,
        "pop3d_tls_security_level": "may",
        "pop3d_tls_wrappermode": False,
    }
    return Pop3Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture
async def open_house(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Callable[..., object]]:
    listeners = []
    sockets = []

    async def build(**changes: object) -> House:
        sink, store, logins, pauses = MemorySink(), FakeStore(), FakeLogins(), list[float]()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)

        service = Pop3Service(
            settings(**changes), logins, store, ProcessLog(sink, "postfix/pop3d"), tls=contexts[0], pause=pause
        )
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sockets.append(sock)
        listeners.append(await start_server(sock, Pop3Listener(service).on_stream))
        return House(sock.getsockname()[1], store, logins, sink, pauses, contexts[1])

    yield build
    for listener in listeners:
        listener.abort()
        await listener.wait(1)
    for sock in sockets:
        sock.close()


@pytest.fixture
async def house(open_house: Callable[..., object]) -> House:
    return await open_house()  # type: ignore[misc,no-any-return]


def login(client: poplib.POP3) -> None:
    client.user("bob")
    client.pass_("the secret")


async def test_a_whole_session_lists_fetches_and_deletes(house: House) -> None:
    def talk(client: poplib.POP3) -> None:
        login(client)
        assert (3, sum(map(len, MAIL))) == client.stat()
        assert client.list()[1] == [b"1 38", b"2 101416", b"3 29"]
        assert client.uidl()[1] == [b"1 00000000", b"2 00000001", b"3 00000002"]
        for number, data in enumerate(MAIL, 1):
            lines = client.retr(number)[1]
            assert b"\r\n".join(lines) == data.removesuffix(b"\r\n")
        assert client.top(1, 2)[1] == [b"Subject: one", b"", b"hello", b".dot"]
        client.dele(1)
        assert client.stat()[0] == 2
        with pytest.raises(poplib.error_proto, match="no such message"):
            client.retr(1)
        client.quit()

    await house.speak(talk)
    assert [message.unique_id for message in house.store.mail] == ["00000001", "00000002"]
    assert "login: client=unknown[127.0.0.1], sasl_method=LOGIN, sasl_username=bob" in await house.log("login:")
    assert "retrieved=3" in await house.log("logout:")
    disconnect = await house.log("disconnect")
    assert disconnect.startswith("postfix/pop3d: disconnect from unknown[127.0.0.1] user=1 pass=1 stat=2 list=1 uidl=1")
    assert disconnect.endswith("retr=3/4 top=1 dele=1 quit=1 commands=12/13")
    assert house.store.closed == 1


async def test_a_session_without_quit_deletes_nothing_and_remembers_what_was_fetched(house: House) -> None:
    def talk(client: poplib.POP3) -> None:
        login(client)
        client.retr(2)
        client.dele(2)

    await house.speak(talk)
    assert "lost connection after DELE from unknown[127.0.0.1]" in await house.log("lost connection")
    await house.log("disconnect")
    assert len(house.store.mail) == 3
    assert house.store.seen == ["00000001"]


async def test_rset_unmarks(house: House) -> None:
    def talk(client: poplib.POP3) -> None:
        login(client)
        client.dele(1)
        client.rset()
        assert client.stat()[0] == 3
        client.quit()

    await house.speak(talk)
    assert len(house.store.mail) == 3


async def test_a_store_that_refuses_to_delete_makes_quit_fail(house: House) -> None:
    house.store.refuses_removal = True

    def talk(client: poplib.POP3) -> None:
        login(client)
        client.dele(1)
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\] some deleted messages not removed"):
            client.quit()

    await house.speak(talk)


async def test_apop_works_where_the_secret_is_known(house: House) -> None:
    await house.speak(lambda client: client.apop("bob", "the secret"))
    assert "sasl_method=APOP, sasl_username=bob" in await house.log("login:")


async def test_apop_timestamps_differ(house: House) -> None:
    first = await house.raw(b"QUIT\r\n")
    second = await house.raw(b"QUIT\r\n")
    assert first != second
    assert first.startswith(b"+OK mail.example ready <")


async def test_a_failed_login_is_slow_and_in_the_words_that_fail2ban_reads(house: House) -> None:
    def talk(client: poplib.POP3) -> None:
        client.user("bob")
        with pytest.raises(poplib.error_proto, match=r"\[AUTH\] Authentication failed"):
            client.pass_("wrong")

    await house.speak(talk)
    assert house.pauses == [2.0]
    expected = (
        "postfix/pop3d: warning: unknown[127.0.0.1]: SASL LOGIN authentication failed: authentication failure, "
        "sasl_username=bob"
    )
    assert expected == await house.log("warning")


async def test_accounts_that_cannot_be_asked_give_sys_temp(house: House) -> None:
    house.logins.retry = True
    said = await house.raw(b"USER bob\r\nPASS x\r\nQUIT\r\n")
    assert b"-ERR [SYS/TEMP] Temporary authentication failure" in said
    assert house.pauses == []


async def test_a_maildrop_in_use_is_said_so(house: House) -> None:
    house.store.refusal = MaildropRefused("IN-USE", "another session has it")
    said = await house.raw(b"USER bob\r\nPASS the secret\r\nSTAT\r\nQUIT\r\n")
    assert said.splitlines()[1:] == [
        b"+OK",
        b"-ERR [IN-USE] another session has it",
        b"-ERR STAT is not for this state",
        b"+OK Bye",
    ]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"AUTH PLAIN AGJvYgB0aGUgc2VjcmV0\r\n", [b"+OK Logged in"]),
        (b"AUTH PLAIN\r\nAGJvYgB0aGUgc2VjcmV0\r\n", [b"+ ", b"+OK Logged in"]),
        (b"AUTH LOGIN\r\nYm9i\r\ndGhlIHNlY3JldA==\r\n", [b"+ VXNlcm5hbWU6", b"+ UGFzc3dvcmQ6", b"+OK Logged in"]),
        (b"AUTH PLAIN\r\n*\r\n", [b"+ ", b"-ERR Authentication cancelled"]),
        (b"AUTH PLAIN ?\r\n", [b"-ERR Invalid base64 data in initial response"]),
        (b"AUTH PLAIN\r\n?\r\n", [b"+ ", b"-ERR Invalid base64 data in response"]),
        (b"AUTH PLAIN YQBib2IAdGhlIHNlY3JldA==\r\n", [b"-ERR [AUTH] Authentication failed"]),
        (b"AUTH NTLM\r\n", [b"-ERR Unsupported authentication mechanism"]),
        (b"AUTH\r\n", [b"+OK", b"PLAIN", b"LOGIN", b"."]),
        (b"PASS x\r\n", [b"-ERR USER first"]),
        (b"USER\r\n", [b"-ERR Syntax: USER name"]),
        (b"STAT\r\n", [b"-ERR STAT is not for this state"]),
        (b"HELO x\r\n", [b"-ERR unknown command"]),
        (b"\r\n", [b"-ERR unknown command"]),
        (b"USER " + b"x" * 300 + b"\r\n", [b"-ERR line too long"]),
        (b"USER " + b"x" * 99_000 + b"\r\n", [b"-ERR line too long"]),
        (b"quit\n", [b"+OK Bye"]),
    ],
)
async def test_replies_before_login(house: House, sent: bytes, expected: list[bytes]) -> None:
    said = (await house.raw(sent)).split(b"\r\n")
    assert expected == said[1:-1]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"STAT x", b"-ERR Syntax: STAT"),
        (b"LIST 2", b"+OK 2 101416"),
        (b"LIST 4", b"-ERR no such message"),
        (b"LIST 0", b"-ERR no such message"),
        (b"LIST -1", b"-ERR no such message"),
        (b"LIST 1 2", b"-ERR no such message"),
        (b"UIDL 3", b"+OK 3 00000002"),
        (b"RETR", b"-ERR no such message"),
        (b"RETR 99999999999999999999", b"-ERR no such message"),
        (b"TOP 1", b"-ERR Syntax: TOP message lines"),
        (b"TOP 1 x", b"-ERR Syntax: TOP message lines"),
        (b"TOP 9 1", b"-ERR no such message"),
        (b"DELE 9", b"-ERR no such message"),
        (b"NOOP", b"+OK"),
        (b"USER bob", b"-ERR USER is not for this state"),
        (b"RSET x", b"-ERR Syntax: RSET"),
    ],
)
async def test_replies_after_login(house: House, sent: bytes, expected: bytes) -> None:
    said = await house.raw(b"USER bob\r\nPASS the secret\r\n" + sent + b"\r\nQUIT\r\n")
    assert [expected, b"+OK Bye"] == said.splitlines()[3:]


async def test_too_many_errors_end_the_session(house: House) -> None:
    said = await house.raw(b"X\r\n" * 10)
    assert said.splitlines()[1:] == [b"-ERR unknown command"] * 4 + [b"-ERR too many errors"]
    assert "too many errors after UNKNOWN" in await house.log("too many errors")


async def test_a_silent_client_is_timed_out(open_house: Callable[..., object]) -> None:
    house: House = await open_house(pop3d_timeout=0)  # type: ignore[misc]
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    assert (await reader.read()).startswith(b"+OK")
    writer.close()
    assert "timeout after CONNECT" in await house.log("timeout")


async def test_connections_of_one_client_are_counted(open_house: Callable[..., object]) -> None:
    house: House = await open_house(pop3d_client_connection_count_limit=1)  # type: ignore[misc]
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    await reader.readline()
    assert (await house.raw(b"")).startswith(b"-ERR [SYS/TEMP] too many connections")
    writer.close()


async def test_stls_protects_the_login(house: House) -> None:
    def talk(client: poplib.POP3) -> None:
        assert "STLS" in client.capa()
        client.stls(house.trust)
        assert "STLS" not in client.capa()
        assert client.capa()["SASL"] == ["PLAIN", "LOGIN"]
        login(client)
        client.retr(2)
        client.quit()

    await house.speak(talk)
    assert "TLS connection established from unknown[127.0.0.1]: TLSv1.3" in await house.log("TLS connection")


async def test_commands_sent_behind_stls_in_plain_text_are_thrown_away(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    await reader.readline()
    writer.write(b"STLS\r\nUSER bob\r\n")
    assert await reader.readline() == b"+OK Begin TLS negotiation\r\n"
    await writer.start_tls(house.trust, server_hostname="127.0.0.1")
    writer.write(b"PASS the secret\r\n")
    assert await reader.readline() == b"-ERR USER first\r\n"
    writer.close()


async def test_wrapper_mode_speaks_tls_from_the_start(open_house: Callable[..., object]) -> None:
    house: House = await open_house(pop3d_tls_wrappermode=True, pop3d_tls_auth_only=True)  # type: ignore[misc]

    def talk() -> None:
        client = poplib.POP3_SSL("127.0.0.1", house.port, context=house.trust, timeout=5)
        login(client)
        client.quit()

    await asyncio.to_thread(talk)


async def test_where_tls_is_demanded_no_password_crosses_in_plain_text(open_house: Callable[..., object]) -> None:
    house: House = await open_house(pop3d_tls_security_level="encrypt")  # type: ignore[misc]
    said = await house.raw(b"CAPA\r\nUSER bob\r\nAUTH PLAIN AGJvYgB0aGUgc2VjcmV0\r\n")
    assert b"SASL" not in said
    assert said.count(b"-ERR [AUTH] Plaintext authentication disallowed") == 2
