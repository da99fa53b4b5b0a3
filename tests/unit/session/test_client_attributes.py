"""What XCLIENT and XFORWARD say of a client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.session.smtp.attributes import is_port, parse_address, parse_attributes
from posthouse.wire.smtp.ehlo import XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES
from posthouse.wire.smtp.reply import Reply


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("01.2.3.4", "1.2.3.4"),
        ("IPv6:2001:DB8::0:1", "2001:db8::1"),
        ("ipv6:::1", "::1"),
        ("2001:db8::1", None),
        ("IPv6:192.0.2.1", None),
        ("192.0.2.256", None),
        ("mail.example", None),
        ("", None),
    ],
)
def test_an_address_is_one_or_none(value: str, expected: str | None) -> None:
    assert parse_address(value) == expected


def test_without_ipv6_there_is_no_such_address() -> None:
    assert parse_address("IPv6:::1", ipv6=False) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", True),
        ("70000", True),
        ("123456", False),
        ("-1", False),
        ("\u00b2", False),
        ("", False),
        ("9" * 5000, False),
    ],
)
def test_a_port_is_five_digits_at_most(value: str, expected: bool) -> None:
    assert is_port(value) is expected


def xclient(argument: str) -> dict[str, str | None] | str:
    found = parse_attributes("XCLIENT", argument, XCLIENT_ATTRIBUTES, ipv6=True)
    return " ".join(found.lines()) if isinstance(found, Reply) else found


def xforward(argument: str) -> dict[str, str | None] | str:
    found = parse_attributes("XFORWARD", argument, XFORWARD_ATTRIBUTES, ipv6=True)
    return " ".join(found.lines()) if isinstance(found, Reply) else found


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", "501 5.5.4 Syntax: XCLIENT attribute=value..."),
        ("NAME", "501 5.5.4 Error: attribute=value expected"),
        ("NAME=", "501 5.5.4 Error: attribute=value expected"),
        ("foo=x", "501 5.5.4 Bad XCLIENT attribute name: foo"),
        ("NAME=a..b", "501 5.5.4 Bad NAME syntax: a..b"),
        ("NAME=1.2.3.4", "501 5.5.4 Bad NAME syntax: 1.2.3.4"),
        (f"HELO={'x' * 300}", "501 5.5.4 Error: attribute value too long"),
        ("PROTO=[UNAVAILABLE]", "501 5.5.4 Bad PROTO syntax: [UNAVAILABLE]"),
        ("PORT=[TEMPUNAVAIL]", "501 5.5.4 Bad PORT syntax: [TEMPUNAVAIL]"),
        ("name=[tempunavail] reverse_name=[UNAVAILABLE]", {"NAME": None, "REVERSE_NAME": None}),
        ("NAME=x.test NAME=foo+2Ebar PROTO=smtp", {"NAME": "foo.bar", "PROTO": "SMTP"}),
        ("LOGIN=a+20b HELO=a+0Ab", {"LOGIN": "a b", "HELO": "a?b"}),
    ],
)
def test_xclient_is_understood_as_by_postfix(argument: str, expected: dict[str, str | None] | str) -> None:
    assert xclient(argument) == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("NAME=[TEMPUNAVAIL]", "501 5.5.4 Bad NAME syntax: [TEMPUNAVAIL]"),
        ("SOURCE=x", "501 5.5.4 Bad SOURCE syntax: x"),
        (f"PROTO={'x' * 70}", f"501 5.5.4 Bad PROTO syntax: {'x' * 70}"),
        ("PROTO=[UNAVAILABLE] IDENT=a+20b+0Ac source=local", {"PROTO": None, "IDENT": "a?b?c", "SOURCE": "LOCAL"}),
    ],
)
def test_xforward_is_understood_as_by_postfix(argument: str, expected: dict[str, str | None] | str) -> None:
    assert xforward(argument) == expected


@given(st.text(), st.sampled_from(XCLIENT_ATTRIBUTES))
def test_any_argument_is_understood_or_refused(text: str, name: str) -> None:
    for argument in (text, f"{name}={text}"):
        found = xclient(argument)
        assert isinstance(found, str) or set(found) <= set(XCLIENT_ATTRIBUTES)
