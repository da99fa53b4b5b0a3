"""The discard agent: takes the message and throws it away; the nexthop is the reason, with a code or without.

Standards: Postfix discard(8).
"""

from collections.abc import Sequence

from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.transport.error import STATUS


class DiscardAgent:
    """Implements DeliveryAgent."""

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """Every recipient is done."""
        status, reason = "2.0.0", request.nexthop
        found = STATUS.match(reason)
        if found:
            status, reason = (found[1] if found[1].startswith("2") else status), found[2]
        dsn = Dsn(status, reason)
        return [Outcome(queued.index, Fate.DELIVERED, dsn, "none") for queued in request.recipients]
