"""Where each recipient of a message goes at this attempt: the router's answer, and a content filter in its place."""

from posthouse.address.address import split_address
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import Clock
from posthouse.host.log import ProcessLog
from posthouse.queue.store import StoredRecipient
from posthouse.routing.probe_sender import is_probe_sender
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.chronicle import Chronicle
from posthouse.schedule.notices import Router
from posthouse.schedule.settings import ScheduleSettings
from posthouse.tables.table import TableRetry

DISCARDED = Dsn("2.0.0", "undeliverable postmaster notification discarded")
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

    def __init__(
        self, router: Router, settings: ScheduleSettings, chronicle: Chronicle, clock: Clock, log: ProcessLog
    ) -> None:
        """`log` is qmgr's."""
        self._router = router
        self._settings = settings
        self._chronicle = chronicle
        self._clock = clock
        self._log = log

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
            if resolution.is_local and self._ends_here(recipient, now):
                outcome = Outcome(stored.index, Fate.DELIVERED, DISCARDED, "none")
                self._chronicle.take(active, [outcome], now, self._log)
                continue
            if message.content_filter and transport != "error":
                transport, _, nexthop = message.content_filter.partition(":")
                nexthop = nexthop or self._settings.default_filter_nexthop or split_address(recipient)[1]
                evidence = (*evidence, Evidence("content_filter", "", "", message.content_filter))
            self._chronicle.note(now, "routed", active, recipient, f"{transport}:{nexthop}", evidence)
            routes.append(Route(stored, transport, nexthop, recipient))
        return routes

    def _ends_here(self, recipient: str, now: float) -> bool:
        """Whether this is where notices that nobody gets, and answers to probes, end: a system without a local agent
        needs no mailbox for them."""
        settings = self._settings
        if split_address(recipient)[0].lower() == settings.double_bounce_sender.lower():
            return True
        return is_probe_sender(recipient, settings.address_verify_sender, settings.address_verify_sender_ttl, now)
