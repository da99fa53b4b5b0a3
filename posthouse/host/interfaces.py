"""The addresses that this machine's network interfaces carry, as getifaddrs(3) tells them.

inet_interfaces, permit_inet_interfaces, mynetworks and the detection of mail loops all mean
these: 127.0.0.3 answers on a plain Linux machine, but no interface carries it.
"""

import ctypes
import ctypes.util
import ipaddress
import socket
import struct
from dataclasses import dataclass

IFF_LOOPBACK = 0x8


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one interface, with its network."""

    interface: str
    address: str
    prefix_length: int
    loopback: bool


class _IfAddrs(ctypes.Structure):
    pass


_IfAddrs._fields_ = [
    ("next", ctypes.POINTER(_IfAddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
    ("broadcast", ctypes.c_void_p),
    ("data", ctypes.c_void_p),
]


def _decode(pointer: int | None) -> tuple[int, bytes] | None:
    """A sockaddr as (family, address bytes)."""
    if not pointer:
        return None
    (family,) = struct.unpack("H", ctypes.string_at(pointer, 2))
    if family == socket.AF_INET:
        return family, ctypes.string_at(pointer + 4, 4)
    if family == socket.AF_INET6:
        return family, ctypes.string_at(pointer + 8, 16)
    return None


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """Every IPv4 and IPv6 address, in the kernel's order. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_IfAddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    found: list[InterfaceAddress] = []
    try:
        node = first
        while node:
            entry = node.contents
            decoded, mask = _decode(entry.address), _decode(entry.netmask)
            if decoded is not None:
                family, raw = decoded
                bits = bin(int.from_bytes(mask[1], "big")).count("1") if mask else len(raw) * 8
                found.append(
                    InterfaceAddress(
                        entry.name.decode(),
                        str(ipaddress.ip_address(socket.inet_ntop(family, raw))),
                        bits,
                        bool(entry.flags & IFF_LOOPBACK),
                    )
                )
            node = entry.next
    finally:
        libc.freeifaddrs(first)
    return tuple(found)
