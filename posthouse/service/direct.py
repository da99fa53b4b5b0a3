"""lmtpd's door: straight into the mailboxes, without the queue, where every recipient is the store's.

What intake does to a message is the same. Then, instead of the commit to the queue, each recipient
is delivered, and the client hears of each one: it keeps what could not be delivered now. A message
that anything else is wanted of (another transport, a filter, HOLD, recipients that expanded) is
queued as usual.

Standards: RFC 2033 section 4.2 (a reply for each recipient, each for its own delivery).
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Envelope
from posthouse.envelope.handling import Handling
from posthouse.envelope.outcome import Fate, Outcome
from posthouse.envelope.request import DeliveryAgent, DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.service import MessageStore, OnQueued
from posthouse.intake.transaction import Accepted, Refused
from posthouse.intake.writing import CleanupTransaction
from posthouse.journal.journal import Entry, Journal
from posthouse.policy.milter.chain import Chain
from posthouse.queue.body import FileBody
from posthouse.queue.store import ContentWriter, NewMessage, QueuedMessage, State
from posthouse.schedule.delivery_log import delivery_line
from posthouse.session.smtp.seams import PerRecipient
from posthouse.tables.table import TableRetry
from posthouse.wire.smtp.reply import Reply


class Route(Protocol):
    """Where a recipient goes."""

    @property
    def transport(self) -> str:
        """The master.cf service."""

    @property
    def nexthop(self) -> str:
        """For it."""

    @property
    def recipient(self) -> str:
        """The address to deliver to."""


class DirectStore:
    """Takes the queue's place behind one listener's intake: delivers what it can, queues the rest."""

    def __init__(
        self,
        queue: MessageStore,
        on_queued: OnQueued,
        resolve: Callable[[str, str], Awaitable[Route]],
        agents: Mapping[str, DeliveryAgent],
        log: ProcessLog,
        journal: Journal,
    ) -> None:
        """`agents`: the store transports, by service name. They must not need the message again after deliver()."""
        self._queue = queue
        self._on_queued = on_queued
        self._resolve = resolve
        self._agents = agents
        self._log = log
        self._journal = journal
        self._expected: dict[str, Envelope] = {}
        """Messages whose clients wait for a reply for each of these recipients."""
        self._delivered: dict[str, Sequence[Outcome]] = {}

    def expect(self, queue_id: str, envelope: Envelope) -> None:
        """A message is being committed."""
        self._expected[queue_id] = envelope

    def outcomes(self, queue_id: str) -> Sequence[Outcome] | None:
        """What became of its recipients; None when it was queued, or refused."""
        self._expected.pop(queue_id, None)
        return self._delivered.pop(queue_id, None)

    def new_queue_id(self) -> str:
        """An id that was never given before."""
        return self._queue.new_queue_id()

    def new_content(self, queue_id: str) -> ContentWriter:
        """Begin a body."""
        return self._queue.new_content(queue_id)

    async def enqueue(self, new: NewMessage) -> None:
        """Durable on return, here or there. Raises QueueFull, QueueFault."""
        message = new.message
        routes = await self._routes(message)
        if not routes:
            await self._queue.enqueue(new)
            return
        delivered: list[Outcome] = []
        for (agent, transport, nexthop), recipients in routes.items():
            request = DeliveryRequest(
                message.queue_id,
                message.arrival_time,
                message.envelope.sender,
                tuple(recipients),
                transport,
                nexthop,
                new.content,
                message.envelope.client,
                message.envelope.ret,
                message.envelope.envid,
                message.envelope.smtputf8,
                message.envelope.body,
                message.envelope.local_rewrite,
                message.arrival_time,
            )
            delivered += await agent.deliver(request)
        delivered.sort(key=lambda outcome: outcome.index)
        self._delivered[message.queue_id] = delivered
        if isinstance(new.content.body, FileBody):
            try:
                os.unlink(new.content.body.path)
            except OSError:
                pass  # an orphan is removed when the shard is opened next
        self._tell(message, delivered)

    async def _routes(
        self, message: QueuedMessage
    ) -> dict[tuple[DeliveryAgent, str, str], list[QueuedRecipient]] | None:
        """Recipients by agent, transport and nexthop; None when the message is the queue's."""
        expected = self._expected.get(message.queue_id)
        if expected is None or message.state is not State.INCOMING or message.content_filter:
            return None
        given = [recipient.address for recipient in expected.recipients]
        if given != [stored.recipient.address for stored in message.recipients]:
            return None  # there would be no reply to give for some of them
        routes: dict[tuple[DeliveryAgent, str, str], list[QueuedRecipient]] = {}
        for stored in message.recipients:
            try:
                route = await self._resolve(message.envelope.sender, stored.recipient.address)
            except TableRetry:
                return None
            agent = self._agents.get(route.transport)
            if agent is None or route.recipient != stored.recipient.address:
                return None
            routes.setdefault((agent, route.transport, route.nexthop), []).append(
                QueuedRecipient(stored.index, stored.recipient)
            )
        return routes

    def on_queued(self, message: QueuedMessage, content: Content) -> None:
        """Intake's word that a message is durable: the schedule hears of what is in the queue."""
        if message.queue_id not in self._delivered:
            self._on_queued(message, content)

    def record(self, entry: Entry) -> None:
        """Intake's journal: what was delivered was never queued."""
        if entry.step != "queued" or entry.queue_id not in self._delivered:
            self._journal.record(entry)

    def _tell(self, message: QueuedMessage, delivered: Sequence[Outcome]) -> None:
        now = time.time()
        delay = now - message.arrival_time
        for outcome in delivered:
            recipient = message.recipients[outcome.index].recipient
            dsn = outcome.dsn
            self._log.info(
                delivery_line(
                    message.queue_id,
                    recipient.address,
                    recipient.original,
                    outcome.relay,
                    delay,
                    (delay, 0.0, 0.0, 0.0),
                    0,
                    dsn.status,
                    outcome.fate.value,
                    dsn.reason,
                )
            )
            self._journal.record(
                Entry(
                    now,
                    _STEPS[outcome.fate],
                    message.queue_id,
                    message.message_id,
                    "",
                    message.envelope.sender,
                    recipient.address,
                    f"relay={outcome.relay}, status={outcome.fate.value} ({dsn.reason})",
                )
            )


