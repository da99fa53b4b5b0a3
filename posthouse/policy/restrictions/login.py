"""reject_sender_login_mismatch and its halves: whose sender addresses a login may use (smtpd_sender_login_maps)."""

from collections.abc import Callable

from posthouse.address.local_part import quote_address
from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.settings import CheckSettings
from posthouse.tables.maps import Maps


class SenderLogin:
    """The checks; each is one restriction."""

    def __init__(self, settings: CheckSettings, maps: Maps | None, warn: Callable[[str], None]) -> None:
        self._settings = settings
        self._maps = maps
        self._warn = warn

    async def reject_sender_login_mismatch(self, facts: Facts, subject: Subject) -> Verdict:
        """Both halves."""
        if not self._settings.smtpd_sasl_auth_enable:
            self._sasl(facts)
            return DUNNO
        verdict = await self.reject_authenticated_sender_login_mismatch(facts, subject)
        return (
            verdict if verdict is not DUNNO else await self.reject_unauthenticated_sender_login_mismatch(facts, subject)
        )

    async def reject_authenticated_sender_login_mismatch(self, facts: Facts, subject: Subject) -> Verdict:
        """A login that uses an address that is not its own."""
        return await self._not_owned(facts, only_known=False)

    async def reject_known_sender_login_mismatch(self, facts: Facts, subject: Subject) -> Verdict:
        """Like reject_sender_login_mismatch, when the address has an owner."""
        if not facts.login:
            return await self.reject_unauthenticated_sender_login_mismatch(facts, subject)
        return await self._not_owned(facts, only_known=True)

    async def reject_unauthenticated_sender_login_mismatch(self, facts: Facts, subject: Subject) -> Verdict:
        """Nobody logged in, and the address has an owner."""
        if not self._sasl(facts) or facts.login or not facts.sender:
            return DUNNO
        owners, fact = await self._owners(facts.sender)
        if not owners:
            return DUNNO
        return facts.refuse(553, "5.7.1", f"<{facts.sender}>: Sender address rejected: not logged in", fact)

    async def _not_owned(self, facts: Facts, *, only_known: bool) -> Verdict:
        if not self._sasl(facts) or not facts.login or not facts.sender:
            return DUNNO
        owners, fact = await self._owners(facts.sender)
        if facts.login.lower() in owners or (only_known and not owners):
            return DUNNO
        text = f"<{facts.sender}>: Sender address rejected: not owned by user {facts.login}"
        return facts.refuse(553, "5.7.1", text, fact)

    def _sasl(self, facts: Facts) -> bool:
        """Whether anybody can log in at all."""
        if not self._settings.smtpd_sasl_auth_enable:
            self._warn(f"restriction `{facts.current.restriction}' ignored: no SASL support")
        return self._settings.smtpd_sasl_auth_enable

    async def _owners(self, sender: str) -> tuple[frozenset[str], str]:
        if self._maps is None:
            return frozenset(), "smtpd_sender_login_maps is empty"
        found = await self._maps.lookup_address(quote_address(sender), self._settings.recipient_delimiter)
        if found is None:
            return frozenset(), f"smtpd_sender_login_maps: {sender}: not found"
        row = found[0]
        return frozenset(row.value.lower().replace(",", " ").split()), f"{row.table}: {row.key} -> {row.value}"
