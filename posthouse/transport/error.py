"""The error and retry agents: the nexthop is the reason.

    error:5.1.1 no such user        bounces with dsn=5.1.1
    error:mailbox closed            bounces with dsn=5.0.0
    retry:4.3.2 down until Monday   stays in the queue
    retry:down                      stays with dsn=4.0.0

error always bounces and retry never does: a code of the wrong class is not believed.

Standards: RFC 3463 section 2 (the code); Postfix error(8).
"""

import re
from collections.abc import Sequence

from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest

# RFC 3463 section 2: status-code = class "." subject "." detail
STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)(.*)", re.DOTALL)


class ErrorAgent:
    """Implements DeliveryAgent: every recipient gets the nexthop's text."""

    def __init__(self, *, retry: bool = False) -> None:
        """retry: this is the retry service (master.cf name "retry"), which only defers."""
        self._retry = retry

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient, all alike."""
        status, reason = ("4.0.0" if self._retry else "5.0.0"), request.nexthop
        found = STATUS.match(reason)
        if found:
            reason = found[2]
            if found[1][0] == status[0]:
                status = found[1]
        fate = Fate.DEFERRED if self._retry else Fate.BOUNCED
        dsn = Dsn(status, reason)
        return [Outcome(queued.index, fate, dsn, "none") for queued in request.recipients]
