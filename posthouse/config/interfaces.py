"""The machine's addresses and networks, and mynetworks made from them.

mynetworks_style: class (the historical A, B, C net), subnet, or host; only the addresses
that inet_interfaces and inet_protocols admit count.
"""

import ipaddress
import os
import socket
import struct

from posthouse.config.error import ConfigError
from posthouse.config.values import Values

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# rtnetlink(7): the request for all addresses, and the attributes of the answer.
_RTM_GETADDR = 22
_RTM_NEWADDR = 20
_NLM_DONE = 3
_NLM_REQUEST_DUMP = 0x301
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
ANSWER_SIZE = 262144
"""Bytes of one netlink answer; the kernel sends at most 32 KiB at once."""


def machine_interfaces() -> list[Interface]:
    """Every address of this machine with its network, IPv4 first. Empty where the kernel does not tell."""
    found: list[Interface] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
            netlink.settimeout(2)
            netlink.sendto(
                struct.pack("=LHHLLBBBBL", 24, _RTM_GETADDR, _NLM_REQUEST_DUMP, 1, os.getpid(), 0, 0, 0, 0, 0), (0, 0)
            )
            while True:
                data = netlink.recv(ANSWER_SIZE)
                addresses, done = parse_addresses(data)
                found += addresses
                if done or not data:
                    break
    except OSError:
        pass
    return sorted(found, key=lambda interface: interface.version)


def parse_addresses(data: bytes) -> tuple[list[Interface], bool]:
    """The addresses of one netlink answer, and whether it was the last."""
    found: list[Interface] = []
    position = 0
    while position + 16 <= len(data):
        length, kind = struct.unpack_from("=LH", data, position)
        if kind == _NLM_DONE or length < 16:
            return found, True
        if kind == _RTM_NEWADDR and length >= 24:
            prefix = data[position + 17]
            attributes: dict[int, bytes] = {}
            inner = position + 24
            end = min(position + length, len(data))
            while inner + 4 <= end:
                size, attribute = struct.unpack_from("=HH", data, inner)
                if size < 4:
                    break
                attributes[attribute] = data[inner + 4 : inner + size]
                inner += (size + 3) & ~3
            raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or b""
            if len(raw) in (4, 16):
                found.append(ipaddress.ip_interface((ipaddress.ip_address(raw), prefix)))
        position += (length + 3) & ~3
    return found, False


def own_interfaces(configuration: Values) -> list[Interface]:
    """The machine's addresses that inet_protocols and inet_interfaces admit."""
    protocols = configuration.words("inet_protocols")
    everything = "all" in protocols or not protocols
    wanted = configuration.words("inet_interfaces")
    found = [i for i in machine_interfaces() if everything or f"ipv{i.version}" in protocols]
    if not wanted or "all" in wanted:
        return found
    names: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    for word in wanted:
        if word == "loopback-only":
            names.update(i.ip for i in found if i.ip.is_loopback)
            continue
        try:
            names.add(ipaddress.ip_address(word.strip("[]")))
        except ValueError:
            names.update(_resolve(word))
    return [i for i in found if i.ip in names]


def _resolve(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def network_of(interface: Interface, style: str) -> str:
    """One network in the spelling of mynetworks."""
    if style == "host":
        network = ipaddress.ip_network(interface.ip)
    elif style == "class" and isinstance(interface, ipaddress.IPv4Interface):
        first = int(interface.ip) >> 24
        prefix = 8 if first < 128 else 16 if first < 192 else 24
        network = ipaddress.ip_network((interface.ip, prefix), strict=False)
    else:
        network = interface.network
    if network.version == 6:
        return f"[{network.network_address}]/{network.prefixlen}"
    return str(network)


def default_networks(configuration: Values) -> str:
    """The default of mynetworks."""
    style = configuration.value("mynetworks_style")
    if style not in {"class", "subnet", "host"}:
        raise ConfigError(f'unknown mynetworks mask style value "{style}" in "{style}"')
    networks = [network_of(interface, style) for interface in own_interfaces(configuration)]
    return " ".join(dict.fromkeys(networks))
