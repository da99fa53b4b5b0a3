"""The recipients of a message: rewritten, copied (bcc), expanded by virtual aliases, told apart.

Two recipients are the same when address, original recipient and DSN wishes are: one reached
through two aliases is delivered twice, as Postfix does, unless enable_original_recipient is off.

Standards: RFC 3461 sections 5.2.1 and 5.2.7 (NOTIFY=SUCCESS of an alias with several members ends here).
"""

from dataclasses import replace

from posthouse.address.address import fold
from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Notify, Recipient
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence
from posthouse.intake.address_mapping import AddressMapping
from posthouse.intake.settings import CleanupSettings
from posthouse.routing.router import Router
from posthouse.tables.maps import Maps
from posthouse.wire.smtp.client_commands import original_recipient


@value
class Expanded:
    """The recipients as they are queued."""

    recipients: tuple[Recipient, ...]
    expanded: tuple[Recipient, ...]
    """Those with NOTIFY=SUCCESS that became several: they are told "expanded" (RFC 3461 section 5.2.7)."""


class Expansion:
    """Expands the recipients of one service's messages."""

    def __init__(
        self,
        settings: CleanupSettings,
        router: Router,
        mapping: AddressMapping,
        sender_bcc: Maps | None,
        recipient_bcc: Maps | None,
        *,
        enabled: bool,
        copies: bool,
    ) -> None:
        self._settings = settings
        self._router = router
        self._mapping = mapping
        self._sender_bcc = sender_bcc if copies else None
        self._recipient_bcc = recipient_bcc if copies else None
        self._always_bcc = settings.always_bcc if copies else ""
        self._aliases = router.virtual_alias if enabled and router.virtual_alias.maps is not None else None

    async def expand(
        self,
        sender: str,
        recipients: tuple[Recipient, ...],
        bcc: tuple[str, ...],
        evidence: list[Evidence],
        warnings: list[str],
        *,
        submitted: bool = False,
        forwarded: bool = False,
    ) -> Expanded:
        """The recipients to queue. Raises TableRetry, ExpansionRefused.

        `submitted`: here, and not by SMTP. Then the original recipient of reports (RFC 3461 section 5.2.1) is the
        address after the canonical maps, as in Postfix. `forwarded`: by local(8), which knows that address: only a map
        makes another.
        """
        keep_original = self._settings.enable_original_recipient
        rewritten: list[Recipient] = []
        copies: list[str] = []
        for recipient in recipients:
            original = (recipient.original or recipient.address) if keep_original else ""
            address = await self.clean(recipient.address, evidence, warnings)
            orcpt = recipient.orcpt
            if submitted and not orcpt and address != ((not forwarded and original) or recipient.address):
                orcpt = original_recipient(address)
            if (address, original, orcpt) != (recipient.address, recipient.original, recipient.orcpt):
                recipient = Recipient(address, original, recipient.notify, orcpt)
            rewritten.append(recipient)
            if self._recipient_bcc is not None:
                copies += await self._copy(self._recipient_bcc, address, evidence)
        if self._sender_bcc is not None and sender:
            copies += await self._copy(self._sender_bcc, sender, evidence)
        if self._always_bcc:
            copies.append(self._always_bcc)
        for given in (*copies, *bcc):
            address = await self.clean(given, evidence, warnings)
            rewritten.append(Recipient(address, given if keep_original else "", Notify.NEVER))
        return await self._distinct(rewritten, evidence)

    def redirected(self, expanded: Expanded, address: str) -> Expanded:
        """REDIRECT: one recipient in the place of all. Aliases do not count for it, as in Postfix."""
        if not expanded.recipients:
            return expanded
        first = replace(expanded.recipients[0], address=self._router.rewrite(address))
        return Expanded((first,), expanded.expanded)

    async def also(
        self, there: Expanded, recipient: Recipient, evidence: list[Evidence], warnings: list[str]
    ) -> Expanded:
        """One more recipient beside those that are known. Raises TableRetry, ExpansionRefused."""
        address = await self.clean(recipient.address, evidence, warnings)
        original = address if self._settings.enable_original_recipient else ""
        new = await self._distinct([replace(recipient, address=address, original=original)], evidence)
        known = {(fold(r.address), fold(r.original), r.notify, r.orcpt) for r in there.recipients}
        kept = [r for r in new.recipients if (fold(r.address), fold(r.original), r.notify, r.orcpt) not in known]
        return Expanded((*there.recipients, *kept), (*there.expanded, *new.expanded))

    async def clean(self, address: str, evidence: list[Evidence], warnings: list[str]) -> str:
        """A recipient in standard form, through the canonical maps. Raises TableRetry."""
        # RFC 5321 section 4.5.5: mail to the null path is mail to whoever watches over bounces.
        address = self._router.rewrite(address or self._settings.empty_address_recipient)
        if self._mapping.for_class("envelope_recipient"):
            return await self._mapping.apply("envelope_recipient", address, evidence, warnings)
        return address

    async def _copy(self, maps: Maps, address: str, evidence: list[Evidence]) -> list[str]:
        found = await maps.lookup_address(quote_address(address), self._router.delimiter)
        if found is None:
            return []
        row = found[0]
        evidence.append(Evidence(maps.title, fact=f"{row.table}: {row.key} -> {row.value}"))
        return [row.value]

    async def _distinct(self, recipients: list[Recipient], evidence: list[Evidence]) -> Expanded:
        if len(recipients) == 1 and self._aliases is None:
            return Expanded(tuple(recipients), ())
        seen: set[tuple[str, ...]] = set()
        out: list[Recipient] = []
        told: list[Recipient] = []
        limit = self._settings.duplicate_filter_limit
        for recipient in recipients:
            addresses = [recipient.address]
            if self._aliases is not None:
                addresses = await self._aliases.expand(recipient.address, evidence)
                if len(addresses) > 1 and recipient.notify & Notify.SUCCESS:
                    told.append(recipient)
                    rest = recipient.notify & ~Notify.SUCCESS
                    recipient = replace(recipient, notify=rest or Notify.NEVER)
            for address in addresses:
                key: tuple[str, ...] = (fold(address),)
                if self._settings.enable_original_recipient:
                    key = (*key, fold(recipient.original), str(int(recipient.notify)), recipient.orcpt)
                if key in seen:
                    continue
                if not limit or len(seen) < limit:
                    seen.add(key)
                out.append(recipient if address == recipient.address else replace(recipient, address=address))
        return Expanded(tuple(out), tuple(told))
