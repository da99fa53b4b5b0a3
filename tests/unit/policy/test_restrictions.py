"""Single restrictions: names, domains, logins, DNS lists, in Postfix's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.policy.restrictions.dnsbl import parse_filter, parse_site, passes


@pytest.mark.parametrize(
    ("word", "helo", "reply"),
    [
        ("reject_non_fqdn_helo_hostname", "c", "504 5.5.2 <c>: Helo command rejected: need fully-qualified hostname"),
        ("reject_non_fqdn_hostname", "c", "504 5.5.2 <c>: Helo command rejected: need fully-qualified hostname"),
        ("reject_non_fqdn_helo_hostname", "[192.0.2.9]", "ok"),
        ("reject_invalid_helo_hostname", "a..b", "501 5.5.2 <a..b>: Helo command rejected: Invalid name"),
        ("reject_invalid_helo_hostname", "[1.2.3]", "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"),
        ("reject_invalid_helo_hostname", "c", "ok"),
        ("reject_unknown_helo_hostname", "no.example", "450 4.7.1 <no.example>: Helo command rejected: Host not found"),
        ("reject_unknown_helo_hostname", "retry.example",
         "450 4.7.1 <retry.example>: Helo command rejected: Host not found"),
        ("reject_unknown_helo_hostname", "good.example", "ok"),
        ("reject_rhsbl_helo rhs.example", "good.example", "554 5.7.1 Service unavailable; Helo command [good.example] "
         "blocked using rhs.example"),
    ],
)  # fmt: skip
async def test_helo(house: Any, word: str, helo: str, reply: str) -> None:
    one = house(smtpd_helo_restrictions=word)
    one.session.facts.helo = helo
    assert await one.send() == reply


@pytest.mark.parametrize(
    ("word", "sender", "reply"),
    [
        ("reject_non_fqdn_sender", "a", "504 5.5.2 <a>: Sender address rejected: need fully-qualified address"),
        ("reject_non_fqdn_sender", "a@b", "504 5.5.2 <a@b>: Sender address rejected: need fully-qualified address"),
        ("reject_non_fqdn_sender", "a@[192.0.2.1]", "ok"),
        ("reject_non_fqdn_sender", "", "ok"),
        ("reject_unknown_sender_domain", "a@no.example",
         "450 4.1.8 <a@no.example>: Sender address rejected: Domain not found"),
        ("reject_unknown_sender_domain", "a@retry.example",
         "450 4.1.8 <a@retry.example>: Sender address rejected: Domain not found"),
        ("reject_unknown_sender_domain", "a@null.example",
         "550 5.7.27 <a@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)"),
        ("reject_unknown_sender_domain", "a@good.example", "ok"),
        ("reject_unknown_sender_domain", "a@example.com", "ok"),
        ("reject_unknown_sender_domain", "", "ok"),
    ],
)  # fmt: skip
async def test_sender(house: Any, word: str, sender: str, reply: str) -> None:
    assert await house(smtpd_sender_restrictions=word).send(sender) == reply


async def test_a_domain_that_cannot_be_asked_now_can_be_made_to_defer_at_once(house: Any) -> None:
    settings = {
        "smtpd_sender_restrictions": "reject_unknown_sender_domain",
        "unknown_address_tempfail_action": "defer",
        "unknown_address_reject_code": "550",
    }
    assert (await house(**settings).send("a@retry.example", "nosuch@example.com")).startswith("450 4.1.8")
    assert (await house(**settings).send("a@no.example")).startswith("550 5.1.8")


async def test_recipient_domains(house: Any) -> None:
    settings = {
        "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, reject_unknown_recipient_domain",
        "mynetworks": "192.0.2.0/24",
    }
    assert await house(**settings).send(recipient="postmaster") == "ok"
    assert (await house(**settings).send(recipient="x")).startswith("504 5.5.2 <x>: Recipient address rejected")
    assert await house(**settings).send(recipient="x@no.example") == (
        "450 4.1.2 <x@no.example>: Recipient address rejected: Domain not found"
    )
    assert (await house(**settings).send(recipient="x@null.example")).startswith("556 5.1.10 <x@null.example>")


async def test_client_names(house: Any) -> None:
    word = {"smtpd_client_restrictions": "reject_unknown_client_hostname", "unknown_client_reject_code": "550"}
    assert await house("192.0.2.1", **word).send() == (
        "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"
    )
    assert await house("192.0.2.1", "mail.good.example", **word).send() == "ok"
    reverse = {"smtpd_client_restrictions": "reject_unknown_reverse_client_hostname"}
    assert await house("192.0.2.1", **reverse).send() == (
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"
    )


async def test_dns_lists(house: Any) -> None:
    blocked = "554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.example; listed for a test"
    assert await house(smtpd_client_restrictions="reject_rbl_client bl.example").send() == blocked
    assert await house(smtpd_client_restrictions="reject_rbl_client bl.example=127.0.0.[2..11]").send() == blocked
    assert await house(smtpd_client_restrictions="reject_rbl_client bl.example=127.0.0.3").send() == "ok"
    assert await house("192.0.2.8", smtpd_client_restrictions="reject_rbl_client bl.example").send() == "ok"
    sender = await house(smtpd_sender_restrictions="reject_rhsbl_sender rhs.example").send()
    assert sender == "554 5.7.1 Service unavailable; Sender address [good.example] blocked using rhs.example"


async def test_a_good_list_permits_but_never_past_relay_control(house: Any) -> None:
    lists = {"smtpd_recipient_restrictions": "permit_dnswl_client wl.example, reject"}
    assert await house(**lists).send() == "ok"
    relay = {"smtpd_relay_restrictions": "permit_dnswl_client wl.example, reject_unauth_destination"}
    assert (await house(**relay).send(recipient="x@elsewhere.example")).startswith("554 5.7.1")


async def test_sender_logins(house: Any) -> None:
    settings = {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sender_login_maps": "inline:{joe@v.example.com=joe, ann@v.example.com=ann}",
        "smtpd_recipient_restrictions": "reject_sender_login_mismatch",
    }
    assert await house(**settings).send("joe@v.example.com") == (
        "553 5.7.1 <joe@v.example.com>: Sender address rejected: not logged in"
    )
    joe = house(**settings)
    joe.session.authenticated("joe", "PLAIN", "")
    assert await joe.send("joe@v.example.com") == "ok"
    for sender in ("ann@v.example.com", "x@elsewhere.example"):
        assert await joe.send(sender) == f"553 5.7.1 <{sender}>: Sender address rejected: not owned by user joe"
    settings["smtpd_recipient_restrictions"] = "reject_known_sender_login_mismatch"
    known = house(**settings)
    known.session.authenticated("joe", "PLAIN", "")
    assert await known.send("x@elsewhere.example") == "ok"
    assert (await known.send("ann@v.example.com")).startswith("553 5.7.1")


async def test_sender_logins_mean_nothing_without_sasl(house: Any) -> None:
    one = house(smtpd_recipient_restrictions="reject_sender_login_mismatch")
    assert await one.send() == "ok"
    assert one.warnings == ["restriction `reject_sender_login_mismatch' ignored: no SASL support"]


async def test_a_bounce_for_several_recipients_is_refused(house: Any) -> None:
    one = house(smtpd_data_restrictions="reject_multi_recipient_bounce")
    assert await one.send("") == "ok"
    assert (await one.session.data()).code == 0
    await one.session.rcpt("ann@example.com")
    verdict = await one.session.data()
    assert (verdict.code, verdict.status, verdict.text) == (
        550,
        "5.5.3",
        "<DATA>: Data command rejected: Multi-recipient bounce",
    )


async def test_pipelining_before_data_is_improper(house: Any) -> None:
    one = house(smtpd_data_restrictions="reject_unauth_pipelining")
    await one.send()
    assert (await one.session.data()).code == 0
    one.session.facts.pipelined = True
    verdict = await one.session.data()
    assert (verdict.code, verdict.status) == (503, "5.5.0")
    assert verdict.text == "<DATA>: Data command rejected: Improper use of SMTP command pipelining"


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("127.0.0.2", "127.0.0.2", True),
        ("127.0.0.[2..4;9]", "127.0.0.9", True),
        ("127.0.0.[2..4;9]", "127.0.0.5", False),
        ("127.[0;1].[0..255].2", "127.1.77.2", True),
    ],
)
def test_a_filter_takes_numbers_ranges_and_lists(pattern: str, address: str, expected: bool) -> None:
    assert passes(address, parse_filter(pattern)) is expected


@given(st.text(alphabet="0123456789.[];x=", max_size=30))
def test_any_site_is_parsed_or_refused(text: str) -> None:
    try:
        parse_site(text)
    except ValueError:
        pass
