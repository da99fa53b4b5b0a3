"""The error and retry agents: the nexthop is the reason.

    error:5.1.1 no such user        bounces with dsn=5.1.1
    error:mailbox closed            bounces with dsn=5.0.0
    retry:4.3.2 down until Monday   stays in the queue
    retry:down                      stays with dsn=4.0.0

A 4.y.z code under error defers, as error(8) says; retry never bounces.

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
        found = STATUS.match(request.nexthop)
        if found:
            status, reason = found[1], found[2]
        else:
            status, reason = "4.0.0" if self._retry else "5.0.0", request.nexthop
        if status[0] == "2" or (self._retry and status[0] == "5"):
            status = ("4" if self._retry else "5") + status[1:]
        fate = Fate.DEFERRED if status[0] == "4" else Fate.BOUNCED
        dsn = Dsn(status, reason)
        return [Outcome(queued.index, fate, dsn, "none") for queued in request.recipients]
