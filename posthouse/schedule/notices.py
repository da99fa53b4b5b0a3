"""The seams of the schedule: who says where mail goes, and who tells senders what became of it."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.verdict import Evidence
from posthouse.queue.store import QueuedMessage, StoredRecipient


class Resolution(Protocol):
    """Where one recipient goes (routing/resolve.py)."""

    @property
    def transport(self) -> str:
        """master.cf service name."""

    @property
    def nexthop(self) -> str:
        """As the delivery agent wants it."""

    @property
    def recipient(self) -> str:
        """The address to deliver to."""

    @property
    def is_local(self) -> bool:
        """Whether the domain is one of mydestination."""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Why."""


class Router(Protocol):
    """Where a recipient goes."""

    async def resolve(self, sender: str, address: str) -> Resolution:
        """Transport and nexthop. Raises TableRetry when a table could not be asked."""


class Notices(Protocol):
    """Notices to senders. Each call returns after its notice is committed, or was not wanted; raises QueueFull or
    QueueFault when it could not be queued: then the message stays and the call is made again later."""

    async def failed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """These recipients will not get it. Their dsn says why; NOTIFY is looked at here."""

    async def delayed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """These recipients have not got it yet."""

    async def succeeded(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """These recipients (NOTIFY=SUCCESS) have got it."""

    async def traced(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        """What the first attempt did (Envelope.trace), for every recipient, as it was logged."""
