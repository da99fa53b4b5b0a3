"""The PROXY protocol, versions 1 and 2: a load balancer says whose connection it hands on.

Standards: HAProxy's proxy-protocol.txt, sections 2.1 (text) and 2.2 (binary).
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

PORT_DIGITS = 5
TEXT_LIMIT = 107
"""Bytes of a version 1 header at most (section 2.1)."""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BINARY_LIMIT = 16 + 1024
"""Bytes of a version 2 header that we take: addresses and a few extensions."""
SIZES = {1: 4, 2: 16}
"""Bytes of an address by family: AF_INET, AF_INET6."""

SHORTEST = 16
"""Bytes of a version 2 header without addresses; Postfix calls less than that short, whatever it is."""

_TEXT_UNKNOWN = re.compile(rb"PROXY UNKNOWN[^\r\n]*\r\n")


class ProxyHeaderError(Exception):
    """What came is no PROXY header; the text says what is wrong, in Postfix's words."""


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
    if not b"PROXY ".startswith(data[:6]):
        raise ProxyHeaderError("short protocol header" if len(data) < SHORTEST else "unrecognized protocol header")
    end = data.find(b"\n", 0, TEXT_LIMIT)
    if end < 0:
        if len(data) >= TEXT_LIMIT:
            raise ProxyHeaderError("missing protocol header terminator")
        return None
    line = data[: end + 1]
    if _TEXT_UNKNOWN.fullmatch(line):
        return ProxyHeader(len(line))
    # proxy-protocol.txt section 2.1: "PROXY" SP ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port CRLF
    words = line.removesuffix(b"\r\n").split(b" ")[1:] + [b""] * 5
    version = {b"TCP4": 4, b"TCP6": 6}.get(words[0])
    if version is None:
        raise ProxyHeaderError("bad or missing protocol type")
    source, destination = _address(words[1], version, "client"), _address(words[2], version, "server")
    ports = _port(words[3], "client"), _port(words[4], "server")
    if len(words) != 5 + 5 or not line.endswith(b"\r\n"):
        raise ProxyHeaderError("missing protocol header terminator")
    return ProxyHeader(len(line), source, ports[0], destination, ports[1])


def _address(word: bytes, version: int, whose: str) -> str:
    try:
        address = ip_address(word.decode("ascii"))
    except ValueError as error:
        raise ProxyHeaderError(f"bad or missing {whose} address") from error
    if address.version != version or b"%" in word:
        raise ProxyHeaderError(f"bad or missing {whose} address")
    return str(address)


def _port(word: bytes, whose: str) -> int:
    if not (word.isdigit() and len(word) <= PORT_DIGITS and int(word) <= 65535):
        raise ProxyHeaderError(f"bad or missing {whose} port")
    return int(word)


def _binary(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 15
    family, protocol = data[13] >> 4, data[13] & 15
    length = 16 + int.from_bytes(data[14:16], "big")
    if version != 2:
        raise ProxyHeaderError("unrecognized protocol version")
    if command > 1:
        raise ProxyHeaderError("bad command in proxy header")
    if length > BINARY_LIMIT:
        raise ProxyHeaderError("protocol header too long")
    if len(data) < length:
        return None
    if command == 0:
        return ProxyHeader(length)
    size = SIZES.get(family)
    if size is None or protocol != 1:
        raise ProxyHeaderError("unsupported network protocol")
    if length < 16 + 2 * size + 4:
        raise ProxyHeaderError("short address field")
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
