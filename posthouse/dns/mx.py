"""The hosts that take mail for a domain, in the order to try them, or why there are none.

MX records by preference, equal preferences shuffled; without MX records the domain's own
addresses; a null MX means no mail at all. The addresses of every host follow inet_protocols and
smtp_address_preference. When one of the addresses is ours, that host and all of equal or worse preference are
left out (RFC 5321 section 5.1), and when none is left, mail loops. "Does not exist", "exists without addresses" and
"cannot tell now" stay apart in the failure's status.

Standards: RFC 5321 section 5.1 (locating the target host); RFC 7505 (null MX); RFC 3463 sections 3.2 and 3.5.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import ip_address

from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import Answer, DnsRetry, Record, Resolver

HOST_LIMIT = 100
"""MX hosts looked up for one domain, as Postfix bounds the records of one answer."""

NOT_FOUND = "Host or domain name not found. Name service error for name={} type={}: Host not found"
NO_DATA = "Host or domain name not found. Name service error for name={} type={}: Host found but no data record of requested type"  # noqa: E501 - Postfix's line
MALFORMED = "Name service error for name={} type={}: Malformed or unexpected name server reply"
NATIVE_NOT_FOUND = "unable to look up host {}: Name or service not known"


@dataclass(frozen=True, slots=True)
class MxSettings:
    """The parameters of smtp(8) that decide which hosts are tried; lmtp(8) has its own under its own names."""

    inet_protocols: tuple[str, ...] = ("all",)
    smtp_address_preference: str = "any"
    smtp_balance_inet_protocols: bool = True
    smtp_mx_address_limit: int = 5
    smtp_randomize_addresses: bool = True
    smtp_host_lookup: tuple[str, ...] = ("dns",)
    smtp_dns_support_level: str = ""
    smtp_defer_if_no_mx_address_found: bool = False
    ignore_mx_lookup_error: bool = False
    disable_dns_lookups: bool = False

    @property
    def dns(self) -> bool:
        """Whether DNS is asked at all."""
        return not self.disable_dns_lookups and self.smtp_dns_support_level != "disabled"

    @property
    def native(self) -> bool:
        """Whether the system's name service is asked for addresses."""
        return not self.dns or "native" in self.smtp_host_lookup

    @property
    def families(self) -> tuple[str, ...]:
        """The record types to ask for."""
        if "all" in self.inet_protocols or {"ipv4", "ipv6"} <= set(self.inet_protocols):
            return ("A", "AAAA")
        return ("AAAA",) if "ipv6" in self.inet_protocols else ("A",)


@dataclass(frozen=True, slots=True)
class MailHost:
    """One address of one host."""

    name: str
    address: str
    preference: int = 0
    authenticated: bool = False
    """Whether DNSSEC vouches for the way to this address (MX and address answers)."""
    canonical_name: str = ""
    """The name at the end of the host's CNAME chain, for TLSA look-ups (RFC 7672 section 2.1.3)."""


@dataclass(frozen=True, slots=True)
class LookupFailure:
    """Why there is nobody to talk to."""

    status: str
    """"4.4.3", "5.4.4" and so on."""
    text: str

    @property
    def temporary(self) -> bool:
        """Whether asking later may help."""
        return self.status.startswith("4")


@dataclass(frozen=True, slots=True)
class MailRoute:
    """Addresses in the order to try them, or the failure."""

    hosts: tuple[MailHost, ...] = field(default=())
    failure: LookupFailure | None = None
    best_preference: int = 0
    mx_found: bool = False
    """Whether the hosts came from MX records."""
    mx_authenticated: bool = False
    """Whether DNSSEC vouches for the MX answer (present or absent)."""
    canonical_domain: str = ""
    """The name at the end of the domain's own CNAME chain, where its MX records are, or ""."""


def _ignore(text: str) -> None:
    """Nobody wants warnings."""


