"""A message while it is being delivered."""

import asyncio
from dataclasses import replace

from posthouse.envelope.envelope import Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.queue.store import Failure, QueuedMessage, RecipientState, StoredRecipient
from posthouse.schedule.wish import Wish


class ActiveMessage:
    """One message in the active set."""

    __slots__ = (
        "active_time",
        "changed",
        "concluding",
        "flushed",
        "message",
        "pending",
        "recipients",
        "report",
        "stranded",
        "tasks",
        "wish",
    )

    def __init__(self, message: QueuedMessage, active_time: float, *, flushed: bool = False) -> None:
        self.message = message
        self.flushed = flushed
        """Whether somebody asked for this attempt (postqueue -f, -i or -s)."""
        self.active_time = active_time
        self.recipients: list[StoredRecipient] = list(message.recipients)
        self.changed: set[int] = set()
        """Recipients whose change is not handed to the store yet."""
        self.pending = 0
        """Entries not finished."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Lanes that deliver it now."""
        self.wish: Wish | None = None
        """What an operator wants of it: nothing of it is begun any more."""
        self.stranded = False
        """Whether there were deliveries that were not begun for that."""
        self.concluding = False
        """Its fate is on the way to the disk; nobody can change it any more."""
        self.report: list[StoredRecipient] = []
        """What was logged of recipients, where the sender asked for it (Envelope.trace)."""

    @property
    def queue_id(self) -> str:
        """Its queue id."""
        return self.message.queue_id

    def pending_recipients(self) -> list[StoredRecipient]:
        """Recipients that still want delivery."""
        return [r for r in self.recipients if r.state is RecipientState.PENDING]

    def readdress(self, index: int, address: str) -> None:
        """The router says that it goes to another address (user%far@here is user@far)."""
        old = self.recipients[index]
        given = old.recipient
        recipient = Recipient(address, given.original, given.notify, given.orcpt)
        self.recipients[index] = replace(old, recipient=recipient)

    def set(
        self,
        index: int,
        state: RecipientState,
        dsn: Dsn,
        log_recipient: str = "",
        failures: tuple[Failure, ...] = (),
    ) -> None:
        """What an attempt said of a recipient."""
        old = self.recipients[index]
        self.recipients[index] = StoredRecipient(
            index, old.recipient, state, dsn, log_recipient, old.reported, failures
        )
        self.changed.add(index)

    def take_changed(self) -> tuple[StoredRecipient, ...]:
        """The changes to hand to the store, once."""
        found = tuple(self.recipients[i] for i in sorted(self.changed))
        self.changed.clear()
        return found
