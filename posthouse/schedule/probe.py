"""Probing an address: everything of a delivery but the message (address verification, sendmail -bv)."""

from collections.abc import Mapping
from dataclasses import dataclass

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Recipient
from posthouse.envelope.outcome import Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.clock import Clock
from posthouse.schedule.notices import Router
from posthouse.schedule.routes import RESOLVER_FAILED
from posthouse.schedule.schedule import TRANSPORT_MISSING
from posthouse.schedule.transport import TransportService
from posthouse.tables.table import TableRetry

NOTHING = Content(b"", MemoryBody(b""))


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found out."""

    outcome: Outcome
    service: TransportService | None
    """Who answered; None where nobody could be asked."""


class Prober:
    """Asks a delivery agent about one address, outside the queue."""

    def __init__(self, router: Router, transports: Mapping[str, TransportService], clock: Clock) -> None:
        self._router = router
        self._transports = transports
        self._clock = clock

    async def ask(self, queue_id: str, sender: str, address: str, original: str) -> Probed:
        """What would become of mail to the address, first given as `original`. The queue id is for log lines."""
        try:
            resolution = await self._router.resolve(sender, address)
        except TableRetry:
            return Probed(Outcome(0, Fate.DEFERRED, RESOLVER_FAILED, "none"), None)
        service = self._transports.get(resolution.transport)
        if service is None:
            return Probed(Outcome(0, Fate.DEFERRED, TRANSPORT_MISSING, "none"), None)
        now = self._clock.now()
        recipients = (QueuedRecipient(0, Recipient(resolution.recipient, original)),)
        outcomes = await service.agent.deliver(
            DeliveryRequest(
                queue_id,
                now,
                sender,
                recipients,
                service.name,
                resolution.nexthop,
                NOTHING,
                LOCAL_CLIENT,
                active_time=now,
                trace_only=True,
                verification=True,
            )
        )
        return Probed(outcomes[0], service)
