"""The discard agent: takes the message and throws it away; the nexthop is the log's reason.

Standards: Postfix discard(8).
"""

from collections.abc import Sequence

from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest


class DiscardAgent:
    """Implements DeliveryAgent."""

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """Every recipient is done."""
        dsn = Dsn("2.0.0", request.nexthop)
        return [Outcome(queued.index, Fate.DELIVERED, dsn, "none") for queued in request.recipients]
