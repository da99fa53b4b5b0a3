"""Routing as the rest of the house sees it: one object per service configuration.

Each evaluation returns its evidence beside its result; `posthouse explain` calls the same.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.address.address import split_address
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.verdict import Evidence
from posthouse.host.log import ProcessLog
from posthouse.routing.address_class import AddressClass
from posthouse.routing.address_map import AddressMap
from posthouse.routing.domains import Domains
from posthouse.routing.masquerade import Masquerade
from posthouse.routing.recipients import Recipients, Unlisted
from posthouse.routing.resolve import Resolution, Resolver
from posthouse.routing.rewrite import Rewriter
from posthouse.routing.virtual_alias import VirtualAlias
from posthouse.tables.maps import open_maps

KNOWN_SECONDS = 1.0
"""How long a resolution is believed: RCPT, LMTP's delivery and the schedule ask for the same recipient in one burst.
Postfix's smtpd keeps what trivial-rewrite told it for as long as its process lives."""
KNOWN_LIMIT = 4096
"""Resolutions kept; a full cache is emptied."""


@dataclass(frozen=True, slots=True)
class MapSettings:
    """The address mapping tables, and what belongs to all of them."""

    canonical_maps: str
    sender_canonical_maps: str
    recipient_canonical_maps: str
    virtual_alias_maps: str
    recipient_delimiter: str
    propagate_unmatched_extensions: tuple[str, ...]


class Router:
    """Everything that says what an address means."""

    def __init__(
        self, configuration: Configuration, log: ProcessLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        settings = read_settings(MapSettings, configuration)
        self.delimiter = settings.recipient_delimiter
        """recipient_delimiter: a set of characters."""
        self.rewriter = Rewriter.open(configuration)
        self.domains = Domains.open(configuration, log)
        self.resolver = Resolver.open(configuration, log, self.domains, self.rewriter)
        self.masquerade = Masquerade.open(configuration)
        propagate = settings.propagate_unmatched_extensions

        def address_map(parameter: str, value: str, kind: str) -> AddressMap | None:
            if not value:
                return None
            maps = open_maps(value, configuration, parameter)
            origin = configuration.origin(parameter)
            return AddressMap(parameter, origin, maps, self.rewriter, self.delimiter, propagate=kind in propagate)

        self.canonical = address_map("canonical_maps", settings.canonical_maps, "canonical")
        self.sender_canonical = address_map("sender_canonical_maps", settings.sender_canonical_maps, "canonical")
        self.recipient_canonical = address_map(
            "recipient_canonical_maps", settings.recipient_canonical_maps, "canonical"
        )
        virtual = address_map("virtual_alias_maps", settings.virtual_alias_maps, "virtual")
        self.virtual_alias = VirtualAlias.open(configuration, virtual)
        aliases = [maps for maps in (self.recipient_canonical, self.canonical, virtual) if maps is not None]
        self.recipients = Recipients.open(configuration, aliases)
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Resolution]] = {}

    @classmethod
    def open(cls, configuration: Configuration, log: ProcessLog) -> "Router":
        """From main.cf. `log` is trivial-rewrite's."""
        return cls(configuration, log)

    def rewrite(self, address: str) -> str:
        """The standard form of an internal address."""
        return self.rewriter.address(address)

    async def resolve(self, sender: str, address: str) -> Resolution:
        """Where mail from sender to address (internal forms) goes. Raises TableRetry."""
        found = self.known(sender, address)
        if found is None:
            found = await self.resolver.resolve(sender, self.rewriter.address(address))
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            key = (sender if self.resolver.by_sender else "", address)
            self._known[key] = (self._clock() + KNOWN_SECONDS, found)
        return found

    def known(self, sender: str, address: str) -> Resolution | None:
        """What resolve() said of it less than KNOWN_SECONDS ago, or None."""
        known = self._known.get((sender if self.resolver.by_sender else "", address))
        return known[1] if known is not None and known[0] > self._clock() else None

    async def classify(self, address: str) -> tuple[AddressClass, Evidence]:
        """The class of an address, by its domain in standard form. Raises TableRetry."""
        return await self.domains.classify(split_address(self.rewriter.address(address))[1])

    async def unlisted(self, address: str) -> Unlisted | None:
        """Why a recipient does not exist, or None when it does or nobody keeps a list. Raises TableRetry."""
        return await self.recipients.unlisted(await self.resolve("", address))

    async def aliased(self, address: str) -> bool:
        """Whether a canonical or virtual alias table has the address. Raises TableRetry."""
        return await self.recipients.aliased(self.rewriter.address(address))
