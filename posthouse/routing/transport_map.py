"""transport_maps: a transport and a next hop for an address, a domain, its parents, or everything.

The order is transport(5)'s: user+extension@domain, user@domain, domain, then .parent (or
parent, when parent_domain_matches_subdomains lists transport_maps), last "*". Tables that take
the whole key are asked once. A field left empty leaves what routing found without the table.
"""

from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.address.domain import parents
from posthouse.address.local_part import quote_address, split_extension
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.verdict import Evidence
from posthouse.tables.maps import Maps, open_maps
from posthouse.tables.table import Row


@dataclass(frozen=True, slots=True)
class TransportMapSettings:
    """What the look-up reads."""

    transport_maps: str
    recipient_delimiter: str
    parent_domain_matches_subdomains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransportRow:
    """transport:nexthop; either may be ""."""

    transport: str
    nexthop: str
    evidence: Evidence


class TransportMap:
    """The table, open."""

    def __init__(self, settings: TransportMapSettings, maps: Maps, origin: str) -> None:
        self._maps = maps
        self._origin = origin
        self._delimiter = settings.recipient_delimiter
        self._parents_match = "transport_maps" in settings.parent_domain_matches_subdomains

    @classmethod
    def open(cls, configuration: Configuration) -> "TransportMap | None":
        """From main.cf; None when transport_maps is empty."""
        settings = read_settings(TransportMapSettings, configuration)
        if not settings.transport_maps:
            return None
        maps = open_maps(settings.transport_maps, configuration, "transport_maps")
        return cls(settings, maps, configuration.origin("transport_maps"))

    async def lookup(self, address: str) -> TransportRow | None:
        """The row for a recipient in internal form. Raises TableRetry."""
        for key in self._keys(address):
            row = await self._maps.lookup(key)
            if row is not None:
                return self._parse(row)
        return None

    def _keys(self, address: str) -> list[str]:
        local_part, domain = split_address(address)
        keys = [quote_address(address)]
        base, _ = split_extension(local_part, self._delimiter)
        if base != local_part:
            keys.append(quote_address(f"{base}@{domain}"))
        if domain:
            keys.append(domain)
            keys += [parent if self._parents_match else "." + parent for parent in parents(domain)]
        keys.append("*")
        return keys

    def _parse(self, row: Row) -> TransportRow:
        transport, _, nexthop = row.value.partition(":")
        fact = f"{row.table}: {row.key} -> {row.value}"
        return TransportRow(transport.strip(), nexthop.strip(), Evidence("transport_maps", self._origin, fact=fact))
