"""The score of a client, and the access list."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.dns.resolver import Answer, DnsRetry, Record
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.session.postscreen.access_list import Access, AccessList
from posthouse.session.postscreen.dnsbl import DnsScores, Site, parse_site, parse_sites
from posthouse.tables.table import Row, Table, TableRetry


class Lists:
    """DNS lists in memory."""

    def __init__(self, zone: dict[str, tuple[int, Sequence[str]]]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def query(self, name: str, rtype: str) -> Answer:
        self.asked.append(name)
        await self.gate.wait()
        if name.endswith("broken.test"):
            raise DnsRetry("no answer")
        ttl, found = self.zone.get(name, (60, ()))
        return Answer(tuple(Record(name, rtype, ttl, data) for data in found), not found, ttl=ttl)


async def nothing(key: str) -> str | None:
    return "shown.test" if key == "secret.test" else None


def scores(value: str, lists: Lists, sink: MemorySink, timeout: float = 5.0) -> DnsScores:
    log = ProcessLog(sink, "postfix/dnsblog")
    return DnsScores(parse_sites(value), lists, timeout, log, nothing, log.warning)


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("bl.test", Site("bl.test")),
        ("bl.test*3", Site("bl.test", None, 3)),
        ("bl.test*-2", Site("bl.test", None, -2)),
        (
            "bl.test=127.0.0.[2..3;9]*2",
            Site("bl.test", (frozenset({127}), frozenset({0}), frozenset({0}), frozenset({2, 3, 9})), 2),
        ),
    ],
)
def test_a_site_has_a_domain_a_filter_and_a_weight(text: str, site: Site) -> None:
    assert parse_site(text) == site


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bl.test*x", 'bad DNSBL weight factor "x" in "bl.test*x"'),
        ("*3", 'bad DNSBL domain name "" in "*3"'),
        ("bl.test=127.0.0.[1;", 'bad DNSBL filter syntax: "127.0.0.[1;" in "bl.test=127.0.0.[1;"'),
        ("bl.test=", 'bad DNSBL filter syntax: "" in "bl.test="'),
    ],
)
def test_a_wrong_site_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_site(text)
    assert str(refused.value) == reason


@given(st.text())
def test_any_text_is_a_site_or_refused(text: str) -> None:
    try:
        parse_site(text)
    except ConfigError:
        pass


async def test_weights_add_up_and_the_heaviest_site_has_the_name() -> None:
    zone = {"1.2.0.192.a.test": (300, ["127.0.0.2"]), "1.2.0.192.b.test": (90, ["127.0.0.9", "127.0.0.3"])}
    sink = MemorySink()
    lists = Lists(zone)
    asked = scores("a.test, b.test=127.0.0.3*4 b.test=127.0.0.5*8, good.test*-2", lists, sink).begin("192.0.2.1")
    await asked.done.wait()
    score = asked.now()
    assert (score.total, score.name, score.ttl, score.complete) == (5, "b.test", 90, True)
    assert sorted(lists.asked) == ["1.2.0.192.a.test", "1.2.0.192.b.test", "1.2.0.192.good.test"]
    assert sorted(sink.lines) == [
        "postfix/dnsblog: addr 192.0.2.1 listed by domain a.test as 127.0.0.2",
        "postfix/dnsblog: addr 192.0.2.1 listed by domain b.test as 127.0.0.3",
        "postfix/dnsblog: addr 192.0.2.1 listed by domain b.test as 127.0.0.9",
    ]
    asked.release(give_up=False)


async def test_a_list_that_cannot_be_asked_counts_nothing() -> None:
    sink = MemorySink()
    asked = scores("broken.test*5", Lists({}), sink).begin("2001:db8::1")
    await asked.done.wait()
    assert (asked.now().total, asked.now().ttl) == (0, 0)
    query = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.broken.test"
    assert sink.lines == [f"postfix/dnsblog: warning: dnsblog_query: lookup error for DNS query {query}: no answer"]
    asked.release(give_up=False)


async def test_a_list_has_its_time() -> None:
    sink = MemorySink()
    lists = Lists({})
    lists.gate.clear()
    asked = scores("slow.test", lists, sink, timeout=0.0).begin("192.0.2.1")
    await asked.done.wait()
    assert sink.lines == ["postfix/dnsblog: warning: dnsblog reply timeout 0s for slow.test"]
    asked.release(give_up=False)


async def test_sessions_of_one_client_share_a_score_and_the_last_gives_it_up() -> None:
    lists = Lists({})
    lists.gate.clear()
    made = scores("a.test", lists, MemorySink())
    one, two = made.begin("192.0.2.1"), made.begin("192.0.2.1")
    await asyncio.sleep(0)
    assert lists.asked == ["1.2.0.192.a.test"]
    one.release(give_up=True)
    one.release(give_up=True)
    assert not two.now().complete
    two.release(give_up=True)
    made.begin("192.0.2.1").release(give_up=True)
    await asyncio.sleep(0)
    assert await made.shown("secret.test") == "shown.test"
    assert await made.shown("a.test") == "a.test"


async def test_a_slow_list_is_told_of_when_nobody_waits_any_more() -> None:
    sink = MemorySink()
    lists = Lists({"1.2.0.192.a.test": (60, ["127.0.0.2"])})
    lists.gate.clear()
    asked = scores("a.test", lists, sink).begin("192.0.2.1")
    done = asked.done
    asked.release(give_up=False)
    lists.gate.set()
    await done.wait()
    assert sink.lines == ["postfix/dnsblog: addr 192.0.2.1 listed by domain a.test as 127.0.0.2"]


class Rows:
    """A table in memory."""

    name = "hash:/x"
    whole_key = True

    def __init__(self, rows: dict[str, str]) -> None:
        self.rows = rows

    async def lookup(self, key: str) -> Row | None:
        if key == "192.0.2.99":
            raise TableRetry("down")
        value = self.rows.get(key)
        return None if value is None else Row(value, self.name, key)

    def close(self) -> None:
        pass


class Networks:
    """192.0.2.1 is ours."""

    async def matches(self, name: str, address: str = "") -> str | None:
        return "192.0.2.1/32" if address == "192.0.2.1" else None


async def ruling(value: str, address: str, warnings: list[str], **rows: str) -> Access:
    table: Table = Rows({f"192.0.2.{key[1:]}": text for key, text in rows.items()})  # type: ignore[assignment]  # what is asked of one
    made = AccessList(value.split(), Networks(), {"hash:/x": table}, "main.cf:1", warnings.append)
    found = await made.judge(address)
    assert bool(found.evidence) == (found.access is not Access.DUNNO)
    return found.access


async def test_the_first_word_that_says_something_decides() -> None:
    warnings: list[str] = []
    assert await ruling("permit_mynetworks reject", "192.0.2.1", warnings) is Access.PERMIT
    assert await ruling("permit_mynetworks reject", "192.0.2.2", warnings) is Access.REJECT
    assert await ruling("dunno reject", "192.0.2.2", warnings) is Access.DUNNO
    assert await ruling("hash:/x reject", "192.0.2.2", warnings, _2="Permit") is Access.PERMIT
    assert await ruling("hash:/x reject", "192.0.2.2", warnings, _2="dunno") is Access.REJECT
    assert await ruling("hash:/x", "192.0.2.1", warnings, _1="permit_mynetworks, reject") is Access.PERMIT
    assert await ruling("", "192.0.2.2", warnings) is Access.DUNNO
    assert warnings == []


async def test_what_cannot_be_understood_ends_the_list() -> None:
    warnings: list[str] = []
    assert await ruling("hash:/x reject", "192.0.2.2", warnings, _2="OK") is Access.DUNNO
    assert await ruling("hash:/x reject", "192.0.2.99", warnings) is Access.DUNNO
    assert await ruling("foo reject", "192.0.2.2", warnings) is Access.DUNNO
    assert warnings == [
        "hash:/x: unknown command: OK -- ignoring the remainder of this access list",
        "postscreen_access_list: hash:/x: table lookup error -- ignoring the remainder of this access list",
        "postscreen_access_list: unknown command: foo -- ignoring the remainder of this access list",
    ]
