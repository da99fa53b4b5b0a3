# ruff: noqa: ASYNC110
"""What postsuper wants of a message that is being delivered: the attempt ends by itself, and nothing is sent twice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.host.clock import VirtualClock
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Refused
from posthouse.journal.journal import MemoryJournal
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import NewMessage, QueuedMessage, RecipientState, State, StoredRecipient
from posthouse.schedule.control import QueueControl
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings, TransportSettings
from posthouse.schedule.transport import TransportService

SENT = (Fate.DELIVERED, Dsn("2.0.0", "250 ok", diagnostic_type="smtp"))
LATER = (Fate.DEFERRED, Dsn("4.2.0", "later"))
NEVER = (Fate.BOUNCED, Dsn("5.1.1", "no such user"))


@dataclass
class Resolution:
    transport: str
    nexthop: str
    recipient: str
    evidence: tuple[()] = ()
    is_local: bool = False


class Route:
    gate: asyncio.Event | None = None

    async def resolve(self, sender: str, address: str) -> Resolution:
        if self.gate is not None:
            await self.gate.wait()
        return Resolution("smtp", address.partition("@")[2], address)


class Peer:
    """Has each message whole, and answers when it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.gate = asyncio.Event()
        self.answer: Callable[[str], tuple[Fate, Dsn]] = lambda address: SENT

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        self.got += [(request.queue_id, queued.recipient.address) for queued in request.recipients]
        await self.gate.wait()
        return [Outcome(q.index, *self.answer(q.recipient.address), "peer") for q in request.recipients]

    @property
    def addresses(self) -> list[str]:
        return [address for _, address in self.got]


