"""One look-up of an address in canonical, virtual or generic maps, and what it becomes.

The result is a list of addresses: each in standard form, `@other.domain` keeps the local
part, and the extension that the look-up did not use is put back when
propagate_unmatched_extensions says so for this kind of map.
"""

from posthouse.address.address import split_address
from posthouse.address.address_list import addresses
from posthouse.address.local_part import quote_address, split_extension
from posthouse.envelope.verdict import Evidence
from posthouse.routing.rewrite import Rewriter
from posthouse.tables.maps import Maps


class AddressMap:
    """The maps of one parameter, e.g. canonical_maps."""

    def __init__(
        self, parameter: str, origin: str, maps: Maps, rewriter: Rewriter, delimiter: str, *, propagate: bool
    ) -> None:
        self.parameter = parameter
        self._origin = origin
        self._maps = maps
        self._rewriter = rewriter
        self._delimiter = delimiter
        self._propagate = propagate

    async def lookup(self, address: str) -> tuple[list[str], Evidence] | None:
        """The addresses (internal form) that an address maps to, or None when nothing is listed. Raises TableRetry."""
        found = await self._maps.lookup_address(quote_address(address), self._delimiter)
        if found is None:
            return None
        row, rest = found
        local_part, _ = split_address(address)
        suffix = ""
        if self._propagate and rest and not row.key.startswith("@"):
            suffix = local_part[len(split_extension(local_part, self._delimiter)[0]) :]
        results = [self._complete(result, local_part, suffix) for result in addresses(row.value)]
        fact = f"{row.table}: {row.key} -> {row.value}"
        return results, Evidence(self.parameter, self._origin, fact=fact)

    def _complete(self, result: str, local_part: str, suffix: str) -> str:
        if result.startswith("@"):
            return self._rewriter.address(local_part + result)
        if suffix:
            base, domain = split_address(result)
            # An extension that the result has already is not doubled.
            if not split_extension(base, self._delimiter)[1]:
                result = f"{base}{suffix}@{domain}" if domain else base + suffix
        return self._rewriter.address(result)
