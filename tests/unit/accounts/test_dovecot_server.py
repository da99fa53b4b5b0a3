import asyncio
from collections.abc import Awaitable, Callable

import pytest

from posthouse.accounts.account import AccountRetry
from posthouse.accounts.dovecot import LOST, UNREACHABLE, DovecotServer, dovecot_stream
from posthouse.config.error import ConfigError
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import Stream
from posthouse.wire.dovecot_auth import Challenged, Denied, Granted

GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nSPID\t1\nCUID\t1\nDONE\n"
PARAMETERS = (("service", "smtp"),)


class FakeDovecot:
    """Answers by what a line begins with; hangs up where the answer is None."""

    def __init__(self, answers: dict[bytes, bytes | None], greeting: bytes = GREETING) -> None:
        self.answers = answers
        self.greeting = greeting
        self.lines: list[bytes] = []
        self.connections = 0
        self.away = False
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Stream:
        if self.away:
            raise FileNotFoundError(2, "No such file or directory")
        self.connections += 1
        ours, theirs = stream_pair()
        self._tasks.append(asyncio.get_running_loop().create_task(self._serve(theirs)))
        return ours

    async def _serve(self, stream: TcpStream) -> None:
        stream.write(self.greeting)
        while data := await stream.read(60.0):
            for line in data.splitlines():
                self.lines.append(line)
                words = line.split(b"\t")
                if words[0] not in (b"AUTH", b"CONT"):
                    continue
                answer = self.answers.get(words[0] + b" " + words[-1], b"")
                if answer is None:
                    stream.close()
                    return
                stream.write(answer.replace(b"ID", words[1]))


def server_of(fake: FakeDovecot, warnings: list[str] | None = None) -> DovecotServer:
    return DovecotServer("private/auth", fake.open, (warnings if warnings is not None else []).append)


async def test_an_exchange_goes_to_and_fro() -> None:
    fake = FakeDovecot({b"AUTH service=smtp": b"CONT\tID\tPDE=\n", b"CONT aGk=": b"OK\tID\tuser=joe\n"})
    server = server_of(fake)
    exchange = server.exchange("CRAM-MD5", PARAMETERS)
    assert await exchange.begin(None) == Challenged(1, "PDE=")
    assert await exchange.go_on("aGk=") == Granted(1, "joe", {"user": "joe"})
    assert [mechanism.name for mechanism in server.known] == ["PLAIN", "CRAM-MD5"]
    server.close()


async def test_exchanges_share_one_connection_and_get_their_own_answers() -> None:
    fake = FakeDovecot({b"AUTH resp=AA==": b"OK\tID\tuser=joe\n", b"AUTH resp=BB==": b"FAIL\tID\tuser=ann\n"})
    server = server_of(fake)
    found = await asyncio.gather(
        *(server.exchange("PLAIN", PARAMETERS).begin(word) for word in ("AA==", "BB==", "AA=="))
    )
    assert found == [Granted(1, "joe", {"user": "joe"}), Denied(2, "ann"), Granted(3, "joe", {"user": "joe"})]
    assert fake.connections == 1
    server.close()


async def test_a_server_that_hangs_up_is_asked_anew_by_the_next() -> None:
    fake = FakeDovecot({b"AUTH resp=AA==": None})
    server = server_of(fake)
    with pytest.raises(AccountRetry, match=LOST):
        await server.exchange("PLAIN", PARAMETERS).begin("AA==")
    fake.answers[b"AUTH resp=AA=="] = b"OK\tID\tuser=joe\n"
    assert isinstance(await server.exchange("PLAIN", PARAMETERS).begin("AA=="), Granted)
    assert fake.connections == 2
    server.close()


async def test_two_connections_never_have_the_same_id() -> None:
    fake = FakeDovecot({b"AUTH resp=AA==": None})
    server = server_of(fake)
    for _ in range(2):
        with pytest.raises(AccountRetry):
            await server.exchange("PLAIN", PARAMETERS).begin("AA==")
    ids = [line for line in fake.lines if line.startswith(b"CPID")]
    assert len(ids) == len(set(ids)) == 2
    server.close()


async def test_a_server_that_is_away_is_tried_once_a_second_and_told_of_each_time() -> None:
    fake, warnings = FakeDovecot({}), list[str]()
    fake.away = True
    server = server_of(fake, warnings)
    for _ in range(3):
        with pytest.raises(AccountRetry, match=UNREACHABLE):
            await server.exchange("PLAIN", PARAMETERS).begin("AA==")
    assert warnings == ["SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory"]
    assert await server.mechanisms() == ()


async def test_the_mechanisms_stay_known_while_the_server_is_away() -> None:
    fake = FakeDovecot({b"AUTH resp=AA==": None})
    server = server_of(fake)
    known = await server.mechanisms()
    with pytest.raises(AccountRetry):
        await server.exchange("PLAIN", PARAMETERS).begin("AA==")
    fake.away = True
    assert await server.mechanisms() is known


async def test_the_wrong_socket_is_told_of() -> None:
    warnings: list[str] = []
    server = server_of(FakeDovecot({}, b"VERSION\t1\t2\nSPID\t9\n"), warnings)
    assert await server.mechanisms() == ()
    assert warnings == ["SASL: Connected to wrong auth socket (auth-master instead of auth-client)"]


async def test_a_client_that_gives_up_is_cancelled() -> None:
    fake = FakeDovecot({b"AUTH service=smtp": b"CONT\tID\t\n", b"AUTH resp=AA==": b"OK\tID\tuser=joe\n"})
    server = server_of(fake)
    exchange = server.exchange("PLAIN", PARAMETERS)
    await exchange.begin(None)
    exchange.cancel()
    await server.exchange("PLAIN", PARAMETERS).begin("AA==")
    assert b"CANCEL\t1" in fake.lines
    server.close()


@pytest.mark.parametrize("path", ["inet:localhost", "inet:localhost:x", "inet:a:70000", "unix:"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="smtpd_sasl_path"):
        dovecot_stream(path, "/var/spool/postfix")


@pytest.mark.parametrize(
    "path", ["private/auth", "/run/auth", "unix:private/auth", "inet:127.0.0.1:12345", "inet:[::1]:9"]
)
def test_paths_as_people_write_them(path: str) -> None:
    opened: Callable[[], Awaitable[Stream]] = dovecot_stream(path, "/var/spool/postfix")
    assert callable(opened)
