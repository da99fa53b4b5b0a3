"""Which sockets the system listens on, and binding them.

A master.cf line `inet` names an optional host and a port; without a host inet_interfaces
decides. Sockets belong to the master: they stay open over crashes and reloads, so that no
connection that waits is reset. With several workers each has a SO_REUSEPORT socket of its own.
"""

import errno
import os
import socket
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.host.interfaces import interface_addresses

BACKLOG = 1024
"""Connections that wait to be accepted; the kernel caps it at net.core.somaxconn."""

CLAIM_PATIENCE = 5.0
"""Seconds that the workers of a master which was killed have to let go of its addresses."""

MAIL_COMMANDS = ("smtpd", "lmtpd", "postscreen")
ACCESS_COMMANDS = ("imapd", "pop3d")


@dataclass(frozen=True, slots=True)
class InterfaceSettings:
    """Which addresses are ours."""

    inet_interfaces: tuple[str, ...]
    inet_protocols: tuple[str, ...]
    proxy_interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to listen on: an address and port, or a path (port 0)."""

    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """AF_UNIX, AF_INET or AF_INET6."""
        if self.port == 0 and self.host.startswith("/"):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


@dataclass(frozen=True, slots=True)
class Listener:
    """A service of master.cf and one of its endpoints."""

    service: Service
    endpoint: Endpoint


def families(settings: InterfaceSettings) -> tuple[socket.AddressFamily, ...]:
    """inet_protocols as address families. Raises ConfigError."""
    wanted: list[socket.AddressFamily] = []
    for word in settings.inet_protocols:
        match word.lower():
            case "all":
                wanted += [socket.AF_INET, socket.AF_INET6] if socket.has_ipv6 else [socket.AF_INET]
            case "ipv4":
                wanted.append(socket.AF_INET)
            case "ipv6":
                wanted.append(socket.AF_INET6)
            case _:
                raise ConfigError(f'unknown inet_protocols value "{word}" in "{" ".join(settings.inet_protocols)}"')
    return tuple(dict.fromkeys(wanted))


def own_addresses(configuration: Configuration) -> frozenset[str]:
    """inet_interfaces and proxy_interfaces as addresses: what user@[address] and loops are measured by."""
    settings = read_settings(InterfaceSettings, configuration)
    found: set[str] = set()
    wanted = families(settings)
    here = [e for e in interface_addresses() if (socket.AF_INET6 if ":" in e.address else socket.AF_INET) in wanted]
    for word in settings.inet_interfaces:
        if word.lower() == "all":
            found |= {entry.address for entry in here}
        elif word.lower() == "loopback-only":
            found |= {entry.address for entry in here if entry.loopback}
        else:
            found |= set(_addresses(word, wanted))
    for word in settings.proxy_interfaces:
        found |= set(_addresses(word, (socket.AF_INET, socket.AF_INET6)))
    return frozenset(found)


def _addresses(host: str, wanted: Sequence[socket.AddressFamily]) -> list[str]:
    """A host name or address (with or without brackets) as addresses of the wanted families."""
    host = host.removeprefix("[").removesuffix("]")
    if host.lower().startswith("ipv6:"):
        host = host[5:]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ConfigError(f"inet_interfaces: host {host}: {error.strerror}") from error
    return [str(entry[4][0]) for entry in found if entry[0] in wanted]


def _port(text: str, service: Service) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return socket.getservbyname(text, "tcp")
    except OSError as error:
        raise ConfigError(f"master.cf line {service.line}: unknown service: {service.name}/tcp") from error


def service_endpoints(service: Service, configuration: Configuration) -> tuple[Endpoint, ...]:
    """Where a service of type inet or unix listens. Raises ConfigError."""
    settings = read_settings(InterfaceSettings, configuration)
    if service.type != "inet":
        return ()
    host, colon, port_text = service.name.rpartition(":")
    port = _port(port_text if colon else service.name, service)
    wanted = families(settings)
    if colon and host:
        return tuple(Endpoint(address, port) for address in dict.fromkeys(_addresses(host, wanted)))
    found: list[str] = []
    for word in settings.inet_interfaces:
        match word.lower():
            case "all":
                found += ["0.0.0.0" if family == socket.AF_INET else "::" for family in wanted]
            case "loopback-only":
                loopback = [entry.address for entry in interface_addresses() if entry.loopback]
                found += [a for a in loopback if (socket.AF_INET6 if ":" in a else socket.AF_INET) in wanted]
            case _:
                found += _addresses(word, wanted)
    return tuple(Endpoint(address, port) for address in dict.fromkeys(found))


def claim(endpoint: Endpoint, *, patience: float = CLAIM_PATIENCE) -> None:
    """Make sure that nobody else listens there: shared sockets of two systems would divide the connections among them,
    and neither would notice. Raises OSError."""
    if endpoint.family == socket.AF_UNIX:
        return
    until = time.monotonic() + patience
    while True:
        try:
            bind(endpoint, shared=False).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def bind_shared(endpoint: Endpoint) -> socket.socket:
    """One of the sockets of workers that share an endpoint. It listens when its worker is there to serve it: the kernel
    divides connections among the sockets that listen. Raises OSError."""
    return bind(endpoint, shared=True, listen=False)


def bind(endpoint: Endpoint, *, shared: bool, listen: bool = True) -> socket.socket:
    """A listening socket. Raises OSError."""
    listening = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        if endpoint.family == socket.AF_UNIX:
            try:
                if stat.S_ISSOCK(os.lstat(endpoint.host).st_mode):
                    os.unlink(endpoint.host)
            except FileNotFoundError:
                pass
            listening.bind(endpoint.host)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if endpoint.family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((endpoint.host, endpoint.port))
        if listen:
            listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
