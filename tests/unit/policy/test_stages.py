"""Restriction lists by stage, in Postfix's words."""

from typing import Any

import pytest

from posthouse.config.error import ConfigError
from posthouse.envelope.verdict import Action
from posthouse.net.stream import TlsInfo

DENIED = "554 5.7.1 <x@elsewhere.example>: Relay access denied"


async def test_the_defaults_defer_relaying_for_strangers(house: Any) -> None:
    assert await house().send(recipient="x@elsewhere.example") == (
        "454 4.7.1 <x@elsewhere.example>: Relay access denied"
    )


async def test_the_defaults_relay_for_mynetworks_and_logins(house: Any) -> None:
    assert await house("127.0.0.1").send(recipient="x@elsewhere.example") == "ok"
    login = house(smtpd_sasl_auth_enable="yes")
    login.session.authenticated("joe", "PLAIN", "")
    assert await login.send(recipient="x@elsewhere.example") == "ok"


@pytest.mark.parametrize("recipient", ["joe@example.com", "joe@v.example.com", "x@relay.example", "joe"])
async def test_our_own_domains_and_relay_domains_are_taken(house: Any, recipient: str) -> None:
    assert await house().send(recipient=recipient) == "ok"


async def test_an_unlisted_recipient_is_refused_even_for_mynetworks(house: Any) -> None:
    unknown = "550 5.1.1 <nosuch@example.com>: Recipient address rejected: User unknown in local recipient table"
    assert await house("127.0.0.1").send(recipient="nosuch@example.com") == unknown
    lenient = house("127.0.0.1", smtpd_reject_unlisted_recipient="no")
    assert await lenient.send(recipient="nosuch@example.com") == "ok"


async def test_an_unlisted_sender_is_refused_on_demand(house: Any) -> None:
    strict = house(smtpd_reject_unlisted_sender="yes")
    assert await strict.send("nosuch@example.com") == (
        "550 5.1.0 <nosuch@example.com>: Sender address rejected: User unknown in local recipient table"
    )


async def test_a_table_that_cannot_be_asked_defers(house: Any) -> None:
    assert await house().send(recipient="retry@example.com") == (
        "451 4.3.0 <retry@example.com>: Temporary lookup failure"
    )


async def test_the_mynetworks_answer_is_kept_and_dns_is_not_asked(house: Any) -> None:
    local = house("127.0.0.1")
    await local.send()
    assert local.session.facts.trusted == "mynetworks: 127.0.0.0/8"
    assert local.zone.asked == 0


async def test_refusals_wait_for_rcpt(house: Any) -> None:
    late = house(smtpd_client_restrictions="reject")
    session = late.session
    assert (await session.connect()).action is Action.DUNNO
    assert (await session.helo("c", True)).action is Action.DUNNO
    assert (await session.mail("a@good.example")).action is Action.DUNNO
    verdict = await session.rcpt("joe@example.com")
    assert (verdict.code, verdict.text) == (554, "<unknown[192.0.2.9]>: Client host rejected: Access denied")


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("client", "554 5.7.1 <unknown[192.0.2.9]>: Client host rejected: Access denied"),
        ("helo", "554 5.7.1 <client.good.example>: Helo command rejected: Access denied"),
        ("sender", "554 5.7.1 <a@good.example>: Sender address rejected: Access denied"),
        ("recipient", "554 5.7.1 <joe@example.com>: Recipient address rejected: Access denied"),
    ],
)
@pytest.mark.parametrize("delayed", ["yes", "no"])
async def test_each_list_has_its_words(house: Any, stage: str, reply: str, delayed: str) -> None:
    settings = {f"smtpd_{stage}_restrictions": "reject", "smtpd_delay_reject": delayed}
    assert await house(**settings).send() == reply


async def test_without_delay_a_client_is_refused_at_once(house: Any) -> None:
    verdict = await house(smtpd_client_restrictions="defer", smtpd_delay_reject="no").session.connect()
    assert (verdict.code, verdict.status) == (450, "4.3.2")


