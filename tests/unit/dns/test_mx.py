"""Mail routing by DNS: RFC 5321 section 5.1 and RFC 7505, in Postfix's words."""

import random

import pytest

from posthouse.dns.mx import LookupFailure, MailRoute, MxLookup, MxSettings
from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import Answer, DnsRetry, Record

ZONE: dict[str, dict[str, list[str]]] = {
    "example.com": {"MX": ["20 backup.example.com", "10 mail.example.com", "10 mail2.example.com"]},
    "mail.example.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "mail2.example.com": {"A": ["192.0.2.2"]},
    "backup.example.com": {"A": ["192.0.2.3"]},
    "nomx.example.com": {"A": ["192.0.2.4"]},
    "null.example.com": {"MX": ["0 "]},
    "nothing.example.com": {"MX": ["10 nosuch.example.com"]},
    "numeric.example.com": {"MX": ["10 192.0.2.1"]},
    "empty.example.com": {},
    "halfdead.example.com": {"MX": ["10 retry.example.com", "20 mail.example.com"]},
    "dead.example.com": {"MX": ["10 retry.example.com"]},
    "lost.example.com": {"MX": ["5 nosuch.example.com", "10 mail.example.com"]},
}


class Zone:
    """A resolver that knows ZONE."""

    async def query(self, name: str, rtype: str) -> Answer:
        if name.startswith("retry"):
            raise DnsRetry(f"name={name} type={rtype}: Host not found, try again")
        types = ZONE.get(name)
        if types is None:
            return Answer((), nxdomain=True)
        records = []
        for data in types.get(rtype, []):
            preference, _, host = data.rpartition(" ") if rtype == "MX" else ("0", "", data)
            records.append(Record(name, rtype, 60, host, int(preference or 0)))
        return Answer(tuple(records), canonical_name=name)


def lookup(own: tuple[str, ...] = (), **settings: object) -> MxLookup:
    return MxLookup(MxSettings(**settings), Zone(), own_addresses=own, rng=random.Random(1))  # type: ignore[arg-type]


def addresses(route: MailRoute) -> list[str]:
    return [host.address for host in route.hosts]


async def test_hosts_come_by_preference() -> None:
    route = await lookup(inet_protocols=("ipv4",)).domain("example.com")
    assert [host.preference for host in route.hosts] == [10, 10, 20]
    assert addresses(route)[2] == "192.0.2.3"


async def test_equal_preferences_are_shuffled_by_the_given_generator() -> None:
    seen = set()
    mx = lookup(inet_protocols=("ipv4",))
    for _ in range(30):
        seen.add(tuple(addresses(await mx.domain("example.com"))))
    assert seen == {("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("192.0.2.2", "192.0.2.1", "192.0.2.3")}


async def test_the_preferred_family_comes_first() -> None:
    route = await lookup(smtp_address_preference="ipv6").host("mail.example.com")
    assert addresses(route) == ["2001:db8::1", "192.0.2.1"]
    route = await lookup(smtp_address_preference="ipv4").host("mail.example.com")
    assert addresses(route) == ["192.0.2.1", "2001:db8::1"]


async def test_only_the_families_of_inet_protocols_are_asked() -> None:
    assert addresses(await lookup(inet_protocols=("ipv6",)).host("mail.example.com")) == ["2001:db8::1"]


async def test_a_limit_keeps_both_families() -> None:
    route = await lookup(smtp_mx_address_limit=2, smtp_address_preference="ipv4").domain("example.com")
    assert len(route.hosts) == 2
    assert "2001:db8::1" in addresses(route)


async def test_without_mx_the_domain_is_its_own_host() -> None:
    route = await lookup(inet_protocols=("ipv4",)).domain("nomx.example.com")
    assert (addresses(route), route.mx_found) == (["192.0.2.4"], False)


@pytest.mark.parametrize(
    ("domain", "status", "text"),
    [
        ("null.example.com", "5.1.0", "Domain null.example.com does not accept mail (nullMX)"),
        (
            "nosuch.example.com",
            "5.4.4",
            "Host or domain name not found. Name service error for name=nosuch.example.com type=A: Host not found",
        ),
        (
            "empty.example.com",
            "5.4.4",
            "Host or domain name not found. Name service error for name=empty.example.com type=A: "
            "Host found but no data record of requested type",
        ),
        (
            "nothing.example.com",
            "5.4.4",
            "Host or domain name not found. Name service error for name=nosuch.example.com type=A: Host not found",
        ),
        (
            "numeric.example.com",
            "5.4.4",
            "Name service error for name=numeric.example.com type=MX: Malformed or unexpected name server reply",
        ),
        ("retry.example.com", "4.4.3", "name=retry.example.com type=MX: Host not found, try again"),
        ("dead.example.com", "4.4.3", "name=retry.example.com type=A: Host not found, try again"),
    ],
)
async def test_why_there_is_nobody(domain: str, status: str, text: str) -> None:
    route = await lookup(inet_protocols=("ipv4",)).domain(domain)
    assert route.failure == LookupFailure(status, text)


async def test_a_host_that_cannot_be_looked_up_now_does_not_hold_up_the_next() -> None:
    assert addresses(await lookup(inet_protocols=("ipv4",)).domain("halfdead.example.com")) == ["192.0.2.1"]


async def test_hosts_at_and_beyond_our_own_preference_are_dropped() -> None:
    route = await lookup(("192.0.2.3",), inet_protocols=("ipv4",)).domain("example.com")
    assert sorted(addresses(route)) == ["192.0.2.1", "192.0.2.2"]


async def test_mail_that_we_are_the_best_host_for_loops() -> None:
    mx = lookup(("192.0.2.1",), inet_protocols=("ipv4",))
    loops = LookupFailure("5.4.6", "mail for example.com loops back to myself")
    assert (await mx.domain("example.com")).failure == loops
    assert (await mx.domain("example.com", detect_loop=False)).failure is None


async def test_the_primary_cannot_be_found_when_only_we_are_left() -> None:
    route = await lookup(("192.0.2.1",), inet_protocols=("ipv4",)).domain("lost.example.com")
    assert route.failure == LookupFailure("4.4.4", "unable to find primary relay for lost.example.com")


async def test_smtp_defer_if_no_mx_address_found_makes_it_temporary() -> None:
    route = await lookup(smtp_defer_if_no_mx_address_found=True).domain("nothing.example.com")
    assert route.failure is not None
    assert route.failure.status == "4.4.4"


async def test_the_systems_name_service_stands_in_when_dns_is_off() -> None:
    native = NativeLookup(lambda name, family: ("127.0.0.9",) if name == "peer" else ())
    mx = MxLookup(MxSettings(smtp_dns_support_level="disabled"), Zone(), native=native)
    assert addresses(await mx.domain("peer")) == ["127.0.0.9"]
    failure = (await mx.domain("other")).failure
    assert failure == LookupFailure("5.4.4", "unable to look up host other: Name or service not known")
    native.close()


async def test_a_literal_needs_no_look_up() -> None:
    assert addresses(await lookup().host("192.0.2.7")) == ["192.0.2.7"]
