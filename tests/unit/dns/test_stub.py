"""The stub resolver against the test-kit's server on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from posthouse.dns.resolver import DnsRetry
from posthouse.dns.stub import StubResolver, wire_name
from posthouse.testkit.dns_server import DnsServer
from posthouse.wire.dns_name import DnsFormatError

ZONES = """
example.com        60 MX 20 backup.example.com
example.com        60 MX 10 mail.example.com
mail.example.com   30 A 192.0.2.1
www.example.com    20 CNAME mail.example.com
outside.example.com   CNAME gone.example.net
loop.example.com      CNAME loop2.example.com
loop2.example.com     CNAME loop.example.com
broken.example     SERVFAIL
silent.example     SILENT
large.example      TRUNCATED
large.example      TXT "a" "b"
signed.example     SECURE
signed.example     A 192.0.2.9
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def server() -> AsyncIterator[DnsServer]:
    server = await DnsServer.start(ZONES)
    yield server
    await server.aclose()


@pytest_asyncio.fixture
async def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def resolver(server: DnsServer, clock: Clock) -> AsyncIterator[StubResolver]:
    resolver = StubResolver([server.address], timeout=2, clock=clock, dnssec=True)
    yield resolver
    await resolver.aclose()


async def test_records_come_with_their_preference(resolver: StubResolver) -> None:
    answer = await resolver.query("Example.COM.", "MX")
    assert sorted((r.preference, r.data) for r in answer.records) == [
        (10, "mail.example.com"),
        (20, "backup.example.com"),
    ]


async def test_a_cname_is_followed_and_its_end_is_told(resolver: StubResolver) -> None:
    answer = await resolver.query("www.example.com", "A")
    assert ([r.data for r in answer.records], answer.canonical_name) == (["192.0.2.1"], "mail.example.com")


async def test_a_cname_to_nowhere_is_nxdomain(resolver: StubResolver) -> None:
    answer = await resolver.query("outside.example.com", "A")
    assert (answer.records, answer.nxdomain) == ((), True)


async def test_a_cname_loop_is_retry(resolver: StubResolver) -> None:
    with pytest.raises(DnsRetry, match="Name server loop"):
        await resolver.query("loop.example.com", "A")


async def test_no_such_name_and_no_such_record_differ(resolver: StubResolver) -> None:
    assert (await resolver.query("nosuch.example.com", "A")).nxdomain
    assert not (await resolver.query("mail.example.com", "AAAA")).nxdomain


async def test_servfail_is_retry(resolver: StubResolver) -> None:
    with pytest.raises(DnsRetry) as caught:
        await resolver.query("broken.example", "MX")
    assert str(caught.value) == (
        "Host or domain name not found. Name service error for name=broken.example type=MX: Host not found, try again"
    )


async def test_a_truncated_answer_is_asked_again_by_tcp(resolver: StubResolver, server: DnsServer) -> None:
    answer = await resolver.query("large.example", "TXT")
    assert [r.data for r in answer.records] == ["ab"]
    assert [q[2] for q in server.queries] == ["udp", "tcp"]


async def test_an_answer_is_kept_for_its_ttl(resolver: StubResolver, server: DnsServer, clock: Clock) -> None:
    await resolver.query("www.example.com", "A")
    clock.now += 19
    await resolver.query("www.example.com", "A")
    assert len(server.queries) == 1
    clock.now += 2  # the CNAME's 20 seconds, not the address's 30
    await resolver.query("www.example.com", "A")
    assert len(server.queries) == 2


async def test_a_negative_answer_is_kept_too(resolver: StubResolver, server: DnsServer, clock: Clock) -> None:
    await resolver.query("nosuch.example.com", "A")
    clock.now += 59
    await resolver.query("nosuch.example.com", "A")
    assert len(server.queries) == 1


async def test_one_question_at_a_time(resolver: StubResolver, server: DnsServer) -> None:
    await asyncio.gather(*(resolver.query("mail.example.com", "A") for _ in range(20)))
    assert len(server.queries) == 1


async def test_who_gives_up_does_not_cancel_the_others(resolver: StubResolver) -> None:
    first = asyncio.create_task(resolver.query("mail.example.com", "A"))
    second = asyncio.create_task(resolver.query("mail.example.com", "A"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).records


async def test_a_dead_server_is_passed_over(server: DnsServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        port = dead.getsockname()[1]
    resolver = StubResolver([("127.0.0.1", port), server.address], timeout=2)
    assert (await resolver.query("mail.example.com", "A")).records
    await resolver.aclose()


async def test_silence_ends_in_retry(server: DnsServer) -> None:
    resolver = StubResolver([server.address], timeout=0.02, attempts=2)
    with pytest.raises(DnsRetry):
        await resolver.query("silent.example", "A")
    assert len(server.queries) == 2


async def test_the_ad_bit_of_a_server_on_this_machine_counts(resolver: StubResolver) -> None:
    assert (await resolver.query("signed.example", "A")).authenticated
    assert not (await resolver.query("mail.example.com", "A")).authenticated


async def test_an_impossible_name_is_not_asked(resolver: StubResolver, server: DnsServer) -> None:
    assert (await resolver.query("x" * 64 + ".example", "A")).nxdomain
    assert (await resolver.query("a..b", "A")).nxdomain
    assert server.queries == []


def test_a_unicode_name_is_asked_as_a_labels() -> None:
    assert wire_name("Bücher.Example") == "xn--bcher-kva.example"
    with pytest.raises(DnsFormatError):
        wire_name("ü" * 80)