async def test_the_relay_list_comes_first_by_default(house: Any) -> None:
    settings = {"smtpd_recipient_restrictions": "reject", "smtpd_relay_restrictions": "reject_unauth_destination"}
    assert await house(**settings).send(recipient="x@elsewhere.example") == DENIED
    last = house(**settings, smtpd_relay_before_recipient_restrictions="no")
    assert (await last.send(recipient="x@elsewhere.example")).endswith("Recipient address rejected: Access denied")


async def test_data_and_end_of_data_lists(house: Any) -> None:
    data = house(smtpd_data_restrictions="reject")
    assert await data.send() == "ok"
    assert (await data.session.data()).text == "<DATA>: Data command rejected: Access denied"
    end = house(smtpd_end_of_data_restrictions="defer")
    assert await end.send() == "ok"
    assert (await end.session.end_of_data(10)).text == "<END-OF-MESSAGE>: End-of-data rejected: Try again later"


async def test_etrn_waits_for_the_client_list(house: Any) -> None:
    etrn = house(smtpd_client_restrictions="permit_mynetworks, reject")
    assert (await etrn.session.etrn("example.com")).text == "<unknown[192.0.2.9]>: Client host rejected: Access denied"
    own = house(smtpd_etrn_restrictions="check_etrn_access inline:{example.com=OK}, reject").session
    assert (await own.etrn("example.com")).action is Action.PERMIT
    assert (await own.etrn("other.example")).text == "<other.example>: Etrn command rejected: Access denied"


async def test_vrfy_says_what_rcpt_would(house: Any) -> None:
    session = house().session
    assert (await session.vrfy("nosuch@example.com")).code == 550
    assert (await session.vrfy("joe@example.com")).action is Action.PERMIT


async def test_defer_if_permit_counts_only_when_nothing_refuses(house: Any) -> None:
    settings = {"smtpd_client_restrictions": "defer_if_permit"}
    assert await house(**settings).send() == (
        "450 4.7.0 <unknown[192.0.2.9]>: Client host rejected: defer_if_permit requested"
    )
    # Postfix: what defer_if_permit left comes before the unlisted recipient, but after every list.
    assert (await house(**settings).send(recipient="nosuch@example.com")).startswith("450 4.7.0")
    assert (await house(**settings).send(recipient="x@elsewhere.example")).startswith("454 4.7.1")
    early = house(**settings, smtpd_delay_reject="no")
    assert (await early.send()).startswith("450 4.7.0")


async def test_defer_if_reject_makes_a_refusal_temporary(house: Any) -> None:
    settings = {"smtpd_recipient_restrictions": "defer_if_reject, reject"}
    assert await house(**settings).send() == (
        "450 4.7.0 <joe@example.com>: Recipient address rejected: defer_if_reject requested"
    )
    assert await house(smtpd_recipient_restrictions="defer_if_reject").send() == "ok"
    unlisted = house(smtpd_sender_restrictions="defer_if_reject")
    assert (await unlisted.send(recipient="nosuch@example.com")).startswith("550 5.1.1")


async def test_warn_if_reject_only_logs(house: Any) -> None:
    warned = house(smtpd_recipient_restrictions="warn_if_reject reject, permit")
    assert await warned.send() == "ok"
    assert warned.log == [
        ("reject_warning", "RCPT", "554 5.7.1 <joe@example.com>: Recipient address rejected: Access denied")
    ]


async def test_a_class_is_a_list_of_its_own(house: Any) -> None:
    settings = {
        "smtpd_restriction_classes": "greedy",
        "greedy": "check_sender_access inline:{ { good.example = REJECT no greed } }",
        "smtpd_recipient_restrictions": "greedy",
    }
    assert await house(**settings).send() == "554 5.7.1 <a@good.example>: Sender address rejected: no greed"
    verdict = await house(**settings).session.mail("b@other.example")
    assert verdict.action is Action.DUNNO


async def test_the_evidence_tells_parameter_origin_word_and_fact(house: Any) -> None:
    one = house(smtpd_recipient_restrictions="check_sender_access inline:{good.example=REJECT}")
    await one.send()
    verdict = await one.session.rcpt("joe@example.com")
    (evidence,) = verdict.evidence
    assert (evidence.parameter, evidence.origin) == ("smtpd_recipient_restrictions", "main.cf:7")
    assert evidence.restriction == "check_sender_access inline:{good.example=REJECT}"
    assert evidence.fact.endswith("good.example -> REJECT")


