"""Access tables: where they are looked up, and what their rows do."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.policy.access_keys import address_keys, domain_keys, mail_keys
from posthouse.policy.facts import Subject
from posthouse.tables.table import drive


def test_a_name_is_asked_with_its_parents() -> None:
    assert list(domain_keys("Mail.Example.COM", parents_match=True)) == ["mail.example.com", "example.com", "com"]
    assert list(domain_keys("mail.example.com", parents_match=False)) == ["mail.example.com", ".example.com", ".com"]


def test_an_address_is_asked_with_its_networks() -> None:
    assert list(address_keys("192.0.2.1")) == ["192.0.2.1", "192.0.2", "192.0", "192"]
    assert list(address_keys("2001:db8::1")) == ["2001:db8::1", "2001:db8", "2001"]


def test_a_mail_address_is_asked_with_and_without_extension() -> None:
    assert list(mail_keys("Joe+x@mail.example.com", "+", parents_match=True)) == [
        "joe+x@mail.example.com",
        "joe@mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
        "joe+x@",
        "joe@",
    ]


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("OK", "ok"),
        ("1234", "ok"),
        ("DUNNO", "ok"),
        ("REJECT", "554 5.7.1 <a@good.example>: Sender address rejected: Access denied"),
        ("reject go away", "554 5.7.1 <a@good.example>: Sender address rejected: go away"),
        ("REJECT 5.7.99 go away", "554 5.7.99 <a@good.example>: Sender address rejected: go away"),
        ("DEFER", "450 4.7.1 <a@good.example>: Sender address rejected: Access denied"),
        ("550", "ok"),
        ("550 5.1.1 no", "550 5.1.7 <a@good.example>: Sender address rejected: no"),
        ("check_policy_service inet:127.0.0.1:9", "451 4.3.5 Server configuration error"),
        ("550 no", "550 5.7.1 <a@good.example>: Sender address rejected: no"),
        ("421 4.7.0 bye", "421 4.7.0 <a@good.example>: Sender address rejected: bye"),
        ("DEFER_IF_PERMIT", "450 4.7.1 <a@good.example>: Sender address rejected: Service unavailable"),
        ("warn_if_reject reject", "ok"),
        ("permit", "ok"),
        ("FOO", "451 4.3.5 Server configuration error"),
    ],
)
async def test_what_a_row_does(house: Any, action: str, reply: str) -> None:
    one = house(smtpd_sender_restrictions=f"check_sender_access inline:{{ {{ good.example = {action} }} }}")
    assert await one.send() == reply


@pytest.mark.parametrize(
    ("action", "field", "value", "line"),
    [
        ("HOLD", "hold", "<a@good.example>: Sender address triggers HOLD action",
         ("hold", "RCPT", "<a@good.example>: Sender address triggers HOLD action")),
        ("DISCARD", "discard", "<a@good.example>: Sender address triggers DISCARD action",
         ("discard", "RCPT", "<a@good.example>: Sender address triggers DISCARD action")),
        ("REDIRECT b@example.com", "redirect", "b@example.com",
         ("redirect", "RCPT", "<a@good.example>: Sender address triggers REDIRECT b@example.com")),
        ("FILTER smtp:[127.0.0.1]:10025", "content_filter", "smtp:[127.0.0.1]:10025",
         ("filter", "RCPT", "<a@good.example>: Sender address triggers FILTER smtp:[127.0.0.1]:10025")),
        ("BCC b@example.com", "bcc", ("b@example.com",),
         ("bcc", "RCPT", "<a@good.example>: Sender address triggers BCC b@example.com")),
        ("PREPEND X-A: b", "prepend", (b"X-A: b",), None),
        ("WARN look", "hold", "", ("warn", "RCPT", "look")),
        ("INFO look", "hold", "", ("info", "RCPT", "look")),
    ],
)  # fmt: skip
async def test_rows_that_mark_the_message(house: Any, action: str, field: str, value: object, line: object) -> None:
    one = house(smtpd_sender_restrictions=f"check_sender_access inline:{{ {{ good.example = {action} }} }}")
    assert await one.send() == "ok"
    assert getattr(one.session.handling, field) == value
    assert one.log == ([line] if line else [])


async def test_a_refused_recipient_marks_nothing(house: Any) -> None:
    one = house(smtpd_recipient_restrictions="check_recipient_access inline:{nosuch@=HOLD}")
    assert (await one.send(recipient="nosuch@example.com")).startswith("550")
    assert one.session.handling.hold == ""


@pytest.mark.parametrize("action", ["HOLD why", "DISCARD", "FILTER smtp:x", "REDIRECT a@b.test", "BCC a@b.test"])
async def test_actions_on_queued_mail_are_unavailable_before_a_filter(house: Any, action: str) -> None:
    one = house(
        smtpd_proxy_filter="127.0.0.1:10025",
        smtpd_recipient_restrictions=f"check_recipient_access static:{{{action}}}, reject",
    )
    assert (await one.send()).startswith("554")
    told = f"with smtpd_proxy_filter specified, action {action.split()[0]} is unavailable"
    assert [warning for warning in one.warnings if warning.endswith(told)] == one.warnings != []
    assert one.log == []


@pytest.mark.parametrize(
    ("action", "warning"),
    [
        ("FILTER", 'access table {} entry "good.example" has FILTER entry without value'),
        ("FILTER smtp", 'access table {} entry "good.example" requires transport:destination'),
        ("REDIRECT joe", 'access table {} entry "good.example" requires user@domain target'),
        ("PREPEND nonsense", 'access table {} entry "good.example" requires header: text'),
    ],
)
async def test_a_row_that_makes_no_sense_is_warned_about(house: Any, action: str, warning: str) -> None:
    table = f"inline:{{ {{ good.example = {action} }} }}"
    one = house(smtpd_sender_restrictions=f"check_sender_access {table}")
    assert await one.send() == "ok"
    assert one.warnings == [warning.format(table)]


async def test_the_client_is_asked_by_name_and_by_address(house: Any) -> None:
    named = house(
        "192.0.2.9", "a.good.example", smtpd_client_restrictions="check_client_access inline:{good.example=REJECT}"
    )
    assert (await named.send()).startswith("554 5.7.1 <a.good.example[192.0.2.9]>: Client host rejected")
    address = house(smtpd_client_restrictions="check_client_access inline:{192.0.2=REJECT}")
    assert (await address.send()).startswith("554 5.7.1 <unknown[192.0.2.9]>: Client host rejected")


async def test_the_null_path_has_a_key_of_its_own(house: Any) -> None:
    one = house(smtpd_sender_restrictions="check_sender_access inline:{<>=REJECT}")
    assert await one.send("") == "554 5.7.1 <>: Sender address rejected: Access denied"


async def test_the_servers_of_a_domain(house: Any) -> None:
    mx = house(smtpd_sender_restrictions="check_sender_mx_access inline:{192.0.2.25=REJECT}")
    assert (await mx.send()).startswith("554 5.7.1 <a@good.example>: Sender address rejected")
    ns = house(smtpd_sender_restrictions="check_sender_ns_access inline:{evil.example=REJECT}")
    assert (await ns.send("a@sub.good.example")).startswith("554 5.7.1 <a@sub.good.example>: Sender")
    ok = house(smtpd_sender_restrictions="check_sender_mx_access inline:{192.0.2.25=OK}, reject")
    assert (await ok.send()).startswith("554")
    assert ok.warnings[0] == "restriction check_sender_mx_access returns OK for a@good.example"


async def test_a_login_is_asked(house: Any) -> None:
    one = house(smtpd_recipient_restrictions="check_sasl_access inline:{joe=REJECT}")
    assert await one.send() == "ok"
    one.session.authenticated("joe", "PLAIN", "")
    assert await one.send() == "554 5.7.1 <joe>: SASL login name rejected: Access denied"


async def test_a_row_that_asks_its_own_table_ends(house: Any) -> None:
    one = house(
        smtpd_restriction_classes="again",
        again="check_sender_access inline:{good.example=again}",
        smtpd_sender_restrictions="again",
    )
    assert await one.send() == "451 4.3.5 Server configuration error"
    assert "causes unreasonable recursion" in one.warnings[0]


async def test_a_table_that_cannot_be_asked_is_a_configuration_error(house: Any) -> None:
    one = house(smtpd_sender_restrictions="check_sender_access hash:/nonexistent/access")
    assert await one.send() == "451 4.3.5 <a@good.example>: Sender address rejected: Server configuration error"
    assert one.warnings == ['hash:/nonexistent/access lookup error for "a@good.example"']


WORDS = st.sampled_from(
    [
        "permit",
        "reject",
        "defer",
        "warn_if_reject",
        "defer_if_reject",
        "defer_if_permit",
        "check_sender_access",
        "inline:{a=b}",
        "{",
        "}",
        "static:x",
        "check_policy_service",
        "inet:h:1",
        "reject_rbl_client",
        "bl.example",
        "sleep",
        "1",
        "REJECT",
        "HOLD",
        "FILTER",
        "550",
        "5.1.1",
        ":",
        "=",
        ",",
        "x@y",
    ]
)


@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=6).map(" ".join)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_any_list_is_parsed_or_refused(house: Any, text: str) -> None:
    try:
        house(smtpd_client_restrictions=text)
    except ConfigError as error:
        assert error.text


@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=4).map(" ".join)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_any_row_gives_a_verdict(house: Any, value: str) -> None:
    if any(word in value for word in ("sleep", "check_policy", "inet", "bl.example")):
        return
    one = house()
    actions = one.stages.parser.actions
    facts = one.session.facts
    verdict = drive(actions.act(value, "inline:{}", "key", facts, Subject("a", "Sender address"), fact="x"))
    assert verdict.code == 0 or 400 <= verdict.code <= 599
