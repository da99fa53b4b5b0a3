"""Nexthops as transport_maps and relayhost write them.

    example.com            MX of the domain, or its address
    example.com:587        the same at another port
    [host.example.com]     the host's address, no MX
    [192.0.2.1]:2525       an address
    unix:private/lmtp      a Unix socket, LMTP only; under queue_directory when not absolute
    inet:host:24           LMTP's form of [host]:24
    a.example, b.example   one after the other

Standards: RFC 5321 section 5.1 (who asks for MX). The forms are Postfix's, transport(5), smtp(8), lmtp(8).
"""

import socket
from dataclasses import dataclass

_SERVICES = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465, "lmtp": 24}


class NexthopError(Exception):
    """The nexthop cannot be read. The text is the reason for the deferral."""


@dataclass(frozen=True, slots=True)
class Nexthop:
    """One destination."""

    text: str
    """As written: the key of look-ups (policy, password) and of kept connections."""
    host: str = ""
    port: int = 0
    use_mx: bool = False
    path: str = ""
    """The Unix socket, or ""."""


def parse_port(text: str) -> int:
    """A number or a name of services(5). Raises NexthopError."""
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    known = _SERVICES.get(text)
    if known is not None:
        return known
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        raise NexthopError(f"unknown service: {text}/tcp") from error


def parse_nexthop(text: str, default_port: int, *, lmtp: bool = False) -> list[Nexthop]:
    """The destinations of one nexthop, in order. Raises NexthopError."""
    found = [_parse_one(part, default_port, lmtp=lmtp) for part in text.replace(",", " ").split()]
    if not found:
        raise NexthopError("null host or nexthop")
    return found


def _parse_one(text: str, default_port: int, *, lmtp: bool) -> Nexthop:
    rest = text
    if lmtp:
        if rest.startswith("unix:"):
            if len(rest) == 5:
                raise NexthopError(f"bad Unix socket name: {text}")
            return Nexthop(text, path=rest[5:])
        rest = rest.removeprefix("inet:")
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        if not closed or (tail and not tail.startswith(":")):
            raise NexthopError(f"bad host or nexthop: {text}")
        port = tail[1:]
        use_mx = False
    else:
        host, _, port = rest.partition(":")
        use_mx = not lmtp
    if host[:5].lower() == "ipv6:":  # RFC 5321 section 4.1.3
        host = host[5:]
    if not host:
        raise NexthopError(f"null host or nexthop: {text}")
    return Nexthop(text, host, parse_port(port) if port else default_port, use_mx)
