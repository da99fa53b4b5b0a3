"""virtual_alias_maps: one recipient becomes several, and those again.

An address that expands into itself is left as it is the second time. Too many addresses, too
deep a chain or too long an address defer the whole message, in cleanup's words.
"""

from dataclasses import dataclass

from posthouse.address.address import fold
from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.verdict import Evidence
from posthouse.routing.address_map import AddressMap


@dataclass(frozen=True, slots=True)
class VirtualAliasSettings:
    """The limits of expansion."""

    virtual_alias_expansion_limit: int
    virtual_alias_recursion_limit: int
    virtual_alias_address_length_limit: int


class ExpansionRefused(Exception):
    """The expansion broke a limit: 4.6.0 Alias expansion error. The text is for the log."""


class VirtualAlias:
    """Expands recipients. `maps` is None when virtual_alias_maps is empty."""

    def __init__(self, settings: VirtualAliasSettings, maps: AddressMap | None) -> None:
        self._settings = settings
        self.maps = maps

    @classmethod
    def open(cls, configuration: Configuration, maps: AddressMap | None) -> "VirtualAlias":
        """From main.cf."""
        return cls(read_settings(VirtualAliasSettings, configuration), maps)

    async def expand(self, address: str, evidence: list[Evidence]) -> list[str]:
        """What a recipient becomes (internal forms), itself when not listed. Raises TableRetry, ExpansionRefused."""
        if self.maps is None:
            return [address]
        settings = self._settings
        title = self.maps.parameter
        result = [address]
        into_itself: set[str] = set()
        position = 0
        while position < len(result):
            if len(result) > settings.virtual_alias_expansion_limit:
                raise ExpansionRefused(f"unreasonable {title} map expansion size for {address}")
            count = 0
            while fold(result[position]) not in into_itself:
                if count >= settings.virtual_alias_recursion_limit:
                    raise ExpansionRefused(f"unreasonable {title} map nesting for {address}")
                count += 1
                before = result[position]
                found = await self.maps.lookup(before)
                if found is None or not found[0]:
                    break
                for number, new in enumerate(found[0]):
                    if len(new) > settings.virtual_alias_address_length_limit:
                        raise ExpansionRefused(f"unreasonable {title} result {new[:300]}...")
                    if number == 0:
                        result[position] = new
                    else:
                        result.append(new)
                    if fold(new) == fold(before):
                        into_itself.add(fold(new))
                evidence.append(found[1])
            position += 1
        return result
