"""The PROXY protocol, versions 1 and 2: a load balancer says whose connection it hands on.

Standards: HAProxy's proxy-protocol.txt, sections 2.1 (text) and 2.2 (binary).
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

TEXT_LIMIT = 107
"""Bytes of a version 1 header at most (section 2.1)."""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BINARY_LIMIT = 16 + 1024
"""Bytes of a version 2 header that we take: addresses and a few extensions."""
SIZES = {1: 4, 2: 16}
"""Bytes of an address by family: AF_INET, AF_INET6."""

# proxy-protocol.txt section 2.1: "PROXY" SP ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port CRLF
_TEXT = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
_TEXT_UNKNOWN = re.compile(rb"PROXY UNKNOWN[^\r\n]*\r\n")


class ProxyHeaderError(Exception):
    """What came is no PROXY header; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Both ends of the proxied connection. source "" means the proxy itself speaks (a health check)."""

    length: int
    """Bytes of the header; what follows them is the client's."""
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of the data; None while it is incomplete. Raises ProxyHeaderError."""
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _binary(data)
    return _text(data)


def _text(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, TEXT_LIMIT)
    if end < 0:
        if len(data) >= TEXT_LIMIT or not b"PROXY ".startswith(data[:6]):
            raise ProxyHeaderError("no PROXY header")
        return None
    line = data[: end + 1]
    if _TEXT_UNKNOWN.fullmatch(line):
        return ProxyHeader(len(line))
    match = _TEXT.fullmatch(line)
    if match is None:
        raise ProxyHeaderError("malformed PROXY header")
    try:
        source, destination = ip_address(match[2].decode()), ip_address(match[3].decode())
    except ValueError as error:
        raise ProxyHeaderError("malformed address in PROXY header") from error
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535 or source.version != destination.version or source.version != int(match[1][3:]) % 10:
        raise ProxyHeaderError("malformed PROXY header")
    return ProxyHeader(len(line), str(source), ports[0], str(destination), ports[1])


def _binary(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 15
    family, protocol = data[13] >> 4, data[13] & 15
    length = 16 + int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1:
        raise ProxyHeaderError("unknown PROXY version or command")
    if length > BINARY_LIMIT:
        raise ProxyHeaderError("PROXY header too long")
    if len(data) < length:
        return None
    if command == 0:
        return ProxyHeader(length)
    size = SIZES.get(family)
    if size is None or protocol != 1 or length < 16 + 2 * size + 4:
        raise ProxyHeaderError("PROXY header for another kind of connection")
    source = ip_address(data[16 : 16 + size])
    destination = ip_address(data[16 + size : 16 + 2 * size])
    ports = data[16 + 2 * size : 20 + 2 * size]
    return ProxyHeader(
        length,
        str(source),
        int.from_bytes(ports[:2], "big"),
        str(destination),
        int.from_bytes(ports[2:], "big"),
    )