NO_ROOM = ("5.2.2", "5.2.3", "5.3.4")
"""RFC 3463 sections 3.3 and 3.4: a full mailbox, or a message that is too large."""

_STEPS = {Fate.DELIVERED: "delivered", Fate.DEFERRED: "deferred", Fate.BOUNCED: "bounced"}


class DirectTransaction:
    """Implements DoorTransaction (session/smtp/seams.py)."""

    def __init__(self, transaction: CleanupTransaction, store: DirectStore) -> None:
        self._transaction = transaction
        self._store = store

    @property
    def queue_id(self) -> str:
        """Given at the start, for log lines."""
        return self._transaction.queue_id

    async def write(self, chunk: bytes) -> None:
        """Content in canonical form. Never raises."""
        await self._transaction.write(chunk)

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: Chain | None = None
    ) -> Accepted | Refused | PerRecipient:
        """Deliver it, or queue it."""
        queue_id = self._transaction.queue_id
        self._store.expect(queue_id, envelope)
        outcomes = None
        try:
            answer = await self._transaction.commit(envelope, received, handling, milters=milters)
        finally:
            outcomes = self._store.outcomes(queue_id)
        if outcomes is None:
            return answer
        return PerRecipient(tuple(_reply(outcome, envelope, queue_id) for outcome in outcomes))

    def too_large(self) -> None:
        """Forget it."""
        self.abort()

    def abort(self) -> None:
        """Forget it."""
        self._transaction.abort()


def _reply(outcome: Outcome, envelope: Envelope, queue_id: str) -> Reply:
    status = outcome.dsn.status
    address = envelope.recipients[outcome.index].address
    if outcome.fate is Fate.DELIVERED:
        return Reply(250, status, f"<{address}> {queue_id} Saved")
    # RFC 5321 section 4.2.2: 552 where it is about room.
    code = 451 if outcome.fate is Fate.DEFERRED else 552 if status in NO_ROOM else 550
    return Reply(code, status, f"<{address}> {outcome.dsn.reason}")


class DirectDoor:
    """Implements Door: lmtpd's."""

    def __init__(self, intake: CleanupIntake, store: DirectStore) -> None:
        """`intake` writes to `store`."""
        self._intake = intake
        self._store = store

    def begin(self) -> DirectTransaction:
        """A new transaction."""
        return DirectTransaction(self._intake.begin(), self._store)
