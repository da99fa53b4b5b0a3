"""Which of main.cf's domain lists a domain is in.

The order is trivial-rewrite's: mydestination and our own address literals, virtual alias,
virtual mailbox, relay domains, the rest. A domain listed twice is warned about, once.
Names are compared in a set made when the configuration is read; only lists that name tables
or files ask anything, and what they said is kept for CACHE_SECONDS.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from posthouse.address.address import fold
from posthouse.address.domain import literal_address, parents
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.config.words import split_words
from posthouse.envelope.verdict import Evidence
from posthouse.host.interfaces import interface_addresses
from posthouse.host.log import ProcessLog
from posthouse.routing.address_class import AddressClass
from posthouse.tables.match_list import MatchList, open_match_list

CACHE_SECONDS = 1.0
"""How long what a table said about a domain is believed: a burst to one domain asks once."""
CACHE_LIMIT = 4096
"""Domains kept; a full cache is emptied."""


@dataclass(frozen=True, slots=True)
class DomainSettings:
    """The lists that make the address classes."""

    mydestination: str
    virtual_alias_domains: str
    virtual_mailbox_domains: str
    relay_domains: str
    inet_interfaces: tuple[str, ...]
    inet_protocols: tuple[str, ...]
    proxy_interfaces: tuple[str, ...]
    parent_domain_matches_subdomains: tuple[str, ...]
    helpful_warnings: bool


class DomainList:
    """One parameter that lists domains."""

    def __init__(self, parameter: str, configuration: Configuration, value: str, *, subdomains: bool | None) -> None:
        """`subdomains`: None when only whole names count, else whether a name stands for what is below it too."""
        self.parameter = parameter
        self.evidence = Evidence(parameter, configuration.origin(parameter))
        words = split_words(value)
        plain = all(word.isascii() and not set(word) & set("!/:{}") for word in words)
        self.names: frozenset[str] | None = frozenset(word.lower() for word in words) if plain else None
        """Lower-case names when the list holds nothing but names."""
        self._subdomains = subdomains
        self._list: MatchList | None = (
            None if plain else open_match_list(value, configuration, parameter, parent_domains=bool(subdomains))
        )

    async def find(self, domain: str) -> Evidence | None:
        """Why the (folded) domain is listed, or None. Raises TableRetry."""
        if self.names is not None:
            if domain in self.names:
                return self.evidence
            if self.names and self._subdomains is not None:
                for parent in parents(domain):
                    if (parent if self._subdomains else "." + parent) in self.names:
                        return self.evidence
            return None
        assert self._list is not None
        fact = await self._list.matches(domain)
        if fact is None:
            return None
        return Evidence(self.parameter, self.evidence.origin, fact=fact)


class Domains:
    """The address classes of domains."""

    def __init__(
        self,
        settings: DomainSettings,
        configuration: Configuration,
        log: ProcessLog,
        clock: Callable[[], float] = time.monotonic,
        own_addresses: frozenset[str] | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._warn = settings.helpful_warnings
        self._warned: set[tuple[str, str, str]] = set()
        parents_match = settings.parent_domain_matches_subdomains
        self._lists = {
            AddressClass.LOCAL: DomainList("mydestination", configuration, settings.mydestination, subdomains=None),
            AddressClass.VIRTUAL_ALIAS: DomainList(
                "virtual_alias_domains", configuration, settings.virtual_alias_domains, subdomains=None
            ),
            AddressClass.VIRTUAL_MAILBOX: DomainList(
                "virtual_mailbox_domains", configuration, settings.virtual_mailbox_domains, subdomains=None
            ),
            AddressClass.RELAY: DomainList(
                "relay_domains", configuration, settings.relay_domains, subdomains="relay_domains" in parents_match
            ),
        }
        self._default = Evidence(restriction="default", fact="in no domain list")
        self._interfaces = own_addresses if own_addresses is not None else own_interfaces(settings)
        self._literal = Evidence("inet_interfaces", configuration.origin("inet_interfaces"))
        self._cache: dict[str, tuple[float, AddressClass, Evidence]] = {}

    @classmethod
    def open(cls, configuration: Configuration, log: ProcessLog) -> "Domains":
        """From main.cf."""
        return cls(read_settings(DomainSettings, configuration), configuration, log)

    async def classify(self, domain: str) -> tuple[AddressClass, Evidence]:
        """The class of a domain and why. Raises TableRetry."""
        now = self._clock()
        known = self._cache.get(domain)
        if known is not None and known[0] > now:
            return known[1], known[2]
        address_class, evidence = await self._classify(fold(domain))
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self._cache[domain] = (now + CACHE_SECONDS, address_class, evidence)
        return address_class, evidence

    async def is_local(self, domain: str) -> bool:
        """Whether the domain is this machine: mydestination or one of its address literals."""
        return (await self.classify(domain))[0] is AddressClass.LOCAL

    async def _classify(self, domain: str) -> tuple[AddressClass, Evidence]:
        found: tuple[AddressClass, Evidence] | None = None
        address = literal_address(domain)
        if address is not None and str(ip_address(address)) in self._interfaces:
            return AddressClass.LOCAL, self._literal
        for address_class, listed in self._lists.items():
            if listed.names is not None and not listed.names:
                continue
            evidence = await listed.find(domain)
            if evidence is None:
                continue
            if found is None:
                found = address_class, evidence
                # Two queries more for each new domain are the price of the warning below.
                if not self._warn:
                    break
            elif not (found[0] is AddressClass.LOCAL and address_class is AddressClass.RELAY):
                self._twice(domain, self._lists[found[0]].parameter, listed.parameter)
        return found if found is not None else (AddressClass.DEFAULT, self._default)

    def _twice(self, domain: str, one: str, other: str) -> None:
        if (domain, one, other) not in self._warned:
            self._warned.add((domain, one, other))
            self._log.warning(f"do not list domain {domain} in BOTH {one} and {other}")


def own_interfaces(settings: DomainSettings) -> frozenset[str]:
    """The addresses in inet_interfaces and proxy_interfaces, in canonical text; names in them are not resolved here."""
    words = {word.lower() for word in settings.inet_interfaces}
    own = {word.strip("[]") for word in words | {w.lower() for w in settings.proxy_interfaces}}
    if words & {"all", "loopback-only", "$myhostname", "localhost"} or not words:
        only_loopback = "all" not in words
        own |= {a.address for a in interface_addresses() if a.loopback or not only_loopback}
    families = {word.lower() for word in settings.inet_protocols}
    if families and "all" not in families:
        own = {address for address in own if ("ipv6" if ":" in address else "ipv4") in families}
    return frozenset(own)