async def test_a_group_in_braces_is_read_as_its_words(house: Any) -> None:
    grouped = house(smtpd_recipient_restrictions="{ check_sender_access inline:{good.example=REJECT} }")
    assert (await grouped.send()).startswith("554 5.7.1 <a@good.example>")


@pytest.mark.parametrize("word", ["reject_unknown_sedner_domain", "reject_unverified_recipient"])
async def test_an_unknown_restriction_refuses_and_warns(house: Any, word: str) -> None:
    typo = house(smtpd_recipient_restrictions=word)
    assert await typo.send() == "451 4.3.5 Server configuration error"
    assert typo.stages.warnings == tuple(typo.warnings)
    assert word in typo.warnings[0]


async def test_the_unknown_restriction_warning_is_postfixs(house: Any) -> None:
    assert house(smtpd_recipient_restrictions="nonsense").stages.warnings == ('unknown smtpd restriction: "nonsense"',)


async def test_what_follows_a_final_word_is_told_to_be_ignored(house: Any) -> None:
    one = house(smtpd_client_restrictions="permit, reject_rbl_client bl.example")
    assert one.stages.warnings == ("restriction `reject_rbl_client' after `permit' is ignored",)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"smtpd_relay_restrictions": "permit", "smtpd_recipient_restrictions": "permit_mynetworks"},
            "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
            "instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
            "check_relay_domains",
        ),
        (
            {"smtpd_restriction_classes": "strict", "smtpd_recipient_restrictions": "strict, reject"},
            "restriction class `strict' needs a definition",
        ),
        (
            {"smtpd_client_restrictions": "check_policy_service foo"},
            'need service transport:endpoint instead of "foo"',
        ),
        (
            {"smtpd_client_restrictions": "check_policy_service { inet:127.0.0.1:1, foo=bar }"},
            'unknown option: "foo = bar"',
        ),
        (
            {"smtpd_client_restrictions": "check_policy_service { inet:127.0.0.1:1, default_action=DEFER not now }"},
            "malformed option: missing '=' after attribute name: \"...not...\"",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(house: Any, settings: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        house(**settings)
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("check_client_access /etc/access", 'check_client_access: bad argument "/etc/access": need maptype:mapname'),
        ("check_helo_mx_access", 'check_helo_mx_access: bad argument "check_helo_mx_access": need maptype:mapname'),
        ("check_policy_service", "check_policy_service must be followed by transport:server"),
        ("sleep x", "sleep must be followed by number"),
        ("sleep", "sleep must be followed by number"),
    ],
)
async def test_a_restriction_without_its_argument_refuses_mail_and_says_why(house: Any, words: str, text: str) -> None:
    one = house(smtpd_recipient_restrictions=f"reject_unauth_destination, {words}")
    assert await one.send() == "451 4.3.5 Server configuration error"
    assert one.warnings == [f"restriction {text}"]


async def test_a_dns_list_without_a_domain_passes_mail_with_a_warning(house: Any) -> None:
    one = house(smtpd_client_restrictions="reject_rbl_client")
    assert await one.send() == "ok"
    assert one.warnings == ["restriction reject_rbl_client requires domain name argument"]


async def test_reset_forgets_the_transaction_only(house: Any) -> None:
    one = house(smtpd_sasl_auth_enable="yes", smtpd_sender_restrictions="check_sender_access static:{HOLD x}")
    one.session.authenticated("joe", "PLAIN", "")
    await one.send()
    assert one.session.handling.hold == "<a@good.example>: Sender address x"
    one.session.reset()
    assert (one.session.handling.hold, one.session.facts.login) == ("", "joe")


async def test_starttls_forgets_the_helo_name(house: Any) -> None:
    one = house(smtpd_recipient_restrictions="reject_plaintext_session")
    assert await one.send() == "450 4.7.1 Session encryption is required"
    one.session.tls(TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256))
    assert one.session.facts.helo == ""
    assert await one.send() == "ok"


async def test_sleep_waits_on_the_given_clock(house: Any) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    assert await house(sleep=sleep, smtpd_client_restrictions="sleep 5").send() == "ok"
    assert slept == [5.0]
