"""Which maps apply to which addresses of a message: canonical maps and masquerading by class.

The classes are envelope_sender, envelope_recipient, header_sender and header_recipient, as
canonical_classes and its kin spell them.
"""

from posthouse.envelope.verdict import Evidence
from posthouse.intake.settings import CleanupSettings
from posthouse.routing.address_map import AddressMap
from posthouse.routing.canonical import canonical
from posthouse.routing.router import Router


class AddressMapping:
    """Canonical maps and masquerading."""

    def __init__(self, settings: CleanupSettings, router: Router, *, enabled: bool) -> None:
        self._masquerade = router.masquerade
        self._maps: dict[str, list[AddressMap]] = {}
        kinds = ("envelope_sender", "envelope_recipient", "header_sender", "header_recipient")
        for kind in kinds if enabled else ():
            maps = self._maps[kind] = []
            own, own_classes = (
                (router.sender_canonical, settings.sender_canonical_classes)
                if kind.endswith("sender")
                else (router.recipient_canonical, settings.recipient_canonical_classes)
            )
            if own is not None and kind in own_classes:
                maps.append(own)
            if router.canonical is not None and kind in settings.canonical_classes:
                maps.append(router.canonical)
        self._masked = router.masquerade.classes if enabled else frozenset()
        self._active = {kind: bool(self._maps.get(kind)) or kind in self._masked for kind in kinds}

    def for_class(self, kind: str) -> bool:
        """Whether anything applies to this class."""
        return self._active[kind]

    async def apply(self, kind: str, address: str, evidence: list[Evidence], warnings: list[str]) -> str:
        """What becomes of an address in standard form. Raises TableRetry."""
        if not self._active[kind] or not address:
            return address
        for maps in self._maps[kind]:
            address = await canonical(address, maps, evidence, warnings)
        return self._masquerade.address(address) if kind in self._masked else address
