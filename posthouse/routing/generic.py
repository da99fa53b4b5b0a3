"""smtp_generic_maps: addresses that mean something only here become ones that mean something out there.

Applied by the SMTP client to envelope and header addresses of mail that leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.routing.address_map import AddressMap
from posthouse.routing.rewrite import Rewriter
from posthouse.tables.maps import open_maps


@dataclass(frozen=True, slots=True)
class GenericSettings:
    """What the mapping reads."""

    smtp_generic_maps: str
    recipient_delimiter: str
    propagate_unmatched_extensions: tuple[str, ...]


class Generic:
    """The mapping, open."""

    def __init__(self, maps: AddressMap) -> None:
        self._maps = maps

    @classmethod
    def open(cls, configuration: Configuration, rename: Callable[[str], str] | None = None) -> "Generic | None":
        """From main.cf; None when there are no maps. `rename` makes lmtp_generic_maps of smtp_generic_maps."""
        settings = read_settings(GenericSettings, configuration, rename)
        if not settings.smtp_generic_maps:
            return None
        parameter = rename("smtp_generic_maps") if rename else "smtp_generic_maps"
        maps = open_maps(settings.smtp_generic_maps, configuration, parameter)
        propagate = "generic" in settings.propagate_unmatched_extensions
        rewriter = Rewriter.open(configuration)
        origin = configuration.origin(parameter)
        return cls(AddressMap(parameter, origin, maps, rewriter, settings.recipient_delimiter, propagate=propagate))

    async def address(self, address: str) -> str:
        """The address to show outside. Raises TableRetry."""
        found = await self._maps.lookup(address) if address else None
        return found[0][0] if found is not None and found[0] else address
