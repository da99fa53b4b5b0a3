"""Which name servers are asked: those of `dns_servers`, or the system's.

`dns_servers` is a list of address[:port] and [address]:port; empty means the nameserver lines of
/etc/resolv.conf, which is looked at again at most once a second and read again when it changed.

Standards: resolv.conf(5): nameserver, options timeout:n and attempts:n. The search list is not used: mail names
are complete.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

RESOLV_CONF = "/etc/resolv.conf"
DNS_PORT = 53
RECHECK_INTERVAL = 1.0
"""Seconds between two looks at the file's state."""
SERVER_LIMIT = 8
"""Servers used; the C library takes three."""

Server = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ServerList:
    """Servers in the order to ask them, with resolv.conf's options."""

    servers: tuple[Server, ...]
    timeout: float = 5.0
    """Seconds to wait for one server."""
    attempts: int = 2
    """Rounds through the list."""


def parse_server(text: str) -> Server:
    """address, address:port, [address] or [address]:port. Raises ValueError with the reason."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"bad name server address: {text}")
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        raise ValueError(f"bad name server address: {text}") from None
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"bad name server port: {text}")
    return host, int(port) if port else DNS_PORT


def parse_resolv_conf(text: str) -> ServerList:
    """What resolv.conf(5) says; lines that make no sense are skipped, as the C library does."""
    servers: list[Server] = []
    timeout, attempts = 5.0, 2
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            try:
                ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            servers.append((words[1], DNS_PORT))
        elif words[0] == "options":
            for option in words[1:]:
                name, _, number = option.partition(":")
                if not (number.isascii() and number.isdigit()):
                    continue
                if name == "timeout":
                    timeout = float(min(max(int(number), 1), 30))
                elif name == "attempts":
                    attempts = min(max(int(number), 1), 5)
    return ServerList(tuple(servers[:SERVER_LIMIT]) or (("127.0.0.1", DNS_PORT),), timeout, attempts)


class FixedServers:
    """The servers of `dns_servers`."""

    __slots__ = ("_list",)

    def __init__(self, servers: Sequence[Server], timeout: float = 5.0, attempts: int = 2) -> None:
        self._list = ServerList(tuple(servers), timeout, attempts)

    def current(self) -> ServerList:
        """Always the same."""
        return self._list


@dataclass(slots=True)
class SystemServers:
    """The servers of resolv.conf."""

    path: str = RESOLV_CONF
    clock: Callable[[], float] = time.monotonic
    _state: tuple[int, int, int] | None = field(default=None, init=False)
    _checked: float = field(default=float("-inf"), init=False)
    _list: ServerList = field(default=ServerList((("127.0.0.1", DNS_PORT),)), init=False)

    def current(self) -> ServerList:
        """What the file says now. A file that cannot be read means the server on this machine (resolv.conf(5))."""
        now = self.clock()
        if now - self._checked < RECHECK_INTERVAL:
            return self._list
        self._checked = now
        try:
            stat = os.stat(self.path)
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if state != self._state:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self._list = parse_resolv_conf(file.read())
                self._state = state
        except OSError:
            self._state = None
            self._list = ServerList((("127.0.0.1", DNS_PORT),))
        return self._list


def servers_of(words: Sequence[str]) -> FixedServers | SystemServers:
    """The servers for the value of `dns_servers`. Raises ValueError for a bad address."""
    return FixedServers([parse_server(word) for word in words]) if words else SystemServers()
