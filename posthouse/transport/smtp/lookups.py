"""Tables that the SMTP client asks: for a server's address or name, a login, or a server's words."""

from dataclasses import dataclass
from typing import Protocol

from posthouse.tables.table import Row


class LookupMaps(Protocol):
    """A list of tables (tables/maps.py)."""

    async def lookup(self, key: str) -> Row | None:
        """The first table's row for a key. Raises TableRetry."""


class Destinations(Protocol):
    """A list of destinations (tables/match_list.py)."""

    async def matches(self, name: str) -> str | None:
        """The pattern by which a name belongs. Raises TableRetry."""


@dataclass(frozen=True, slots=True)
class Lookups:
    """What opening and keeping connections asks; None where nothing is configured."""

    reply_filter: LookupMaps | None = None
    """smtp_reply_filter."""
    pix: LookupMaps | None = None
    """smtp_pix_workaround_maps."""
    discard: LookupMaps | None = None
    """smtp_discard_ehlo_keyword_address_maps."""
    sites: LookupMaps | None = None
    """smtp_tls_per_site."""
    kept: Destinations | None = None
    """smtp_connection_cache_destinations."""


NO_LOOKUPS = Lookups()
