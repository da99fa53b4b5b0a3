"""The test-kit's name server, asked without sockets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.testkit.dns_server import DnsServer, answer, parse_zones
from posthouse.wire.dns import NOERROR, NXDOMAIN, REFUSED, SERVFAIL, TC, Message, Question

ZONES = """
# comment
example.com  MX 10 mail.example.com
mail.example.com 77 A 192.0.2.1
*.wild.example A 192.0.2.2
a.deep.example A 192.0.2.3
broken.example SERVFAIL
closed.example REFUSED
silent.example SILENT
big.example TXT "%s"
""" % ("x" * 600)


def ask(name: str, rtype: str, *, tcp: bool = False) -> Message | None:
    return answer(parse_zones(ZONES), Message(1, questions=(Question(name, rtype),)), tcp=tcp)


@pytest.mark.parametrize(
    ("name", "rtype", "rcode", "data"),
    [
        ("example.com", "MX", NOERROR, ["mail.example.com"]),
        ("MAIL.example.com", "A", NOERROR, ["192.0.2.1"]),
        ("mail.example.com", "AAAA", NOERROR, []),
        ("x.wild.example", "A", NOERROR, ["192.0.2.2"]),
        ("deep.example", "A", NOERROR, []),
        ("nosuch.example", "A", NXDOMAIN, []),
        ("x.broken.example", "A", SERVFAIL, []),
        ("closed.example", "A", REFUSED, []),
    ],
)
def test_what_is_said(name: str, rtype: str, rcode: int, data: list[str]) -> None:
    message = ask(name, rtype)
    assert message is not None
    assert (message.rcode, [r.data for r in message.answers]) == (rcode, data)


def test_a_silent_name_is_not_answered() -> None:
    assert ask("silent.example", "A") is None


def test_a_large_answer_is_cut_over_udp_only() -> None:
    over_udp, over_tcp = ask("big.example", "TXT"), ask("big.example", "TXT", tcp=True)
    assert over_udp is not None and over_udp.flags & TC
    assert over_tcp is not None and len(over_tcp.answers[0].data) == 600


def test_a_bad_line_is_named() -> None:
    with pytest.raises(ValueError, match=r"zones, line 2: a\.example MX ten"):
        parse_zones("\na.example MX ten mail\n")


@given(st.binary(max_size=100))
def test_any_datagram_is_survived(data: bytes) -> None:
    DnsServer(ZONES).respond(data, "udp")
