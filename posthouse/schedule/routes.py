"""Where each recipient of a message goes at this attempt: the router's answer, and a content filter in its place."""

from posthouse.address.address import split_address
from posthouse.envelope.outcome import Dsn
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import Clock
from posthouse.queue.store import StoredRecipient
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.chronicle import Chronicle
from posthouse.schedule.notices import Router
from posthouse.schedule.settings import ScheduleSettings
from posthouse.tables.table import TableRetry

RESOLVER_FAILED = Dsn("4.3.0", "address resolver failure")


@value
class Route:
    """One recipient's way."""

    stored: StoredRecipient
    transport: str
    nexthop: str
    recipient: str
    """The address to deliver to."""


class Routes:
    """Resolves the recipients that wait, and notes each way with its evidence."""

    def __init__(self, router: Router, settings: ScheduleSettings, chronicle: Chronicle, clock: Clock) -> None:
        self._router = router
        self._settings = settings
        self._chronicle = chronicle
        self._clock = clock

    async def of(self, active: ActiveMessage) -> list[Route]:
        """The ways of a message's recipients; those that cannot be told now are deferred."""
        message = active.message
        routes = []
        now = self._clock.now()
        for stored in active.pending_recipients():
            try:
                resolution = await self._router.resolve(message.envelope.sender, stored.recipient.address)
            except TableRetry:
                self._chronicle.refuse(active, (stored,), RESOLVER_FAILED)
                continue
            transport, nexthop, recipient = resolution.transport, resolution.nexthop, resolution.recipient
            evidence = resolution.evidence
            if message.content_filter and transport != "error":
                transport, _, nexthop = message.content_filter.partition(":")
                nexthop = nexthop or self._settings.default_filter_nexthop or split_address(recipient)[1]
                evidence = (*evidence, Evidence("content_filter", "", "", message.content_filter))
            self._chronicle.note(now, "routed", active, recipient, f"{transport}:{nexthop}", evidence)
            routes.append(Route(stored, transport, nexthop, recipient))
        return routes
