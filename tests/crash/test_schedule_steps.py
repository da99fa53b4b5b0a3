"""Stops the schedule after each commit and each notice in turn, starts another on what is on the disk, and looks
whether every recipient was served: delivered or told of, at least once; and only what was in flight more than once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.host.clock import VirtualClock
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import Fate as QueueFate
from posthouse.queue.store import NewMessage, QueuedMessage, StoredRecipient
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings, TransportSettings
from posthouse.schedule.transport import TransportService


@dataclass
class Resolution:
    transport: str
    nexthop: str
    recipient: str
    evidence: tuple[()] = ()
    is_local: bool = False


class World:
    """What outlives a crash: who got mail, who was told."""

    def __init__(self) -> None:
        self.delivered: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.steps = 0
        self.stop_at = 0
        self.stopped = asyncio.Event()

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.stop_at:
            self.stopped.set()

    async def hang_if_stopped(self) -> None:
        if self.stopped.is_set():
            await asyncio.Event().wait()  # nothing happens any more

    async def resolve(self, sender: str, address: str) -> Resolution:
        return Resolution("smtp", address.partition("@")[2], address)

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        await self.hang_if_stopped()
        outcomes = []
        for queued in request.recipients:
            address = queued.recipient.address
            if address.startswith("bad"):
                outcomes.append(Outcome(queued.index, Fate.BOUNCED, Dsn("5.1.1", "unknown"), "mx"))
            else:
                self.delivered[address] += 1
                outcomes.append(Outcome(queued.index, Fate.DELIVERED, Dsn("2.0.0", "ok"), "mx"))
        self.step()
        await self.hang_if_stopped()
        return outcomes

    async def failed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        await self.hang_if_stopped()
        for recipient in recipients:
            self.told[recipient.recipient.address] += 1
        self.step()
        await self.hang_if_stopped()

    async def delayed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        raise AssertionError

    async def succeeded(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        raise AssertionError

    async def traced(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        raise AssertionError


class Stopping:
    """A store whose commits are steps."""

    def __init__(self, store: LocalQueueStore, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def record(self, fates: Sequence[QueueFate]) -> None:
        await self._world.hang_if_stopped()
        await self._store.record(fates)
        self._world.step()
        await self._world.hang_if_stopped()


RECIPIENTS = ("a@one.example", "b@two.example", "bad1@one.example", "bad2@three.example", "c@two.example")


async def life(folder: Path, world: World, *, send: bool) -> None:
    store = await open_queue(str(folder), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    log = ProcessLog(MemorySink(), "postfix/qmgr")
    service = TransportService("smtp", world, log, TransportSettings(recipient_limit=1))
    clock = VirtualClock()
    schedule = Schedule(
        Stopping(store, world),  # type: ignore[arg-type]  # by __getattr__
        world,
        {"smtp": service},
        world,
        ScheduleSettings(),
        log,
        MemoryJournal(),
        clock=clock,
    )
    if send:
        who = tuple(Recipient(address, address) for address in RECIPIENTS)
        message = QueuedMessage(
            store.new_queue_id(),
            clock.now(),
            Envelope("s@example.com", who),
            tuple(StoredRecipient(i, r) for i, r in enumerate(who)),
            9,
        )
        await store.enqueue(NewMessage(message, Content(b"", MemoryBody(b""))))
        schedule.on_queued(message)
    schedule.start()
    async with asyncio.timeout(5):
        while not world.stopped.is_set():
            if not schedule.active and not schedule.feeder.busy and not schedule.recorder.busy and await empty(store):
                break
            await asyncio.sleep(0.001)
    await schedule._crew.end()
    await store.close()


async def empty(store: LocalQueueStore) -> bool:
    page, _ = await store.page(("", -1))
    return not page


@pytest.mark.parametrize("stop_at", range(1, 12))
async def test_every_recipient_is_served_wherever_the_schedule_is_stopped(tmp_path: Path, stop_at: int) -> None:
    world = World()
    world.stop_at = stop_at
    await life(tmp_path, world, send=True)
    in_flight = world.stopped.is_set()
    world.stop_at = 0
    world.stopped = asyncio.Event()
    await life(tmp_path, world, send=False)
    assert world.delivered.keys() == {address for address in RECIPIENTS if not address.startswith("bad")}
    assert world.told.keys() == {address for address in RECIPIENTS if address.startswith("bad")}
    assert max(world.delivered.values()) <= (2 if in_flight else 1)
    assert max(world.told.values()) <= (2 if in_flight else 1)
