"""The verified name of a client: its address's name, and that name's addresses must hold the address.

/etc/hosts is asked before DNS, as the C library does by default, so that 127.0.0.1 is
"localhost". What could not be verified is "unknown", and the two status words tell restrictions whether it is so
for good: reject_unknown_client_hostname and reject_unknown_reverse_client_hostname.

Standards: RFC 1035 section 3.5 (in-addr.arpa); RFC 3596 section 2.5 (ip6.arpa).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.wire.dns_name import DnsFormatError, split_labels

UNKNOWN = "unknown"
NAME_LIMIT = 4
"""PTR names tried; Postfix takes one, but an address with a few names is legal and the first may be stale."""


class NameStatus(Enum):
    """How a look-up ended."""

    OK = "ok"
    RETRY = "retry"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class ClientName:
    """What DNS says of an address."""

    name: str = UNKNOWN
    """The verified name, or "unknown"."""
    reverse_name: str = UNKNOWN
    """The name without the check of its addresses, or "unknown"."""
    status: NameStatus = NameStatus.FAIL
    reverse_status: NameStatus = NameStatus.FAIL


def _ignore(text: str) -> None:
    """Nobody wants warnings."""


async def client_name(
    address: str,
    resolver: Resolver,
    *,
    hosts: HostsFile | None = None,
    warn: Callable[[str], None] = _ignore,
) -> ClientName:
    """The name of a client's address. Never raises for what DNS does."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return ClientName()
    canonical = str(ip)
    if hosts is not None:
        name = hosts.name_of(canonical)
        if name and canonical in hosts.addresses_of(name):
            return ClientName(name, name, NameStatus.OK, NameStatus.OK)
    try:
        answer = await resolver.query(ip.reverse_pointer, "PTR")
    except DnsRetry:
        return ClientName(status=NameStatus.RETRY, reverse_status=NameStatus.RETRY)
    names = [record.data for record in answer.records if is_host_name(record.data)][:NAME_LIMIT]
    if not names:
        return ClientName()
    status, reason = NameStatus.FAIL, ""
    for name in names:
        found, reason = await _addresses(name, resolver, hosts, "AAAA" if ip.version == 6 else "A")
        if found is None:
            status = NameStatus.RETRY
        elif canonical in found:
            return ClientName(name, name, NameStatus.OK, NameStatus.OK)
    warn(f"hostname {names[0]} does not resolve to address {canonical}{reason}")
    return ClientName(UNKNOWN, names[0], status, NameStatus.OK)


async def _addresses(
    name: str, resolver: Resolver, hosts: HostsFile | None, rtype: str
) -> tuple[tuple[str, ...] | None, str]:
    """The addresses of a name (None: cannot tell now), and the reason for the warning."""
    if hosts is not None:
        found = hosts.addresses_of(name)
        if found:
            return found, ""
    try:
        answer = await resolver.query(name, rtype)
    except DnsRetry:
        return None, ": Temporary failure in name resolution"
    return tuple(record.data for record in answer.records), "" if answer.records else ": Name or service not known"


def is_host_name(name: str) -> bool:
    """Whether a name may stand in log lines and Received fields: letters, digits, hyphen, underscore; no address."""
    try:
        labels = split_labels(name)
    except DnsFormatError:
        return False
    if not labels or "\\" in name or labels[-1].isdigit():
        return False
    return all(
        label.replace(b"-", b"a").replace(b"_", b"a").isalnum() and label[:1] != b"-" and label[-1:] != b"-"
        for label in labels
    )
