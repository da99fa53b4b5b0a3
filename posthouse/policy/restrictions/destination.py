"""Restrictions on where mail may go and who exists: relay control, unlisted addresses."""

import time
from collections.abc import Callable

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.access_action import split_status
from posthouse.policy.destinations import Destinations
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.settings import CheckSettings
from posthouse.routing.address_class import AddressClass
from posthouse.routing.resolve import Resolution

KNOWN_SECONDS = 1.0
"""How long a recipient that was found is believed to exist: a burst of mail for one asks the tables once. Who was not
found is asked again each time, so that a new account works at once."""
KNOWN_LIMIT = 4096
"""Recipients remembered; when they are more, all are forgotten."""


class Destination:
    """The checks; each is one restriction."""

    def __init__(
        self, settings: CheckSettings, destinations: Destinations, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._destinations = destinations
        self._clock = clock
        self._known: dict[str, float] = {}

    async def authorized(self, address: str) -> Resolution | None:
        """How an address resolves when it is ours or one of relay_domains, else None.

        One that names a further place behind it is none of them: "user%elsewhere@relayed.example".
        """
        resolution = await self._destinations.resolve("", address)
        if resolution.routed and not self._settings.allow_untrusted_routing:
            return None
        return None if resolution.address_class is AddressClass.DEFAULT else resolution

    async def permit_auth_destination(self, facts: Facts, subject: Subject) -> Verdict:
        """Ours, or one of relay_domains."""
        if facts.recipient is None:
            return DUNNO
        resolution = await self.authorized(facts.recipient)
        return DUNNO if resolution is None else facts.permit(_why(resolution))

    async def reject_unauth_destination(self, facts: Facts, subject: Subject) -> Verdict:
        """Anybody else's."""
        return await self._unauthorized(facts, self._settings.relay_domains_reject_code)

    async def defer_unauth_destination(self, facts: Facts, subject: Subject) -> Verdict:
        """Anybody else's, for now: a mistake in the configuration then loses nothing."""
        return await self._unauthorized(facts, self._settings.relay_domains_reject_code - 100)

    async def _unauthorized(self, facts: Facts, code: int) -> Verdict:
        if facts.recipient is None or await self.authorized(facts.recipient) is not None:
            return DUNNO
        fact = "not in mydestination, virtual_alias_domains, virtual_mailbox_domains, relay_domains"
        return facts.refuse(code, "5.7.1", f"<{facts.recipient}>: Relay access denied", fact)

    async def reject_unlisted_recipient(self, facts: Facts, subject: Subject) -> Verdict:
        """A recipient of ours that does not exist."""
        if facts.recipient is None or facts.recipient_checked:
            return DUNNO
        facts.recipient_checked = not facts.warn_only
        now = self._clock()
        if self._known.get(facts.recipient, 0.0) > now:
            return DUNNO
        unlisted = await self._destinations.unlisted(facts.recipient)
        if unlisted is None:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            self._known[facts.recipient] = now + KNOWN_SECONDS
            return DUNNO
        text = f"<{facts.recipient}>: Recipient address rejected: {unlisted.text}"
        fact = unlisted.evidence[-1].fact if unlisted.evidence else ""
        status, _ = split_status(unlisted.status, "", "Recipient address", facts.log)
        return facts.refuse(unlisted.code, status, text, fact)

    async def reject_unlisted_sender(self, facts: Facts, subject: Subject) -> Verdict:
        """A sender of ours that does not exist."""
        if not facts.sender or facts.sender_checked:
            return DUNNO
        facts.sender_checked = not facts.warn_only
        unlisted = await self._destinations.unlisted(facts.sender)
        if unlisted is None:
            return DUNNO
        # RFC 3463 section 3.2: 5.1.1 is about destinations, so a sender gets 5.1.0.
        status = "5.1.0"
        if unlisted.status != "5.1.1":
            status, _ = split_status(unlisted.status, "", "Sender address", facts.log)
        text = f"<{facts.sender}>: Sender address rejected: {unlisted.text}"
        fact = unlisted.evidence[-1].fact if unlisted.evidence else ""
        return facts.refuse(unlisted.code, status, text, fact)


def _why(resolution: Resolution) -> str:
    return f"{resolution.recipient} is in a {resolution.address_class.value} domain"
