"""lmtpd's door."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.handling import NO_HANDLING, Handling
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Accepted
from posthouse.journal.journal import Entry, MemoryJournal
from posthouse.queue.store import NewMessage, QueuedMessage, StoredRecipient
from posthouse.service.direct import DirectDoor, DirectStore
from posthouse.session.smtp.seams import PerRecipient


@dataclass
class Route:
    transport: str
    nexthop: str
    recipient: str


class Mailboxes:
    """full@ has no room now, nobody@ does not exist."""

    def __init__(self) -> None:
        self.requests: list[DeliveryRequest] = []

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        self.requests.append(request)
        fates = {
            "full@x": (Fate.DEFERRED, "4.2.0"),
            "nobody@x": (Fate.BOUNCED, "5.1.1"),
            "over@x": (Fate.BOUNCED, "5.2.2"),
        }
        outcomes = []
        for queued in request.recipients:
            fate, status = fates.get(queued.recipient.address, (Fate.DELIVERED, "2.0.0"))
            outcomes.append(Outcome(queued.index, fate, Dsn(status, "words"), "store"))
        return outcomes[::-1]


class Queue:
    def __init__(self) -> None:
        self.queued: list[str] = []

    def new_queue_id(self) -> str:
        return "0ABC"

    async def enqueue(self, new: NewMessage) -> None:
        self.queued.append(new.message.queue_id)


class Cleanup:
    """Intake, and at once its only transaction; what it makes of the recipients can be told."""

    def __init__(self, store: DirectStore, into: tuple[str, ...] = (), content_filter: str = "") -> None:
        self.store, self.into, self.content_filter = store, into, content_filter
        self.queue_id = store.new_queue_id()

    def begin(self) -> "Cleanup":
        return self

    async def commit(
        self, envelope: Envelope, received: bytes, handling: Handling, *, milters: object = None
    ) -> Accepted:
        recipients = tuple(map(Recipient, self.into)) or envelope.recipients
        stored = tuple(StoredRecipient(number, recipient) for number, recipient in enumerate(recipients))
        filtered = self.content_filter
        message = QueuedMessage(self.queue_id, 1.0, envelope, stored, 9, content_filter=filtered)
        content = Content(b"A: b\r\n", MemoryBody(b""))
        await self.store.enqueue(NewMessage(message, content))
        self.store.record(Entry(1.0, "queued", self.queue_id))
        self.store.on_queued(message, content)
        return Accepted(self.queue_id)


class House:
    def __init__(self) -> None:
        self.queue, self.mailboxes, self.sink, self.journal = Queue(), Mailboxes(), MemorySink(), MemoryJournal()
        self.scheduled: list[str] = []

        async def resolve(sender: str, address: str) -> Route:
            return Route("smtp" if address.endswith("@far") else "store", "x", address)

        def on_queued(message: QueuedMessage, content: Content) -> None:
            self.scheduled.append(message.queue_id)

        log = ProcessLog(self.sink, "postfix/lmtpd", 1)
        self.store = DirectStore(self.queue, on_queued, resolve, {"store": self.mailboxes}, log, self.journal)  # type: ignore[arg-type]  # no content is written here

    async def bring(self, *recipients: str, **cleanup: object) -> object:
        door = DirectDoor(Cleanup(self.store, **cleanup), self.store)  # type: ignore[arg-type]  # a fake of both
        envelope = Envelope("a@b", tuple(map(Recipient, recipients)))
        return await door.begin().commit(envelope, b"", NO_HANDLING)


async def test_a_mailbox_over_its_quota_has_no_room() -> None:
    answer = await House().bring("over@x")
    assert isinstance(answer, PerRecipient)
    assert [bytes(reply) for reply in answer.replies] == [b"552 5.2.2 <over@x> words\r\n"]


async def test_each_recipient_gets_its_own_reply_in_the_order_of_the_envelope() -> None:
    house = House()
    answer = await house.bring("joe@x", "full@x", "nobody@x")
    assert isinstance(answer, PerRecipient)
    assert [bytes(reply) for reply in answer.replies] == [
        b"250 2.0.0 <joe@x> 0ABC Saved\r\n",
        b"451 4.2.0 <full@x> words\r\n",
        b"550 5.1.1 <nobody@x> words\r\n",
    ]
    assert house.queue.queued == house.scheduled == []
    assert [entry.step for entry in house.journal.entries] == ["delivered", "deferred", "bounced"]
    assert "0ABC: to=<full@x>, relay=store" in house.sink.lines[1]
    assert "dsn=4.2.0, status=deferred (words)" in house.sink.lines[1]


async def test_mail_for_another_transport_is_queued_whole() -> None:
    house = House()
    assert await house.bring("joe@x", "ann@far") == Accepted("0ABC")
    assert house.queue.queued == house.scheduled == ["0ABC"]
    assert house.mailboxes.requests == []


async def test_recipients_that_expanded_are_queued() -> None:
    house = House()
    assert await house.bring("all@x", into=("joe@x", "ann@x")) == Accepted("0ABC")
    assert house.queue.queued == ["0ABC"]


async def test_mail_for_a_filter_is_queued() -> None:
    house = House()
    assert await house.bring("joe@x", content_filter="smtp:scan") == Accepted("0ABC")
    assert house.queue.queued == ["0ABC"]
