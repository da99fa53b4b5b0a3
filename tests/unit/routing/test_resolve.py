from collections.abc import Callable

import pytest

from posthouse.host.log import MemorySink
from posthouse.routing.address_class import AddressClass
from posthouse.routing.router import Router
from posthouse.tables.table import TableRetry

OpenRouter = Callable[..., Router]

TRANSPORTS = (
    "inline:{ f.example=smtp:[h], .g.example=:nh, h.example=relay:, {e.example=error:5.7.1 no}, n.example=:, "
    "u@w.example=lmtp:x, *=smtp:star }"
)

# (address, transport, nexthop, recipient) as trivial-rewrite of Postfix 3.7.11 answers with these tables.
WITH_TABLE = [
    ("joe@example.com", "smtp", "star", "joe@example.com"),
    ("x@f.example", "smtp", "[h]", "x@f.example"),
    ("x@a.g.example", "smtp", "nh", "x@a.g.example"),
    ("x@g.example", "smtp", "star", "x@g.example"),
    ("x@h.example", "relay", "h.example", "x@h.example"),
    ("x@e.example", "error", "5.7.1 no", "x@e.example"),
    ("x@n.example", "smtp", "[192.0.2.1]", "x@n.example"),
    ("u+e@w.example", "lmtp", "x", "u+e@w.example"),
    ("x@sub.rl.example", "smtp", "star", "x@sub.rl.example"),
    ("a%b.c@example.com", "smtp", "star", "a@b.c"),
    ("a%b@example.com", "smtp", "star", "a@b.example.com"),
    ("a!b@example.com", "smtp", "star", "b@a.example.com"),
    ("a@b@example.com", "smtp", "star", "a@b.example.com"),
    ("a@b.c.", "smtp", "star", "a@b.c"),
]


@pytest.mark.parametrize(("address", "transport", "nexthop", "recipient"), WITH_TABLE)
async def test_transport_maps(
    open_router: OpenRouter, address: str, transport: str, nexthop: str, recipient: str
) -> None:
    found = await open_router(transport_maps=TRANSPORTS).resolve("", address)
    assert (found.transport, found.nexthop, found.recipient) == (transport, nexthop, recipient)


WITHOUT_TABLE = [
    ("joe", "local", "mail.example.com", "joe@example.com", AddressClass.LOCAL),
    ("joe@[127.0.0.1]", "local", "mail.example.com", "joe@[127.0.0.1]", AddressClass.LOCAL),
    ("joe@v.example.com", "virtual", "v.example.com", "joe@v.example.com", AddressClass.VIRTUAL_MAILBOX),
    ("joe@rl.example", "relay", "[192.0.2.1]", "joe@rl.example", AddressClass.RELAY),
    ("joe@far.example", "smtp", "[192.0.2.1]", "joe@far.example", AddressClass.DEFAULT),
    ("joe@[192.0.2.9]", "smtp", "[192.0.2.1]", "joe@[192.0.2.9]", AddressClass.DEFAULT),
    ("", "local", "mail.example.com", "MAILER-DAEMON@mail.example.com", AddressClass.LOCAL),
    ("joe@-b.example", "error", "5.1.3 bad address syntax", "joe@-b.example", AddressClass.DEFAULT),
    ("joe@", "error", "5.1.3 bad address syntax", "joe@", AddressClass.DEFAULT),
]


@pytest.mark.parametrize(("address", "transport", "nexthop", "recipient", "address_class"), WITHOUT_TABLE)
async def test_the_class_gives_the_transport(
    open_router: OpenRouter, address: str, transport: str, nexthop: str, recipient: str, address_class: AddressClass
) -> None:
    found = await open_router().resolve("", address)
    assert (found.transport, found.nexthop, found.recipient) == (transport, nexthop, recipient)
    assert found.address_class is address_class


async def test_evidence_names_the_parameters_that_decided(open_router: OpenRouter) -> None:
    found = await open_router().resolve("", "joe@far.example")
    assert [why.parameter for why in found.evidence] == ["", "default_transport", "relayhost"]


async def test_the_sender_chooses_the_relay(open_router: OpenRouter) -> None:
    router = open_router(
        sender_dependent_relayhost_maps="inline:{@s.example=[rs], joe@s.example=DUNNO}",
        sender_dependent_default_transport_maps="inline:{t@s.example=slow:}",
    )
    assert (await router.resolve("u@s.example", "x@far.example")).nexthop == "[rs]"
    assert (await router.resolve("joe@s.example", "x@far.example")).nexthop == "[192.0.2.1]"
    assert (await router.resolve("", "x@far.example")).nexthop == "[192.0.2.1]"
    found = await router.resolve("t@s.example", "x@far.example")
    assert (found.transport, found.nexthop) == ("slow", "[rs]")