class Told:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, list[str], bytes]] = []

    async def _tell(self, kind: str, m: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        self.calls.append((kind, m.queue_id, [r.recipient.address for r in recipients], content.header))

    async def failed(self, *told: object) -> None:
        await self._tell("failed", *told)  # type: ignore[arg-type]  # as they come

    async def delayed(self, *told: object) -> None:
        await self._tell("delayed", *told)  # type: ignore[arg-type]

    async def succeeded(self, *told: object) -> None:
        await self._tell("succeeded", *told)  # type: ignore[arg-type]

    async def traced(self, *told: object) -> None:
        await self._tell("traced", *told)  # type: ignore[arg-type]


class Door:
    """Lets a message in under a new id, with "new-" before each address; or says no."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.refusal: Refused | None = None
        self.brought: list[str] = []
        self.gate: asyncio.Event | None = None

    async def bring(
        self, message: QueuedMessage, recipients: Sequence[StoredRecipient], content: Content
    ) -> Refused | None:
        self.brought.append(message.queue_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal is None:
            addresses = ["new-" + stored.recipient.address for stored in recipients]
            await self.house.send(*addresses, replaces=message.queue_id)
        return self.refusal


class House:
    def __init__(self, store: LocalQueueStore, transport: TransportSettings) -> None:
        self.store = store
        self.clock = VirtualClock()
        self.sink = MemorySink()
        self.peer, self.told, self.route, self.door = Peer(), Told(), Route(), Door(self)
        journal = MemoryJournal()
        log = ProcessLog(self.sink, "postfix/qmgr", 1)
        service = TransportService("smtp", self.peer, ProcessLog(self.sink, "postfix/smtp", 1), transport)
        self.schedule = Schedule(
            store,
            self.route,
            {"smtp": service},
            self.told,
            ScheduleSettings(),
            log,
            journal,
            clock=self.clock,
            door=self.door,
        )
        self.control = QueueControl(self.schedule, store, journal)

    async def send(self, *addresses: str, replaces: str = "") -> str:
        queue_id = self.store.new_queue_id()
        who = tuple(Recipient(address, address, Notify.NONE) for address in addresses)
        stored = tuple(StoredRecipient(i, r) for i, r in enumerate(who))
        message = QueuedMessage(queue_id, self.clock.now(), Envelope("s@example.com", who), stored, 20)
        await self.store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", MemoryBody(b"body\r\n")), replaces))
        self.schedule.on_queued(message)
        return queue_id

    async def sent(self, *addresses: str, running: int = 0) -> str:
        """A message of which so many deliveries run."""
        queue_id = await self.send(*addresses)
        await self.until(lambda: len(self.peer.got) >= (running or len(addresses)))
        return queue_id

    async def operate(self, operation: str, queue_id: str) -> bool:
        async with asyncio.timeout(5):
            return [done async for page in self.control.operate(operation, (queue_id,)) for done in page] == [queue_id]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0.001)

    async def answered(self) -> None:
        """The peer answers, and all has settled."""
        self.peer.gate.set()
        await self.settled()

    async def settled(self) -> None:
        await self.until(lambda: not (self.schedule.active or self.schedule.feeder.busy or self.schedule.recorder.busy))

    async def queue(self) -> list[tuple[str, str, list[str]]]:
        """Queue, id and the recipients that are not done, as mailq shows them."""
        rows = [row async for page in self.control.rows() for row in page]
        return [(r["queue_name"], r["queue_id"], [one["address"] for one in r["recipients"]]) for r in rows]

    def said(self, text: str) -> list[str]:
        return [line for line in self.sink.lines if text in line]

    def outcome_rows(self) -> int:
        def count(shard: object) -> int:
            return int(next(iter(shard.read_now(_count))))  # type: ignore[attr-defined]

        def _count(database: object) -> list[int]:
            return [row[0] for row in database.connection.execute("SELECT count(*) FROM outcome")]  # type: ignore[attr-defined]

        return sum(count(shard) for shard in self.store.shards)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    house = House(store, TransportSettings(recipient_limit=1))
    house.schedule.start()
    yield house
    await house.schedule.stop()
    await store.close()


async def test_a_message_that_is_held_while_it_is_delivered_is_removed_when_that_has_ended(house: House) -> None:
    queue_id = await house.sent("a@example.net")
    assert await house.operate("hold", queue_id)
    assert await house.queue() == [("hold", queue_id, ["a@example.net"])]
    assert (await house.store.load(queue_id)).state is State.HOLD
    assert house.schedule.active
    await house.answered()
    assert await house.queue() == []
    assert house.said("status=sent") and house.said(f"{queue_id}: removed")
    assert house.peer.addresses == ["a@example.net"]


async def test_what_is_held_keeps_who_has_got_it_and_who_has_not(house: House) -> None:
    house.peer.answer = lambda address: LATER if address.startswith("b") else SENT
    queue_id = await house.sent("a@example.net", "b@example.net")
    assert await house.operate("hold", queue_id)
    await house.answered()
    assert await house.queue() == [("hold", queue_id, ["b@example.net"])]
    message = await house.store.load(queue_id)
    assert [r.state for r in message.recipients] == [RecipientState.DONE, RecipientState.PENDING]
    assert message.recipients[1].dsn.reason == "later"
    house.peer.answer = lambda address: SENT
    assert await house.operate("release", queue_id)
    await house.settled()
    assert await house.queue() == []
    assert house.peer.addresses == ["a@example.net", "b@example.net", "b@example.net"]


async def test_a_bounce_of_a_held_message_is_told(house: House) -> None:
    house.peer.answer = lambda address: NEVER if address.startswith("b") else LATER
    queue_id = await house.sent("a@example.net", "b@example.net")
    assert await house.operate("hold", queue_id)
    await house.answered()
    assert house.told.calls == [("failed", queue_id, ["b@example.net"], b"Subject: x\r\n")]
    assert (await house.store.load(queue_id)).recipients[1].reported
    assert await house.queue() == [("hold", queue_id, ["a@example.net"])]


async def test_what_was_not_begun_is_not_begun_when_it_is_held(house: House) -> None:
    house.route.gate = asyncio.Event()
    queue_id = await house.send("a@example.net")
    await asyncio.sleep(0)
    assert await house.operate("hold", queue_id)
    house.route.gate.set()
    await house.answered()
    assert house.peer.got == []
    assert await house.queue() == [("hold", queue_id, ["a@example.net"])]


async def test_a_release_during_the_attempt_goes_on_after_it(house: House) -> None:
    house.peer.answer = lambda address: LATER if address.startswith("b") else SENT
    queue_id = await house.sent("a@example.net", "b@example.net")
    assert await house.operate("hold", queue_id)
    assert await house.operate("release", queue_id)
    assert await house.queue() == [("deferred", queue_id, ["a@example.net", "b@example.net"])]
    await house.answered()
    assert await house.queue() == [("deferred", queue_id, ["b@example.net"])]
    assert (await house.store.load(queue_id)).next_attempt > house.clock.now()
    assert house.peer.addresses == ["a@example.net", "b@example.net"]


async def test_a_release_tries_at_once_what_the_hold_has_kept_from_beginning(house: House) -> None:
    addresses = [f"r{number}@example.net" for number in range(150)]  # more than run at once
    queue_id = await house.sent(*addresses, running=100)
    assert await house.operate("hold", queue_id)
    assert await house.operate("release", queue_id)
    await house.answered()
    assert sorted(house.peer.addresses) == sorted(addresses)
    assert await house.queue() == []


@pytest.mark.parametrize("fate", [SENT, LATER])
async def test_a_message_that_is_deleted_while_it_is_delivered_leaves_nothing(
    house: House, fate: tuple[Fate, Dsn]
) -> None:
    house.peer.answer = lambda address: fate
    queue_id = await house.sent("a@example.net", "b@example.net")
    assert await house.operate("delete", queue_id)
    assert await house.queue() == []
    assert house.schedule.active
    await house.answered()
    assert len(house.said("to=<")) == 2
    assert not house.said("removed")
    assert house.told.calls == []
    assert house.outcome_rows() == 0
    assert house.peer.addresses == ["a@example.net", "b@example.net"]


async def test_the_sender_of_a_deleted_message_is_told_that_it_bounced(house: House) -> None:
    house.peer.answer = lambda address: NEVER
    queue_id = await house.sent("a@example.net")
    assert await house.operate("delete", queue_id)
    await house.answered()
    assert house.told.calls == [("failed", queue_id, ["a@example.net"], b"")]
    assert house.outcome_rows() == 0


async def test_deleted_before_its_content_was_read_it_does_not_bounce(house: House) -> None:
    reading, read = asyncio.Event(), house.store.load_content

    async def slowly(queue_id: str) -> Content | None:
        reading.set()
        await go_on.wait()
        return await read(queue_id)

    go_on = asyncio.Event()
    house.store.load_content = slowly  # type: ignore[method-assign]
    queue_id = await house.send("a@example.net")
    await reading.wait()
    assert await house.operate("delete", queue_id)
    go_on.set()
    await house.answered()
    assert house.peer.got == [] and house.told.calls == [] and house.said("to=<") == []


async def test_outcomes_that_wait_for_their_commit_do_not_outlive_the_message(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    house.peer.gate.set()
    await house.until(lambda: house.schedule.recorder.busy or queue_id not in house.schedule.active)
    await house.operate("delete", queue_id)
    await house.settled()
    assert await house.queue() == []
    assert house.outcome_rows() == 0


async def test_expire_is_for_the_next_attempt(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    assert await house.operate("expire", queue_id)
    assert (await house.queue())[0][0] == "active"
    await house.answered()
    assert house.told.calls == []
    assert (await house.store.load(queue_id)).force_expired
    await house.control.flush((queue_id,))
    await house.settled()
    assert house.told.calls == [("failed", queue_id, ["a@example.net"], b"Subject: x\r\n")]
    assert house.peer.addresses == ["a@example.net"]


async def test_a_requeued_message_comes_in_anew_at_once(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    await house.answered()
    house.peer.answer = lambda address: SENT
    assert await house.operate("requeue", queue_id)
    await house.settled()
    assert house.door.brought == [queue_id]
    assert house.peer.addresses == ["a@example.net", "new-a@example.net"]
    assert await house.queue() == []
    assert house.outcome_rows() == 0
    assert not house.said(f"{queue_id}: removed")


async def test_a_message_requeued_while_it_is_delivered_waits_for_the_answer(house: House) -> None:
    house.peer.answer = lambda address: LATER if address.startswith("b") else SENT
    queue_id = await house.sent("a@example.net", "b@example.net")
    assert await house.operate("requeue", queue_id)
    assert await house.queue() == [("maildrop", queue_id, ["a@example.net", "b@example.net"])]
    for operation in ("hold", "release", "requeue", "expire"):
        assert not await house.operate(operation, queue_id)
    assert house.door.brought == []
    await house.answered()
    assert house.door.brought == [queue_id]
    assert house.peer.addresses == ["a@example.net", "b@example.net", "new-b@example.net"]
    assert await house.queue() == []


async def test_a_requeued_message_that_was_delivered_meanwhile_is_gone(house: House) -> None:
    queue_id = await house.sent("a@example.net")
    assert await house.operate("requeue", queue_id)
    await house.answered()
    assert house.door.brought == []
    assert house.said(f"{queue_id}: removed")
    assert await house.queue() == []


async def test_a_requeued_message_can_be_deleted_while_the_attempt_runs(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    assert await house.operate("requeue", queue_id)
    assert await house.operate("delete", queue_id)
    await house.answered()
    assert await house.queue() == []
    assert house.door.brought == []


async def test_a_message_that_is_coming_in_anew_cannot_be_deleted_by_its_old_name(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    await house.answered()
    house.door.gate = asyncio.Event()
    assert await house.operate("requeue", queue_id)
    await house.until(lambda: bool(house.door.brought))
    deleting = asyncio.ensure_future(house.operate("delete", queue_id))
    await asyncio.sleep(0.01)
    house.door.gate.set()
    assert not await deleting
    await house.settled()
    assert [row[2] for row in await house.queue()] == [["new-a@example.net"]]


async def test_what_cannot_come_in_now_waits_in_the_maildrop(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    await house.answered()
    house.door.refusal = Refused(451, "4.3.0", "table trouble")
    assert await house.operate("requeue", queue_id)
    await house.settled()
    assert await house.queue() == [("maildrop", queue_id, ["a@example.net"])]
    house.door.refusal = None
    house.clock.advance(400)
    await house.schedule.tick()
    await house.settled()
    assert house.peer.addresses == ["a@example.net", "new-a@example.net"]


async def test_what_is_to_come_in_anew_is_left_to_a_successor(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    await house.answered()
    house.schedule.leave()
    assert await house.operate("requeue", queue_id)
    await house.settled()
    assert house.door.brought == []
    assert await house.queue() == [("maildrop", queue_id, ["a@example.net"])]
    message = await house.store.load(queue_id)
    assert (message.state, message.next_attempt) == (State.INCOMING, 0.0)


async def test_what_cleanup_refuses_for_good_is_returned(house: House) -> None:
    house.peer.answer = lambda address: LATER
    queue_id = await house.sent("a@example.net")
    await house.answered()
    house.door.refusal = Refused(552, "5.3.4", "message file too big")
    assert await house.operate("requeue", queue_id)
    await house.settled()
    assert house.told.calls == [("failed", queue_id, ["a@example.net"], b"Subject: x\r\n")]
    assert await house.queue() == []


async def test_a_released_message_is_not_taken_up_as_it_was_read_before(house: House) -> None:
    """A scan may hold a page that was read before the attempt: its recipients are not as they are now."""
    house.peer.answer = lambda address: LATER
    others = [await house.sent(f"o{number}@example.net", running=number + 1) for number in range(3)]
    queue_id = await house.sent("a@example.net", "b@example.net", running=5)
    await house.answered()
    house.peer.got.clear()
    feeder = house.schedule.feeder
    room = house.schedule.has_room
    house.schedule.has_room = lambda: not house.schedule.active and room()  # type: ignore[method-assign]
    house.peer.gate.clear()
    feeder.run_queue(incoming=False, deferred=True, until=float("inf"))
    await house.until(lambda: bool(house.peer.got))  # the page is read, its first message is being tried
    house.peer.answer = lambda address: SENT if address.startswith("a") else LATER
    message = await house.store.load(queue_id)
    house.schedule.activate(message)
    await house.until(lambda: "b@example.net" in house.peer.addresses)
    assert await house.operate("hold", queue_id)
    assert await house.operate("release", queue_id)
    await house.answered()
    assert house.peer.addresses.count("a@example.net") == 1
    assert len(others) == 3