class MxLookup:
    """Finds the hosts of a nexthop."""

    def __init__(
        self,
        settings: MxSettings,
        resolver: Resolver,
        *,
        native: NativeLookup | None = None,
        own_addresses: Collection[str] = (),
        own_names: Collection[str] = (),
        rng: random.Random | None = None,
        warn: Callable[[str], None] = _ignore,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._native = native or (NativeLookup() if settings.native else None)
        self._own_addresses = frozenset(str(ip_address(address.partition("%")[0])) for address in own_addresses)
        self._own_names = frozenset(name.lower() for name in own_names)
        self._rng = rng or random.SystemRandom()
        self._warn = warn

    async def domain(self, name: str, *, detect_loop: bool = True) -> MailRoute:
        """The hosts of a mail domain."""
        if not self._settings.dns or _is_address(name):
            return await self.host(name, detect_loop=detect_loop)
        try:
            answer = await self._resolver.query(name, "MX")
        except DnsRetry as retry:
            if self._settings.ignore_mx_lookup_error:
                return await self.host(name, detect_loop=detect_loop)
            return MailRoute(failure=LookupFailure("4.4.3", str(retry)))
        if answer.records:
            return await self._exchangers(name, answer, detect_loop)
        if answer.nxdomain and not self._settings.native:
            # The name does not exist: no need to ask for its addresses too.
            return MailRoute(failure=LookupFailure("5.4.4", NOT_FOUND.format(name, self._settings.families[-1])))
        route = await self.host(name, detect_loop=detect_loop)
        return MailRoute(route.hosts, route.failure, mx_authenticated=answer.authenticated)

    async def host(self, name: str, *, detect_loop: bool = False) -> MailRoute:
        """The addresses of one host: a nexthop in brackets, or a domain without MX records."""
        found = await self._addresses(name, 0, secure=True)
        if isinstance(found, LookupFailure):
            return MailRoute(failure=found)
        if detect_loop and any(self._is_self(host) for host in found):
            return MailRoute(failure=LookupFailure("5.4.6", f"mail for {name} loops back to myself"))
        return MailRoute(self._arranged(found))

    async def _exchangers(self, name: str, answer: Answer, detect_loop: bool) -> MailRoute:
        records = [record for record in answer.records if record.data]
        if not records:
            return MailRoute(failure=LookupFailure("5.1.0", f"Domain {name} does not accept mail (nullMX)"))
        numeric = [record for record in records if _is_address(record.data)]
        for record in numeric:
            self._warn(f"numeric domain name in resource data of MX record for {name}: {record.data}")
        records = sorted((r for r in records if r not in numeric), key=_preference)[:HOST_LIMIT]
        if not records:
            return MailRoute(failure=LookupFailure("5.4.4", MALFORMED.format(name, "MX")))
        looked_up = await asyncio.gather(
            *(self._addresses(r.data, r.preference, secure=answer.authenticated) for r in records)
        )
        found: list[MailHost] = []
        failures: list[LookupFailure] = []
        for outcome in looked_up:
            if isinstance(outcome, LookupFailure):
                failures.append(outcome)
            else:
                found += outcome
        best = records[0].preference
        if not found:
            self._warn(f"no MX host for {name} has a valid address record")
            failure = next((f for f in failures if f.temporary), failures[-1])
            if self._settings.smtp_defer_if_no_mx_address_found and not failure.temporary:
                failure = LookupFailure("4" + failure.status[1:], failure.text)
            return MailRoute(failure=failure, best_preference=best, mx_found=True)
        if detect_loop:
            best_found = found[0].preference
            ours = min((host.preference for host in found if self._is_self(host)), default=None)
            if ours is not None:
                found = [host for host in found if host.preference < ours]
                if not found:
                    if best != best_found:
                        failure = LookupFailure("4.4.4", f"unable to find primary relay for {name}")
                    else:
                        failure = LookupFailure("5.4.6", f"mail for {name} loops back to myself")
                    return MailRoute(failure=failure, best_preference=best, mx_found=True)
        return MailRoute(
            self._arranged(found),
            None,
            best,
            mx_found=True,
            mx_authenticated=answer.authenticated,
            canonical_domain=answer.canonical_name,
        )

    async def _addresses(self, name: str, preference: int, *, secure: bool) -> list[MailHost] | LookupFailure:
        """The addresses of one name, unordered."""
        if _is_address(name):
            address = str(ip_address(name))
            family = "AAAA" if ":" in address else "A"
            if family in self._settings.families:
                return [MailHost(name, address, preference)]
            return LookupFailure("5.3.0", f"unable to look up host {name}: Address family for hostname not supported")
        outcome: list[MailHost] | LookupFailure | None = None
        if self._settings.dns and "dns" in self._settings.smtp_host_lookup:
            outcome = await self._dns_addresses(name, preference, secure)
            if isinstance(outcome, list) or not self._settings.native:
                return outcome
        if self._native is not None:
            return await self._native_addresses(self._native, name, preference)
        return outcome or LookupFailure("5.4.4", NATIVE_NOT_FOUND.format(name))

    async def _dns_addresses(self, name: str, preference: int, secure: bool) -> list[MailHost] | LookupFailure:
        families = self._settings.families
        answers = await asyncio.gather(*(self._ask(name, family) for family in families))
        hosts = [
            MailHost(name, r.data, preference, secure and answer.authenticated, answer.canonical_name)
            for answer in answers
            if isinstance(answer, Answer)
            for r in answer.records
        ]
        if hosts:
            return hosts
        for answer in answers:
            if isinstance(answer, DnsRetry):
                return LookupFailure("4.4.3", str(answer))
        missing = any(isinstance(answer, Answer) and answer.nxdomain for answer in answers)
        return LookupFailure("5.4.4", (NOT_FOUND if missing else NO_DATA).format(name, families[-1]))

    async def _ask(self, name: str, rtype: str) -> Answer | DnsRetry:
        try:
            return await self._resolver.query(name, rtype)
        except DnsRetry as retry:
            return retry

    async def _native_addresses(
        self, native: NativeLookup, name: str, preference: int
    ) -> list[MailHost] | LookupFailure:
        families = self._settings.families
        family = socket.AF_UNSPEC if len(families) == 2 else socket.AF_INET6 if "AAAA" in families else socket.AF_INET
        try:
            found = await native.addresses(name, family)
        except DnsRetry as retry:
            return LookupFailure("4.4.3", str(retry))
        if not found:
            return LookupFailure("5.4.4", NATIVE_NOT_FOUND.format(name))
        return [MailHost(name, address, preference) for address in found]

    def _is_self(self, host: MailHost) -> bool:
        return host.address in self._own_addresses or host.name.lower() in self._own_names

    def _arranged(self, hosts: list[MailHost]) -> tuple[MailHost, ...]:
        """By preference; equal preferences shuffled, then by family; cut at smtp_mx_address_limit."""
        settings = self._settings
        if settings.smtp_randomize_addresses:
            hosts = hosts.copy()
            self._rng.shuffle(hosts)
        first = {"ipv4": False, "ipv6": True}.get(settings.smtp_address_preference)
        hosts = sorted(
            hosts, key=lambda host: (host.preference, first is not None and (":" in host.address) is not first)
        )
        limit = settings.smtp_mx_address_limit
        if not 0 < limit < len(hosts):
            return tuple(hosts)
        kept = hosts[:limit]
        if settings.smtp_balance_inet_protocols and limit > 1:
            # Both families get their chance within the limit, when there are both.
            six = ":" in kept[0].address
            others = [host for host in hosts if (":" in host.address) is not six]
            if others and all((":" in host.address) is six for host in kept):
                chosen = {id(host) for host in [*kept[: limit - min(len(others), limit // 2)], *others[: limit // 2]]}
                kept = [host for host in hosts if id(host) in chosen]
        return tuple(kept)


def _preference(record: Record) -> int:
    return record.preference


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