async def test_a_transport_with_a_nexthop_goes_before_relayhost(open_router: OpenRouter) -> None:
    router = open_router(default_transport="smtp:[own]", virtual_transport="lmtp:unix:private/dovecot-lmtp")
    assert (await router.resolve("", "x@far.example")).nexthop == "[own]"
    found = await router.resolve("", "x@v.example.com")
    assert (found.transport, found.nexthop) == ("lmtp", "unix:private/dovecot-lmtp")


async def test_relocated_users_bounce_with_their_new_address(open_router: OpenRouter) -> None:
    router = open_router(relocated_maps="inline:{moved@example.com=new@x.example}")
    found = await router.resolve("", "moved+x@example.com")
    assert (found.transport, found.nexthop) == ("error", "5.1.6 User has moved to new@x.example")


async def test_a_domain_in_two_classes_is_warned_about_once(open_router: OpenRouter, sink: MemorySink) -> None:
    router = open_router(virtual_mailbox_domains="example.com", virtual_alias_domains="v.example")
    for _ in range(2):
        await router.resolve("", "joe@example.com")
    text = "do not list domain example.com in BOTH mydestination and virtual_mailbox_domains"
    assert sink.lines == [f"postfix/trivial-rewrite: warning: {text}"]


async def test_a_table_that_cannot_be_asked_is_told(open_router: OpenRouter) -> None:
    with pytest.raises(TableRetry):
        await open_router(transport_maps="hash:/nonexistent/transport").resolve("", "joe@example.com")


UNLISTED = [
    ("joe@example.com", None),
    ("jim@example.com", "User unknown in local recipient table"),
    ("joe@v.example.com", None),
    ("jim@v.example.com", "User unknown in virtual mailbox table"),
    ("q@va.example", None),
    ("p@va.example", "User unknown in virtual alias table"),
    ("joe@rl.example", None),
    ("jim@rl.example", "User unknown in relay recipient table"),
    ("anybody@far.example", None),
    ("double-bounce@example.com", None),
    ("canon@example.com", None),
]


@pytest.mark.parametrize(("address", "text"), UNLISTED)
async def test_who_exists(open_router: OpenRouter, address: str, text: str | None) -> None:
    router = open_router(
        local_recipient_maps="inline:{joe=x}",
        virtual_mailbox_maps="inline:{joe@v.example.com=x}",
        virtual_alias_domains="va.example",
        virtual_alias_maps="inline:{q@va.example=z}",
        relay_recipient_maps="inline:{joe@rl.example=x}",
        canonical_maps="inline:{canon@example.com=joe@far.example}",
    )
    found = await router.unlisted(address)
    assert (found.text if found is not None else None) == text
    if found is not None:
        assert (found.code, found.status) == (550, "5.1.1")


@pytest.mark.parametrize("address", ["-f@example.com", "-f%example.com@example.com", "-f@else.test"])
async def test_an_address_that_could_be_taken_for_an_option_goes_nowhere(open_router: OpenRouter, address: str) -> None:
    resolution = await open_router().resolve("", address)
    assert (resolution.transport, resolution.nexthop) == ("error", "5.1.3 bad address syntax")


async def test_allow_min_user_lets_it_through(open_router: OpenRouter) -> None:
    assert (await open_router(allow_min_user="yes").resolve("", "-f@example.com")).transport == "local"


@pytest.mark.parametrize("address", ["u%other.test@rl.example", "other.test!u@rl.example", "u@other.test@rl.example"])
async def test_a_place_behind_a_relayed_domain_is_seen(open_router: OpenRouter, address: str) -> None:
    assert (await open_router().resolve("", address)).routed
    plain = open_router(allow_percent_hack="no", swap_bangpath="no", resolve_dequoted_address="no")
    assert not (await plain.resolve("", address)).routed
    assert not (await open_router().resolve("", "u+x@rl.example")).routed


@pytest.mark.parametrize(
    ("protocols", "domain", "local"),
    [
        ("all", "[IPv6:::1]", True),
        ("all", "[IPV6:0:0::1]", True),
        ("all", "[127.0.0.1]", True),
        ("ipv4", "[IPv6:::1]", False),
        ("ipv6", "[127.0.0.1]", False),
    ],
)
async def test_literals_of_this_machine_are_local_when_inet_protocols_has_their_family(
    open_router: Callable[..., Router], protocols: str, domain: str, local: bool
) -> None:
    router = open_router(inet_protocols=protocols, inet_interfaces="127.0.0.1, [::1]")
    assert ((await router.classify(f"u@{domain}"))[0] is AddressClass.LOCAL) is local
