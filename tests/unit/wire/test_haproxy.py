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
    "data",
    [
        b"EHLO c\r\n",
        b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        b"PROXY TCP4 1.2.3.999 1.2.3.4 1 2\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x31\x11\x00\x0c",
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\x00\x01x",
    ],
)
def test_anything_else_is_an_error(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=80))
def test_any_bytes_give_a_header_none_or_an_error(start: bytes, data: bytes) -> None:
    try:
        header = parse_proxy_header(start + data)
    except ProxyHeaderError:
        return
    assert header is None or header.length <= len(start + data)
