"""What XCLIENT and XFORWARD say of a client."""

import pytest

from posthouse.session.smtp.xclient import decode_xtext, is_port, parse_address


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("IPv6:2001:DB8::0:1", "2001:db8::1"),
        ("ipv6:::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.256", None),
        ("mail.example", None),
        ("", None),
    ],
)
def test_an_address_is_one_or_none(value: str, expected: str | None) -> None:
    assert parse_address(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", True),
        ("65535", True),
        ("65536", False),
        ("-1", False),
        ("\u00b2", False),
        ("", False),
        ("9" * 5000, False),
    ],
)
def test_a_port_is_a_number_of_16_bits(value: str, expected: bool) -> None:
    assert is_port(value) is expected


def test_xtext_is_decoded() -> None:
    assert decode_xtext("a+2Bb+20c") == "a+b c"
