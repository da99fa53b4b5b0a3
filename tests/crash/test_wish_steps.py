# ruff: noqa: ASYNC110
"""postsuper wants something of a message that is being delivered, and the schedule is stopped after each commit, notice
and delivery in turn. Another goes on from what is on the disk. Nobody is left out; what was not in flight at the stop
is delivered once (docs/queue-states.md, steps S to Z)."""

import asyncio
from collections.abc import Callable, Sequence
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
from posthouse.queue.store import NewMessage, QueuedMessage, StoredRecipient
from posthouse.schedule.control import QueueControl
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings, TransportSettings
from posthouse.schedule.transport import TransportService
from tests.crash.test_schedule_steps import Stopping, World, empty

RECIPIENTS = ("a@one.example", "later@two.example", "bad@three.example")


class SlowWorld(World):
    """Has what it is given, and answers when the gate is open; who is named later says so once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.asked: set[str] = set()
        self.running = 0

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        await self.hang_if_stopped()
        (queued,) = request.recipients
        address = queued.recipient.address
        fate, dsn = Fate.DELIVERED, Dsn("2.0.0", "ok")
        if address.startswith("bad"):
            fate, dsn = Fate.BOUNCED, Dsn("5.1.1", "unknown")
        elif address.startswith("later") and address not in self.asked:
            fate, dsn = Fate.DEFERRED, Dsn("4.2.0", "later")
        else:
            self.delivered[address] += 1
        self.asked.add(address)
        self.running += 1
        self.step()
        await self.gate.wait()
        await self.hang_if_stopped()
        return [Outcome(queued.index, fate, dsn, "mx")]


class Slow(Stopping):
    """Bringing in anew is a commit, too."""

    async def enqueue(self, new: NewMessage) -> None:
        await self._world.hang_if_stopped()
        await self._store.enqueue(new)
        self._world.step()
        await self._world.hang_if_stopped()


class Door:
    """Another row for the same recipients, in the place of the old one."""

    def __init__(self, store: Slow) -> None:
        self.store = store
        self.schedule: Schedule | None = None

    async def bring(self, message: QueuedMessage, recipients: Sequence[StoredRecipient], content: Content) -> None:
        new = _message(self.store._store, [stored.recipient.address for stored in recipients])
        await self.store.enqueue(NewMessage(new, content, message.queue_id))
        assert self.schedule is not None
        self.schedule.on_queued(new)


def _message(store: LocalQueueStore, addresses: Sequence[str]) -> QueuedMessage:
    who = tuple(Recipient(address, address) for address in addresses)
    stored = tuple(StoredRecipient(i, r) for i, r in enumerate(who))
    return QueuedMessage(store.new_queue_id(), VirtualClock().now(), Envelope("s@example.com", who), stored, 9)


async def life(folder: Path, world: SlowWorld, wishes: Sequence[str]) -> bool:
    """One process; whether the wishes were all answered. Without any it brings all that there is to its end."""
    store = await open_queue(str(folder), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    log = ProcessLog(MemorySink(), "postfix/qmgr")
    slow = Slow(store, world)
    door = Door(slow)
    service = TransportService("smtp", world, log, TransportSettings(recipient_limit=1))
    clock = VirtualClock()
    schedule = door.schedule = Schedule(
        slow,  # type: ignore[arg-type]  # by __getattr__
        world,
        {"smtp": service},
        world,
        ScheduleSettings(),
        log,
        MemoryJournal(),
        clock=clock,
        door=door,
    )
    control = QueueControl(schedule, store, MemoryJournal())
    schedule.start()
    answered = 0

    async def wish() -> None:
        nonlocal answered
        for operation in wishes:
            async for _ in control.operate(operation, ("ALL",)):
                pass
            answered += 1

    async with asyncio.timeout(10):
        if wishes:
            message = _message(store, RECIPIENTS)
            await store.enqueue(NewMessage(message, Content(b"", MemoryBody(b""))))
            schedule.on_queued(message)
            await _until(lambda: world.running == len(RECIPIENTS) or world.stopped.is_set())
            wishing = asyncio.ensure_future(wish())
            await _until(lambda: wishing.done() or world.stopped.is_set())
            world.gate.set()
            await _until(lambda: world.stopped.is_set() or _settled(schedule))
            wishing.cancel()
        else:
            world.gate.set()
            for _ in range(3):  # what waits for a queue run, then what was deferred by that, then what came in anew
                async for _page in control.operate("release", ("ALL",)):
                    pass
                clock.advance(4100)
                await schedule.tick()
                await asyncio.sleep(0)  # the feeder hears of it
                await _until(lambda: _settled(schedule))
            assert await empty(store)
    await schedule._crew.end()
    await store.close()
    return answered == len(wishes)


def _settled(schedule: Schedule) -> bool:
    return not (schedule.active or schedule.feeder.busy or schedule.recorder.busy)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("wishes", [("hold",), ("hold", "release"), ("requeue",), ("hold", "requeue")], ids="-".join)
async def test_every_recipient_is_served_wherever_it_is_stopped(tmp_path: Path, wishes: tuple[str, ...]) -> None:
    for stop_at in range(1, 40):
        world = SlowWorld()
        world.stop_at = stop_at
        await life(tmp_path / f"{stop_at}", world, wishes)
        in_flight = world.stopped.is_set()
        world.stop_at = 0
        world.stopped = asyncio.Event()
        await life(tmp_path / f"{stop_at}", world, ())
        assert world.delivered.keys() == {"a@one.example", "later@two.example"}, stop_at
        assert world.told.keys() == {"bad@three.example"}, stop_at
        assert max(world.delivered.values()) <= (2 if in_flight else 1), stop_at
        assert max(world.told.values()) <= (2 if in_flight else 1), stop_at
        if not in_flight:
            assert stop_at > 5
            return
    raise AssertionError("the story has no end")


async def test_a_deleted_message_stays_deleted_wherever_it_is_stopped(tmp_path: Path) -> None:
    for stop_at in range(1, 40):
        world = SlowWorld()
        world.stop_at = stop_at
        deleted = await life(tmp_path / f"{stop_at}", world, ("delete",))
        in_flight = world.stopped.is_set()
        delivered = dict(world.delivered)
        world.stop_at = 0
        world.stopped = asyncio.Event()
        await life(tmp_path / f"{stop_at}", world, ())
        if deleted:
            assert world.delivered == delivered, stop_at
        if not in_flight:
            assert deleted and stop_at > 3
            assert world.told == {"bad@three.example": 1}
            return
    raise AssertionError("the story has no end")
