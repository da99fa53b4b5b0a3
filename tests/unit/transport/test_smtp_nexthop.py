"""Nexthop forms, as transport(5) and relayhost have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.transport.smtp.nexthop import Nexthop, NexthopError, parse_nexthop
from posthouse.transport.smtp.settings import lmtp_name
from posthouse.transport.smtp.tls_policy import name_matches, policy_keys

FORMS = [
    ("example.com", False, [Nexthop("example.com", "example.com", 25, use_mx=True)]),
    ("example.com:587", False, [Nexthop("example.com:587", "example.com", 587, use_mx=True)]),
    ("[h.example]", False, [Nexthop("[h.example]", "h.example", 25)]),
    ("[h.example]:submission", False, [Nexthop("[h.example]:submission", "h.example", 587)]),
    ("[::1]:2525", False, [Nexthop("[::1]:2525", "::1", 2525)]),
    ("[IPv6:::1]", False, [Nexthop("[IPv6:::1]", "::1", 25)]),
    ("[IPV6:::1]", False, [Nexthop("[IPV6:::1]", "::1", 25)]),
    ("a, b:26", False, [Nexthop("a", "a", 25, use_mx=True), Nexthop("b:26", "b", 26, use_mx=True)]),
    ("unix:private/lmtp", True, [Nexthop("unix:private/lmtp", path="private/lmtp")]),
    ("inet:[127.0.0.1]:24", True, [Nexthop("inet:[127.0.0.1]:24", "127.0.0.1", 24)]),
    ("inet:h:24", True, [Nexthop("inet:h:24", "h", 24)]),
    ("h", True, [Nexthop("h", "h", 25)]),
]


@pytest.mark.parametrize(("text", "lmtp", "expected"), FORMS)
def test_forms(text, lmtp, expected):
    assert parse_nexthop(text, 25, lmtp=lmtp) == expected


@pytest.mark.parametrize("text", ["", "[h", "[h]x", "h:0", "h:99999", ":25", "[]", "h:nosuchservice"])
def test_nonsense_is_refused(text):
    with pytest.raises(NexthopError):
        parse_nexthop(text, 25)


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_a_nexthop_or_a_clean_error(text, lmtp):
    try:
        parse_nexthop(text, 25, lmtp=lmtp)
    except NexthopError:
        pass


def test_policy_keys_are_the_nexthop_then_its_parents():
    assert policy_keys(parse_nexthop("a.b.example:26", 25)[0]) == [
        "a.b.example:26",
        "a.b.example",
        ".b.example",
        ".example",
    ]
    assert policy_keys(parse_nexthop("[a.example]:26", 25)[0]) == ["[a.example]:26", "[a.example]"]


@pytest.mark.parametrize(
    ("wanted", "name", "fits"),
    [
        ("a.example", "a.example", True),
        ("a.b.example", "*.b.example", True),
        ("a.a.b.example", "*.b.example", False),
        ("example", "*", False),
        ("a.example", "*.example", False),
        (".b.example", "a.b.example", True),
        (".b.example", "b.example", False),
    ],
)
def test_names_in_certificates(wanted, name, fits):
    if (wanted, name) == ("a.example", "*.example"):
        fits = False  # a wildcard over a whole top-level domain is no name of a host
    assert name_matches(wanted, name) is fits


def test_lmtp_reads_its_own_parameters():
    assert lmtp_name("smtp_tls_CAfile") == "lmtp_tls_CAfile"
    assert lmtp_name("smtp_helo_timeout") == "lmtp_lhlo_timeout"
    assert lmtp_name("smtp_always_send_ehlo") == "smtp_always_send_ehlo"
    assert lmtp_name("myhostname") == "myhostname"
