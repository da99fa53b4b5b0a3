"""reject_unverified_sender, reject_unverified_recipient: refuse an address that a probe could not deliver to.

The prober is somebody else's (it sends mail); here is only what its answer means. It waits
itself as long as address_verify_poll_count and address_verify_poll_delay say.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.facts import Facts, Subject
from posthouse.policy.restriction import Check
from posthouse.policy.settings import VerifySettings

REASON_LIMIT = 250
"""Characters of a probe's text in a reply, as Postfix cuts them."""


class ProbeStatus(Enum):
    """What is known of an address."""

    DELIVERABLE = "deliverable"
    UNDELIVERABLE = "undeliverable"
    DEFERRED = "deferred"
    """The last probe could not be delivered for now."""
    PENDING = "pending"
    """No probe has come back yet."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The answer of a prober."""

    status: ProbeStatus
    text: str = ""
    """What the last hop said: "host a.example[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)"."""


class Prober(Protocol):
    """Sends probes and remembers what became of them."""

    async def probe(self, address: str) -> ProbeResult:
        """What is known of the address, a probe sent when that is nothing or old."""


class Verify:
    """Makes the checks."""

    def __init__(self, settings: VerifySettings, prober: Prober) -> None:
        self._settings = settings
        self._prober = prober

    def reject_unverified_sender(self) -> Check:
        """By the envelope sender."""
        s = self._settings
        return self._check(
            "Sender address",
            "4.1.7",
            s.unverified_sender_reject_code,
            s.unverified_sender_defer_code,
            s.unverified_sender_reject_reason,
            s.unverified_sender_tempfail_action,
        )

    def reject_unverified_recipient(self) -> Check:
        """By the recipient."""
        s = self._settings
        return self._check(
            "Recipient address",
            "4.1.1",
            s.unverified_recipient_reject_code,
            s.unverified_recipient_defer_code,
            s.unverified_recipient_reject_reason,
            s.unverified_recipient_tempfail_action,
        )

    def _check(
        self, reply_class: str, status: str, reject_code: int, defer_code: int, reason: str, tempfail_action: str
    ) -> Check:
        async def check(facts: Facts, subject: Subject) -> Verdict:
            address = facts.sender if reply_class == "Sender address" else facts.recipient
            if not address:
                return DUNNO
            result = await self._prober.probe(address)
            fact = f"{address} is {result.status.value}: {result.text}"
            if result.status is ProbeStatus.DELIVERABLE:
                return DUNNO
            named = f"<{address}>: {reply_class} rejected:"
            if result.status is ProbeStatus.UNDELIVERABLE:
                text = reason or result.text
                word = "unverified" if reject_code // 100 == 4 else "undeliverable"  # as Postfix words it
                return facts.refuse(reject_code, status, f"{named} {word} address: {text}", fact)
            waiting = reason or result.text or "Address verification in progress"
            text = f"{named} unverified address: {waiting[:REASON_LIMIT]}"
            if tempfail_action == "defer":
                return facts.refuse(defer_code, status, text, fact)
            return facts.defer_if_permit(defer_code, status, text, fact)

        return check
