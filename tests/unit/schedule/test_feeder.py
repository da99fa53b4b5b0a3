"""What the feeder reads of the queue, and what it need not remember."""

from collections.abc import AsyncIterator, Sequence

from posthouse.envelope.envelope import Envelope
from posthouse.queue.store import QueuedMessage, State
from posthouse.schedule.feeder import PAGE, Feeder


class FakeSchedule:
    """A queue of numbered messages, read page by page, and an active set of a few."""

    def __init__(self, count: int, room: int) -> None:
        self.rows = dict.fromkeys(range(count), State.DEFERRED)
        self.room = room
        self.active: set[str] = set()
        self.taken: list[str] = []

    def has_room(self) -> bool:
        return len(self.active) < self.room

    def activate(self, message: QueuedMessage, *, flushed: bool = False) -> None:
        self.active.add(message.queue_id)
        self.taken.append(message.queue_id)

    async def scan(self, states: Sequence[State], until: float | None) -> AsyncIterator[QueuedMessage]:
        after = -1
        while page := [n for n in sorted(self.rows) if n > after and self.rows[n] in states][:PAGE]:
            for number in page:
                yield QueuedMessage(f"{number}", 0.0, Envelope("", ()), (), 1)
            after = page[-1]


async def _deliver(schedule: FakeSchedule, feeder: Feeder) -> int:
    """Deliver what is active, again and again; the most that the feeder had to remember."""
    remembered = 0
    while True:
        await feeder.feed()
        if not schedule.active:
            return remembered
        for queue_id in sorted(schedule.active, key=int):
            del schedule.rows[int(queue_id)]
            schedule.active.discard(queue_id)
            feeder.conclude(queue_id)
        remembered = max(remembered, len(feeder._concluded) + len(feeder._concluded_before))


async def test_each_message_is_taken_up_once_and_what_is_remembered_is_bounded() -> None:
    schedule = FakeSchedule(6 * PAGE, 7)
    feeder = Feeder(schedule)
    feeder.run_queue(incoming=True, deferred=True, until=None)
    remembered = await _deliver(schedule, feeder)
    assert schedule.taken == [f"{number}" for number in range(6 * PAGE)]
    assert remembered <= 2 * PAGE + 2 * 7


async def test_two_scans_forget_only_what_both_know() -> None:
    schedule = FakeSchedule(5 * PAGE, 3)
    for number in range(1, 5 * PAGE, 2):
        schedule.rows[number] = State.INCOMING
    feeder = Feeder(schedule)
    feeder.run_queue(incoming=True, deferred=True, until=None)
    remembered = await _deliver(schedule, feeder)
    assert sorted(schedule.taken, key=int) == [f"{number}" for number in range(5 * PAGE)]
    assert remembered <= 5 * PAGE


async def test_what_was_settled_after_its_page_was_read_is_not_taken_up() -> None:
    schedule = FakeSchedule(10, 1)
    feeder = Feeder(schedule)
    feeder.run_queue(incoming=False, deferred=True, until=None)
    await feeder.feed()
    assert schedule.taken == ["0"]
    feeder.conclude("5")
    feeder.freeze(["6"])
    schedule.active.clear()
    schedule.room = 100
    await feeder.feed()
    assert schedule.taken == ["0", "1", "2", "3", "4", "7", "8", "9"]
