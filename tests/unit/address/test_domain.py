import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from posthouse.address.domain import is_domain, is_hostname, is_ipv6, literal_address, parents


def test_host_names() -> None:
    for name in ("a", "mail.example.com", "_dmarc.example", "xn--e1afmkfd.example", "пример.example", "1.example"):
        assert is_hostname(name), name
    for name in (
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.b",
        "a-.b",
        "1.2.3.4",
        "a b",
        "x" * 64 + ".example",
        "a." * 128 + "a",
    ):
        assert not is_hostname(name), name


def test_literals() -> None:
    assert literal_address("[192.0.2.1]") == "192.0.2.1"
    assert literal_address("[IPv6:2001:db8::1]") == "2001:db8::1"
    for text in ("[300.1.1.1]", "[::1]", "[IPv6:1:2]", "192.0.2.1", "[x]"):
        assert literal_address(text) is None
    assert is_domain("[192.0.2.1]")
    assert not is_domain("[]")


def test_parents_nearest_first() -> None:
    assert parents("a.b.example") == ["b.example", "example"]


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_is_one(address: ipaddress.IPv6Address) -> None:
    assert is_ipv6(str(address))
    assert is_ipv6(address.exploded)


@given(st.text("0123456789abcdef:.", max_size=40))
def test_nothing_else_is_one(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        expected = False
    else:
        expected = True
    assert is_ipv6(text) == expected
