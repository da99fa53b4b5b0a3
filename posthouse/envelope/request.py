"""What a delivery agent is handed, and the seam that agents share."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Client, Recipient
from posthouse.envelope.outcome import Outcome
from posthouse.envelope.value import value


@value
class QueuedRecipient:
    """A recipient with its number in the queued message."""

    index: int
    recipient: Recipient


@value
class DeliveryRequest:
    """One message for one transport and nexthop, with the recipients that share them."""

    queue_id: str
    arrival_time: float
    """Seconds since the epoch, with microseconds."""
    sender: str
    recipients: tuple[QueuedRecipient, ...]
    """Recipient.address is what routing made of it; for most agents it is the queued address."""
    transport: str
    """master.cf service name."""
    nexthop: str
    content: Content
    client: Client
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    body: str = ""
    local_rewrite: bool = True
    active_time: float = 0.0
    """When the message became active (seconds since the epoch): b in delays=a/b/c/d ends when the agent starts."""
    trace_only: bool = False
    """A probe (sendmail -bv, address verification): do everything but deliver."""
    verification: bool = False
    """Whether a server asks it (address verification), which wants to hear of the address itself."""


class DeliveryAgent(Protocol):
    """Carries a request out. Never raises for what the world does: every recipient gets an Outcome."""

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient, in any order. Writes no log line: the schedule does, from the Outcomes."""
