"""canonical_maps and its two kin: an address for another, in envelopes and header fields.

sender_canonical_maps (or recipient_canonical_maps) first, then canonical_maps, each followed
until it changes nothing; a chain longer than RECURSION_LIMIT is a loop.
"""

from posthouse.envelope.verdict import Evidence
from posthouse.routing.address_map import AddressMap

RECURSION_LIMIT = 10
"""Steps through one parameter's maps."""


class CanonicalLoop(Exception):
    """The maps lead round in a circle. The text names the parameter and the address."""


async def canonical(address: str, maps: AddressMap, evidence: list[Evidence], warnings: list[str]) -> str:
    """The address that one parameter's maps make of an address. Raises TableRetry and CanonicalLoop."""
    first = address
    for _ in range(RECURSION_LIMIT):
        found = await maps.lookup(address)
        if found is None or not found[0]:
            return address
        results, why = found
        if len(results) > 1:
            warnings.append(f"multi-valued {maps.parameter} entry for {address}")
        evidence.append(why)
        if results[0].lower() == address.lower():
            return results[0]
        address = results[0]
    raise CanonicalLoop(f"unreasonable {maps.parameter} map nesting for {first}")
