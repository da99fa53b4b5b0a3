"""PROXY headers, text and binary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.haproxy import SIGNATURE, ProxyHeader, ProxyHeaderError, parse_proxy_header

TEXT = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 25\r\n"
BINARY = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([1, 2, 3, 4, 5, 6, 7, 8]) + b"\x03\xe8\x00\x19"
BINARY6 = SIGNATURE + b"\x21\x21\x00\x24" + b"\0" * 15 + b"\1" + b"\0" * 15 + b"\2" + b"\x03\xe8\x00\x19"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TEXT, ProxyHeader(len(TEXT), "1.2.3.4", 1000, "5.6.7.8", 25)),
        (b"PROXY TCP6 ::1 ::2 1 2\r\n", ProxyHeader(24, "::1", 1, "::2", 2)),
        (b"PROXY UNKNOWN\r\n", ProxyHeader(15)),
        (BINARY, ProxyHeader(len(BINARY), "1.2.3.4", 1000, "5.6.7.8", 25)),
        (BINARY6, ProxyHeader(len(BINARY6), "::1", 1000, "::2", 25)),
        (SIGNATURE + b"\x20\x00\x00\x00", ProxyHeader(16)),
    ],
)
def test_a_header_is_read_however_it_is_cut(data: bytes, expected: ProxyHeader) -> None:
    assert parse_proxy_header(data + b"EHLO c\r\n") == expected
    for end in range(len(data)):
        assert parse_proxy_header(data[:end]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"EHLO c\r\n", "short protocol header"),
        (b"EHLO client.example.com\r\n", "unrecognized protocol header"),
        (b"proxy TCP4 1.2.3.4 1.2.3.5 1 2\r\n", "unrecognized protocol header"),
        (b"PROXY\r\n", "short protocol header"),
        (b"PROXY TCP9 ::1 ::2 1 2\r\n", "bad or missing protocol type"),
        (b"PROXY TCP4\r\n", "bad or missing client address"),
        (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", "bad or missing client address"),
        (b"PROXY TCP4 1.2.3.999 1.2.3.4 1 2\r\n", "bad or missing client address"),
        (b"PROXY TCP6 fe80::1%1 ::2 1 2\r\n", "bad or missing client address"),
        (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "bad or missing server address"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.5\r\n", "bad or missing client port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n", "bad or missing server port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "bad or missing server port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "missing protocol header terminator"),
        (b"PROXY " + b"x" * 200, "missing protocol header terminator"),
        (SIGNATURE + b"\x31\x11\x00\x0c", "unrecognized protocol version"),
        (SIGNATURE + b"\x22\x11\x00\x0c", "bad command in proxy header"),
        (SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12), "unsupported network protocol"),
        (SIGNATURE + b"\x21\x11\xff\xff", "protocol header too long"),
        (SIGNATURE + b"\x21\x11\x00\x01x", "short address field"),
    ],
)
def test_anything_else_is_an_error_in_postfixs_words(data: bytes, reason: str) -> None:
    with pytest.raises(ProxyHeaderError) as error:
        parse_proxy_header(data)
    assert str(error.value) == reason


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=80))
def test_any_bytes_give_a_header_none_or_an_error(start: bytes, data: bytes) -> None:
    try:
        header = parse_proxy_header(start + data)
    except ProxyHeaderError:
        return
    assert header is None or header.length <= len(start + data)
