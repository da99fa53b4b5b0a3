"""canonical_maps and its two kin: an address for another, in envelopes and header fields.

sender_canonical_maps (or recipient_canonical_maps) first, then canonical_maps, each followed
until it changes nothing. A chain longer than RECURSION_LIMIT is a loop: the address is what it
was made by then, and a warning says so, in cleanup's words (which are not true there either).
"""

from posthouse.envelope.verdict import Evidence
from posthouse.routing.address_map import AddressMap

RECURSION_LIMIT = 10
"""Steps through one parameter's maps."""


async def canonical(address: str, maps: AddressMap, evidence: list[Evidence], warnings: list[str]) -> str:
    """The address that one parameter's maps make of an address. Raises TableRetry."""
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
    text = f"unreasonable {maps.parameter} map nesting for {address} -- message not accepted, try again later"
    if text not in warnings:
        warnings.append(text)
    return address
