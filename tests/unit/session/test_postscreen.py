"""Connections to postscreen, from connect to the hand-over or the end."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.dns.resolver import Answer, Record
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import Address
from posthouse.session.postscreen.listener import PostscreenListener
from posthouse.session.postscreen.open_service import letters, open_postscreen_service
from posthouse.session.postscreen.service import PostscreenService
from posthouse.session.postscreen.verbs import logged_address

CLIENT = "192.0.2.1"
NOW = 1_700_000_000


class Server:
    """The SMTP server behind it."""

    def __init__(self) -> None:
        self.served: list[tuple[str, str]] = []
        self.room = asyncio.Event()
        self.room.set()
        self.there = True

    async def admit(self) -> bool:
        await self.room.wait()
        return self.there

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        self.served.append((peer.host, local.host))
        said = await stream.read(5) if stream.buffered() else b""
        stream.write(b"220 the server" + (b" heard " + said.strip() if said else b"") + b"\r\n")
        stream.close()


class Lists:
    """bl.test lists 192.0.2.9, good.test lists 192.0.2.10."""

    async def query(self, name: str, rtype: str) -> Answer:
        if name in ("9.2.0.192.bl.test", "10.2.0.192.good.test"):
            return Answer((Record(name, "A", 300, "127.0.0.2"),), ttl=300)
        return Answer((), nxdomain=True, ttl=120)


class Screen:
    """A listener, what it logs, and who comes."""

    def __init__(self, service: PostscreenService, server: Server, sink: MemorySink, journal: MemoryJournal) -> None:
        self.service = service
        self.server = server
        self.listener = PostscreenListener(service)
        self._sink = sink
        self.journal = journal
        self.now = float(NOW)
        service.clock = lambda: self.now

    @property
    def log(self) -> list[str]:
        lines, self._sink.lines = self._sink.lines, []
        shown = [line.partition(": ")[2].replace(f"[{CLIENT}]:40000", "CLIENT") for line in lines]
        return [re.sub(r" after 0[0-9.]* ", " after 0 ", line) for line in shown]

    async def talk(self, data: bytes = b"", address: str = CLIENT) -> list[str]:
        """What a client hears that says everything at once, before the greeting ends."""
        near, far = stream_pair(client=(address, 40000), server=("192.0.2.25", 25))
        near.write(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await self.listener.on_stream(far)
            said = b""
            while part := await near.read(5):
                said += part
        near.close()
        return said.decode().splitlines()

    async def converse(self, *lines: bytes, address: str = CLIENT, hang_up: bool = False) -> list[str]:
        """What a client hears that waits for each reply."""
        near, far = stream_pair(client=(address, 40000), server=("192.0.2.25", 25))
        session = asyncio.create_task(self.listener.on_stream(far))
        said = b""

        async def reply() -> None:
            nonlocal said
            while True:
                part = await near.read(5)
                said += part
                if not part or (said.endswith(b"\n") and said.splitlines()[-1][3:4] != b"-"):
                    return

        async with asyncio.timeout(5):
            await reply()
            for line in lines:
                near.write(line)
                await reply()
            if hang_up:
                near.close()
            else:
                while part := await near.read(5):
                    said += part
            await session
        near.close()
        return said.decode().splitlines()


Build = Callable[..., Screen]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def make(main_cf: str = "") -> Screen:
        (tmp_path / "main.cf").write_text(
            f"compatibility_level = 3.6\nmyhostname = mx.test\nmynetworks = 127.0.0.0/8\ndata_directory = {tmp_path}\n"
            + main_cf
        )
        sink, server, journal = MemorySink(), Server(), MemoryJournal()
        service = open_postscreen_service(
            read_configuration(str(tmp_path)),
            server=server,
            resolver=Lists(),
            log=ProcessLog(sink, "postfix/postscreen"),
            journal=journal,
        )
        service.patience = replace(service.patience, postscreen_greet_wait=0)
        service.cleaning._interval = 0
        return Screen(service, server, sink, journal)

    return make


TEASER = "220-mx.test ESMTP Postfix"
GREETING = "220 mx.test ESMTP Postfix"


async def test_a_client_that_waits_is_handed_over_and_known_the_next_time(build: Build) -> None:
    screen = build()
    assert await screen.converse() == [TEASER, "220 the server"]
    assert screen.log == ["CONNECT from CLIENT to [192.0.2.25]:25", "PASS NEW CLIENT"]
    assert await screen.converse() == ["220 the server"]
    assert screen.log == ["CONNECT from CLIENT to [192.0.2.25]:25", "PASS OLD CLIENT"]
    screen.now += 86401
    assert await screen.converse() == [TEASER, "220 the server"]
    assert screen.log[-1] == "PASS OLD CLIENT"
    assert screen.server.served == [(CLIENT, "192.0.2.25")] * 3


async def test_mynetworks_pass_without_tests(build: Build) -> None:
    screen = build()
    assert await screen.converse(address="127.0.0.1") == ["220 the server"]
    assert screen.log[-1] == "ALLOWLISTED [127.0.0.1]:40000"
    entry = screen.journal.entries[-1]
    assert (entry.step, entry.verdict) == ("screened", "permit")
    assert entry.evidence[0].parameter == "postscreen_access_list"


async def test_a_pregreet_that_is_ignored_is_heard_by_the_server(build: Build) -> None:
    screen = build()
    assert await screen.talk(b"EHLO c\r\n") == [TEASER, "220 the server heard EHLO c"]
    assert screen.log[1:] == [r"PREGREET 8 after 0 from CLIENT: EHLO c\r\n"]
    assert await screen.converse() == [TEASER, "220 the server"]


async def test_a_pregreet_is_dropped(build: Build) -> None:
    screen = build("postscreen_greet_action = drop\n")
    assert await screen.talk(b"a\0\xff\\\r\n") == [TEASER, "521 5.5.1 Protocol error"]
    assert screen.log[1:] == [r"PREGREET 6 after 0 from CLIENT: a\000\377\\\r\n", "DISCONNECT CLIENT"]
    assert screen.server.served == []


async def test_a_pregreet_is_enforced_at_each_recipient(build: Build) -> None:
    screen = build("postscreen_greet_action = enforce\n")
    assert await screen.talk(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRSET\r\nQUIT\r\n") == [
        TEASER,
        "250 mx.test",
        "250 2.1.0 Ok",
        "550 5.5.1 Protocol error",
        "250 2.0.0 Ok",
        "221 2.0.0 Bye",
    ]
    assert screen.log[-2:] == [
        "NOQUEUE: reject: RCPT from CLIENT: 550 5.5.1 Protocol error; from=<a@b>, to=<x@y>, proto=SMTP, helo=<c>",
        "DISCONNECT CLIENT",
    ]
    refused = screen.journal.entries[-1]
    assert (refused.step, refused.sender, refused.recipient) == ("refused", "a@b", "x@y")
    assert refused.evidence[0].parameter == "postscreen_pipelining_action"


async def test_a_client_that_goes_before_the_greeting(build: Build) -> None:
    screen = build("postscreen_cache_map =\n")
    screen.service.patience = replace(screen.service.patience, postscreen_greet_wait=5)
    near, far = stream_pair(client=(CLIENT, 40000))
    session = asyncio.create_task(screen.listener.on_stream(far))
    assert await near.read(5)
    near.close()
    await session
    assert screen.log[1:] == ["HANGUP after 0 from CLIENT in tests before SMTP handshake", "DISCONNECT CLIENT"]


DNSBL = "postscreen_dnsbl_sites = bl.test*2, good.test*-2\npostscreen_dnsbl_threshold = 2\n"


async def test_a_listed_client_is_dropped(build: Build) -> None:
    screen = build(DNSBL + "postscreen_dnsbl_action = drop\n")
    screen.service.patience = replace(screen.service.patience, postscreen_greet_wait=0.05)  # type: ignore[arg-type]
    assert await screen.converse(address="192.0.2.9") == [
        TEASER,
        "521 5.7.1 Service unavailable; client [192.0.2.9] blocked using bl.test",
    ]
    assert screen.log[1:] == [
        "addr 192.0.2.9 listed by domain bl.test as 127.0.0.2",
        "DNSBL rank 2 for [192.0.2.9]:40000",
        "DISCONNECT [192.0.2.9]:40000",
    ]
    entries = [entry for entry in screen.journal.entries if entry.step in ("screened", "refused")]
    assert [entry.step for entry in entries] == ["screened", "refused"]
    assert entries[1].evidence[0].fact == "rank 2: 9.2.0.192.bl.test: 127.0.0.2: +2"


async def test_a_good_score_spares_the_waiting_and_every_test(build: Build) -> None:
    screen = build(DNSBL + "postscreen_dnsbl_allowlist_threshold = -1\npostscreen_bare_newline_enable = yes\n")
    screen.service.patience = replace(screen.service.patience, postscreen_greet_wait=300)
    assert await screen.converse(address="192.0.2.10") == [TEASER, "220 the server"]
    assert screen.log[-1] == "PASS NEW [192.0.2.10]:40000"
    assert screen.service.cache.get("192.0.2.10") == ";".join([str(NOW + 120)] * 5)


async def test_deep_tests_are_passed_at_the_first_recipient_and_kept(build: Build) -> None:
    screen = build("postscreen_pipelining_enable = yes\n")
    said = await screen.converse(b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<x@y>\r\n", b"QUIT\r\n")
    assert said[:2] == [TEASER, GREETING]
    assert said[-3:] == ["250 2.1.0 Ok", "450 4.3.2 Service currently unavailable", "221 2.0.0 Bye"]
    assert "250-PIPELINING" not in said
    assert screen.log[-2:] == ["PASS NEW CLIENT", "DISCONNECT CLIENT"]
    assert await screen.converse() == ["220 the server"]
    assert screen.log[-1] == "PASS OLD CLIENT"
    assert screen.service.cache.get(CLIENT) == f"{NOW + 86400};1;{NOW + 2592000};1;1"


async def test_a_client_that_leaves_early_keeps_what_it_passed(build: Build) -> None:
    screen = build("postscreen_pipelining_enable = yes\n")
    await screen.converse(b"EHLO c\r\n", hang_up=True)
    assert screen.log[-2:] == ["HANGUP after 0 from CLIENT in tests after SMTP handshake", "DISCONNECT CLIENT"]
    assert screen.service.cache.get(CLIENT) == f"{NOW + 86400};1;0;1;1"


async def test_a_foreign_command_ends_the_session_and_leaves_no_pass(build: Build) -> None:
    screen = build("postscreen_non_smtp_command_enable = yes\n")
    assert (await screen.converse(b"GET / HTTP/1.0\r\n"))[-1] == "521 5.7.0 Error: I can break rules, too. Goodbye."
    assert screen.log[1:] == ["NON-SMTP COMMAND from CLIENT after CONNECT: GET / HTTP/1.0", "DISCONNECT CLIENT"]
    assert screen.service.cache.get(CLIENT) is None


async def test_ignored_failures_count_as_passed_for_a_short_time(build: Build) -> None:
    screen = build("postscreen_bare_newline_enable = yes\n")
    said = await screen.converse(b"HELO c\n", b"NOOP\n", b"QUIT\r\n")
    assert said[-3:] == ["250 mx.test", "250 2.0.0 Ok", "221 2.0.0 Bye"]
    assert screen.log[1:] == ["BARE NEWLINE from CLIENT after HELO c", "PASS NEW CLIENT", "DISCONNECT CLIENT"]
    assert screen.service.cache.get(CLIENT) == f"{NOW + 86400};1;1;1;{NOW + 60}"


async def test_commands_in_pieces_are_read_as_one(build: Build) -> None:
    screen = build("postscreen_bare_newline_enable = yes\n")
    near, far = stream_pair(client=(CLIENT, 40000))
    session = asyncio.create_task(screen.listener.on_stream(far))
    said = b""
    while GREETING.encode() not in said:
        said += await near.read(5)
    for byte in b"HELO c\r\n":
        near.write(bytes([byte]))
        await near.drain(5)
        await asyncio.sleep(0)
    said = b""
    while not said.endswith(b"\n"):
        said += await near.read(5)
    assert said == b"250 mx.test\r\n"
    near.write(b"QUIT\r\n")
    await session
    assert not [line for line in screen.log if "NEWLINE" in line or "PIPELINING" in line]
    near.close()


async def test_each_limit_of_the_small_server_ends_it(build: Build) -> None:
    screen = build(
        "postscreen_bare_newline_enable = yes\npostscreen_command_count_limit = 1\nline_length_limit = 512\n"
    )
    said = await screen.converse(b"NOOP\r\n", b"NOOP\r\n")
    assert said[-1] == "421 mx.test Service unavailable - try again later"
    assert "COMMAND COUNT LIMIT from CLIENT after NOOP" in screen.log
    assert (await screen.converse(b"x" * 514))[-1] == "421 mx.test Service unavailable - try again later"
    assert "COMMAND LENGTH LIMIT from CLIENT after CONNECT" in screen.log
    screen.service.patience = replace(screen.service.patience, postscreen_command_time_limit=0)
    assert (await screen.converse())[-1] == "421 4.4.2 mx.test Error: timeout exceeded"
    assert "COMMAND TIME LIMIT from CLIENT after CONNECT" in screen.log


async def test_a_footer_and_soft_bounce(build: Build) -> None:
    screen = build(
        "postscreen_access_list = static:reject\npostscreen_denylist_action = drop\nsoft_bounce = yes\n"
        "smtpd_reject_footer = \\c; see http://$server_name/$client_address\n"
    )
    assert await screen.converse() == [
        f"421 4.3.2 Service currently unavailable; see http://mx.test/{CLIENT}",
    ]
    assert screen.log[1:] == ["DENYLISTED CLIENT", "DISCONNECT CLIENT"]


async def test_older_names_and_older_words(build: Build) -> None:
    screen = build(
        "postscreen_access_list = static:reject\npostscreen_blacklist_action = enforce\nrespectful_logging = no\n"
        "postscreen_whitelist_interfaces = !192.0.2.25, static:all\n"
    )
    said = await screen.converse(b"HELO c\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<x@y>\r\n", b"QUIT\r\n")
    assert said[-2] == "550 5.3.2 Service currently unavailable"
    assert screen.log[1:3] == ["BLACKLISTED CLIENT", "WHITELIST VETO CLIENT"]


async def test_under_stress_patience_is_shorter(build: Build) -> None:
    screen = build("postscreen_pre_queue_limit = 10\n")
    queues = screen.service.queues
    assert screen.service.patience_under_stress.postscreen_greet_wait == 2
    assert screen.service.patience_under_stress.postscreen_command_time_limit == 10
    for number in range(9):
        queues.enter(f"192.0.2.{number}")
    assert screen.service.now_patience is screen.service.patience_under_stress
    queues.leave("192.0.2.0")
    assert queues.stress
    queues.leave("192.0.2.1")
    assert screen.service.now_patience is screen.service.patience
    assert screen.log == ["entering STRESS mode with 9 connections", "leaving STRESS mode with 7 connections"]


async def test_clients_wait_for_the_server_and_too_many_are_turned_away(build: Build) -> None:
    screen = build("postscreen_post_queue_limit = 5\n")
    screen.server.room.clear()
    waiting = [asyncio.create_task(screen.converse(address="127.0.0.1")) for _ in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert screen.service.queues.waiting == 5
    assert await screen.converse() == ["421 4.3.2 All server ports are busy"]
    assert screen.log[-2:] == ["NOQUEUE: reject: CONNECT from CLIENT: all server ports busy", "DISCONNECT CLIENT"]
    screen.server.room.set()
    assert await asyncio.gather(*waiting) == [["220 the server"]] * 5
    assert (screen.service.queues.here, screen.service.queues.waiting) == (0, 0)


async def test_without_a_server_the_client_is_turned_away(build: Build) -> None:
    screen = build()
    screen.server.there = False
    assert await screen.converse(b"HELO c\r\n") == [TEASER, GREETING, "421 4.3.2 No system resources"]
    assert await screen.converse() == ["421 4.3.2 No system resources"]


async def test_the_client_behind_a_proxy_is_the_client(build: Build) -> None:
    screen = build("postscreen_upstream_proxy_protocol = haproxy\n")
    said = await screen.talk(b"PROXY TCP4 192.0.2.77 192.0.2.78 1000 25\r\n", address="127.0.0.1")
    assert said == [TEASER, "220 the server"]
    assert screen.server.served == [("192.0.2.77", "192.0.2.78")]
    assert await screen.talk(b"EHLO c\r\n") == ["421 4.3.2 No system resources"]
    assert screen.log[-1] == r"warning: haproxy read: short protocol header: EHLO c\r\n"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("postscreen_pre_queue_limit = 3", "invalid postscreen_pre_queue_limit parameter value 3 < 10"),
        ("postscreen_post_queue_limit = 2", "invalid postscreen_post_queue_limit parameter value 2 < 5"),
        ("postscreen_dnsbl_threshold = 0", "invalid postscreen_dnsbl_threshold parameter value 0 < 1"),
        ("postscreen_command_count_limit = 0", "invalid postscreen_command_count_limit parameter value 0 < 1"),
        ("postscreen_greet_action = foo", "bad postscreen_greet_action value: foo"),
        ("postscreen_upstream_proxy_protocol = x", "unsupported postscreen_upstream_proxy_protocol value: x"),
        ("postscreen_tls_security_level = foo", 'Invalid TLS level "foo"'),
        ("postscreen_dnsbl_sites = a.test*x", 'bad DNSBL weight factor "x" in "a.test*x"'),
    ],
)
def test_a_wrong_setting_is_refused_in_postfixs_words(setting: str, reason: str, build: Build) -> None:
    with pytest.raises(ConfigError) as refused:
        build(setting + "\n")
    assert str(refused.value) == reason


def test_a_worker_has_its_part_of_the_limits(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mx.test\nmynetworks = 127.0.0.0/8\n")
    service = open_postscreen_service(
        read_configuration(str(tmp_path)),
        server=Server(),
        resolver=Lists(),
        log=ProcessLog(MemorySink(), "postfix/postscreen"),
        journal=MemoryJournal(),
        workers=4,
    )
    assert service.settings.postscreen_pre_queue_limit == 25
    assert service.settings.postscreen_client_connection_count_limit == 12


def test_an_expansion_filter_is_written_with_escapes() -> None:
    assert letters(r"\t\40a\\") == {"\t", " ", "a", "\\"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("<a@b>", "a@b"),
        ("<>", ""),
        ("<@x,@y:a@b> X=y", "a@b"),
        ("a@b c", "a@b"),
        ('<"a b"@c>', '"a b"@c'),
        ("<a b>", '"a b"'),
        ('<"a>"@b>', '"a>"@b'),
        ("<a@b", "a@b"),
        ("(c) x@y", '"(c)"'),
        ("\\", ""),
    ],
)
def test_the_log_tells_an_address_as_it_came(text: str, address: str) -> None:
    assert logged_address(text) == address


@given(st.text())
def test_any_text_has_an_address_for_the_log(text: str) -> None:
    assert isinstance(logged_address(text), str)
