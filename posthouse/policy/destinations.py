"""What policy asks of routing: where an address goes, and whether it exists. routing's Router fits as it is."""

from typing import Protocol

from posthouse.routing.recipients import Unlisted
from posthouse.routing.resolve import Resolution


class Destinations(Protocol):
    """Raises TableRetry when a table could not be asked."""

    async def resolve(self, sender: str, address: str) -> Resolution:
        """Where mail from sender to address (internal forms) goes."""

    async def unlisted(self, address: str) -> Unlisted | None:
        """Why an address of ours does not exist, or None when it does or nobody keeps a list."""
