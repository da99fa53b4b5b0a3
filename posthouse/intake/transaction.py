"""The seam between those who bring mail (SMTP sessions, pickup, bounces, forwards) and the one door into the queue."""

from dataclasses import dataclass, field
from typing import Protocol

from posthouse.envelope.envelope import Envelope
from posthouse.envelope.handling import Handling as Handling
from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence


@value
class Accepted:
    """The message is durable (or discarded on purpose)."""

    queue_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The message is not queued; the words are for the client."""

    code: int
    status: str
    text: str
    evidence: tuple[Evidence, ...] = field(default=())


class IntakeTransaction(Protocol):
    """One message on its way in."""

    @property
    def queue_id(self) -> str:
        """Given at the start, so that log lines can carry it."""

    async def write(self, chunk: bytes) -> None:
        """Content as it comes, in any cut: lines end in CRLF, no dot-stuffing, header first. Never raises: what goes
        wrong (too large, disk full) is told by commit(), so that a session reads to the end of data all the same."""

    async def commit(self, envelope: Envelope, received: bytes, handling: Handling) -> Accepted | Refused:
        """Clean up, expand, make durable. `received` is the Received field to prepend with its CRLF, or b"".
        Returns only after the sync. Logs as cleanup does (QID: message-id=<...>)."""

    def too_large(self) -> None:
        """More comes than there may be: forget it, and log whose message it was as cleanup does."""

    def abort(self) -> None:
        """Forget it (RSET, lost connection)."""


class Intake(Protocol):
    """The door."""

    def begin(self) -> IntakeTransaction:
        """A new transaction with a queue id of its own."""
