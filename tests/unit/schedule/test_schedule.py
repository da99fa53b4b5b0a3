# ruff: noqa: ASYNC110
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient, Trace
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import VirtualClock
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import Fate as QueueFate
from posthouse.queue.store import NewMessage, QueuedMessage, QueueFull, State, StoredRecipient
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings, TransportSettings
from posthouse.schedule.transport import TransportService

SENT = Dsn("2.0.0", "250 2.0.0 ok", diagnostic_type="smtp", remote_mta="mx.example.net")
LATER = Dsn("4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection timed out")
NEVER = Dsn("5.1.1", "user unknown")


@dataclass
class Resolution:
    transport: str
    nexthop: str
    recipient: str
    evidence: tuple[Evidence, ...] = ()
    is_local: bool = False


class Route:
    async def resolve(self, sender: str, address: str) -> Resolution:
        transport = "gone" if address.startswith("gone") else "smtp"
        return Resolution(transport, address.partition("@")[2], address, is_local=address.endswith("@here.example"))


class Agent:
    """Says per recipient what the test wants; counts how many deliveries run at once."""

    def __init__(self) -> None:
        self.requests: list[DeliveryRequest] = []
        self.answer: Callable[[str], tuple[Fate, Dsn, bool]] = lambda address: (Fate.DELIVERED, SENT, False)
        self.running = 0
        self.most = 0
        self.gate: asyncio.Event | None = None

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        outcomes = []
        for queued in request.recipients:
            fate, dsn, failed = self.answer(queued.recipient.address)
            outcomes.append(Outcome(queued.index, fate, dsn, "mx.example.net[192.0.2.1]:25", destination_failed=failed))
        return outcomes


class Told:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, list[str]]] = []
        self.full = False
        self.report: list[tuple[str, str, str]] = []

    async def _tell(self, kind: str, message: QueuedMessage, recipients: Sequence[StoredRecipient]) -> None:
        if self.full:
            raise QueueFull("no room")
        self.calls.append((kind, message.queue_id, [r.recipient.address for r in recipients]))

    async def failed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        await self._tell("failed", message, recipients)

    async def delayed(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        await self._tell("delayed", message, recipients)

    async def succeeded(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        await self._tell("succeeded", message, recipients)

    async def traced(self, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
        await self._tell("traced", message, recipients)
        self.report = [(r.recipient.address, r.dsn.action, r.dsn.reason) for r in recipients if r.dsn is not None]


class House:
    def __init__(
        self, store: LocalQueueStore, settings: ScheduleSettings, transport: TransportSettings, process_limit: int
    ) -> None:
        self.store = store
        self.clock = VirtualClock()
        self.sink = MemorySink()
        self.agent = Agent()
        self.told = Told()
        self.journal = MemoryJournal()
        self.schedule = Schedule(
            store,
            Route(),
            {
                "smtp": TransportService(
                    "smtp", self.agent, ProcessLog(self.sink, "postfix/smtp", 1), transport, process_limit
                )
            },
            self.told,
            settings,
            ProcessLog(self.sink, "postfix/qmgr", 1),
            self.journal,
            clock=self.clock,
        )

    async def send(
        self, *recipients: str, sender: str = "s@example.com", trace: Trace = Trace.NONE, verp: str = ""
    ) -> str:
        queue_id = self.store.new_queue_id()
        who = tuple(Recipient(address, address) for address in recipients)
        message = QueuedMessage(
            queue_id,
            self.clock.now(),
            Envelope(sender, who, trace=trace, verp=verp),
            tuple(StoredRecipient(i, r) for i, r in enumerate(who)),
            20,
        )
        await self.store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))))
        self.schedule.on_queued(message)
        return queue_id

    async def quiet(self) -> None:
        async with asyncio.timeout(5):
            while self.schedule.active:
                await self.schedule.recorder.progress()

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.schedule.tick()
        await self.fed()
        await self.quiet()

    async def fed(self) -> None:
        async with asyncio.timeout(5):
            while self.schedule.feeder.busy:
                await asyncio.sleep(0.001)


Maker = Callable[..., "asyncio.Future[House]"]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    houses: list[House] = []

    async def make(
        transport: TransportSettings = TransportSettings(),  # noqa: B008
        process_limit: int = 100,
        **settings: object,
    ) -> House:
        store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
        house = House(store, ScheduleSettings(**settings), transport, process_limit)  # type: ignore[arg-type]  # by name
        houses.append(house)
        house.schedule.start()
        await house.fed()
        return house

    yield make
    for house in houses:
        await house.schedule.stop()
        await house.store.close()


async def test_a_delivered_message_is_logged_and_removed(make) -> None:
    house = await make()
    queue_id = await house.send("a@example.net")
    await house.quiet()
    assert house.sink.lines == [
        f"postfix/qmgr: {queue_id}: from=<s@example.com>, size=20, nrcpt=1 (queue active)",
        f"postfix/smtp: {queue_id}: to=<a@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0, delays=0/0/0/0,"
        " dsn=2.0.0, status=sent (250 2.0.0 ok)",
        f"postfix/qmgr: {queue_id}: removed",
    ]
    assert await house.store.load(queue_id) is None
    assert [entry.step for entry in house.journal.entries] == ["routed", "delivered", "removed"]


async def test_recipients_of_one_destination_share_a_delivery(make) -> None:
    house = await make()
    await house.send("a@example.net", "b@example.net", "c@example.org")
    await house.quiet()
    assert [[r.recipient.address for r in q.recipients] for q in house.agent.requests] == [
        ["a@example.net", "b@example.net"],
        ["c@example.org"],
    ]


async def test_each_recipient_of_a_verp_message_has_a_delivery_and_a_sender_of_its_own(make) -> None:
    house = await make()
    await house.send("a@example.net", "b@example.net", verp="+=")
    await house.send("c@example.net", verp="-=")
    await house.quiet()
    assert [(q.sender, [r.recipient.address for r in q.recipients]) for q in house.agent.requests] == [
        ("s+a=example.net@example.com", ["a@example.net"]),
        ("s+b=example.net@example.com", ["b@example.net"]),
        ("s-c=example.net@example.com", ["c@example.net"]),
    ]


async def test_recipients_are_split_at_the_recipient_limit(make) -> None:
    house = await make(TransportSettings(recipient_limit=2))
    await house.send(*(f"u{i}@example.net" for i in range(5)))
    await house.quiet()
    assert [len(q.recipients) for q in house.agent.requests] == [2, 2, 1]


async def test_a_deferred_recipient_is_tried_again_when_due_and_the_delivered_one_is_not(make) -> None:
    house = await make()
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, False) if a.startswith("b") else (Fate.DELIVERED, SENT, False)
    queue_id = await house.send("a@example.net", "b@example.net")
    await house.quiet()
    stored = await house.store.load(queue_id)
    assert stored.state is State.DEFERRED
    assert stored.next_attempt == house.clock.now() + 300
    assert stored.recipients[1].dsn.reason == LATER.reason
    house.agent.answer = lambda a: (Fate.DELIVERED, SENT, False)
    house.agent.requests.clear()
    await house.later(299)
    assert house.agent.requests == []
    await house.later(1)
    assert [[r.recipient.address for r in q.recipients] for q in house.agent.requests] == [["b@example.net"]]
    assert await house.store.load(queue_id) is None


async def test_a_bounce_is_told_before_the_message_goes(make) -> None:
    house = await make()
    house.agent.answer = lambda a: (Fate.BOUNCED, NEVER, False)
    house.told.full = True
    queue_id = await house.send("a@example.net")
    await house.quiet()
    assert (await house.store.load(queue_id)).state is State.DEFERRED
    house.told.full = False
    house.agent.requests.clear()
    await house.later(300)
    assert house.agent.requests == []
    assert house.told.calls == [("failed", queue_id, ["a@example.net"])]
    assert await house.store.load(queue_id) is None


async def test_soft_bounce_keeps_the_message(make) -> None:
    house = await make(soft_bounce=True)
    house.agent.answer = lambda a: (Fate.BOUNCED, NEVER, False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    assert (await house.store.load(queue_id)).recipients[0].dsn.status == "4.1.1"
    assert "dsn=4.1.1, status=SOFTBOUNCE (user unknown)" in house.sink.lines[1]


async def test_a_dead_destination_suspends_what_waits_for_it(make) -> None:
    house = await make(TransportSettings(initial_concurrency=1, concurrency_limit=1))
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, True)
    for _ in range(3):
        await house.send("a@example.net")
    await house.quiet()
    await house.send("a@example.net")
    await house.quiet()
    assert len(house.agent.requests) == 1
    suspended = [line for line in house.sink.lines if line.startswith("postfix/error")]
    assert len(suspended) == 3
    assert suspended[0].endswith(f"dsn=4.4.1, status=deferred (delivery temporarily suspended: {LATER.reason})")


async def test_the_window_bounds_deliveries_at_once(make) -> None:
    house = await make(TransportSettings(initial_concurrency=2, concurrency_limit=3))
    house.agent.gate = asyncio.Event()
    for _ in range(10):
        await house.send("a@example.net")
    for _ in range(50):
        await asyncio.sleep(0)
    assert house.agent.running == 2
    house.agent.gate.set()
    await house.quiet()
    assert house.agent.most <= 3
    assert len(house.agent.requests) == 10


async def test_a_missing_transport_defers(make) -> None:
    house = await make()
    queue_id = await house.send("gone@example.net")
    await house.quiet()
    assert (
        f"postfix/error: {queue_id}: to=<gone@example.net>, relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0,"
        " status=deferred (mail transport unavailable)"
    ) in house.sink.lines


async def test_defer_transports_are_not_asked(make) -> None:
    house = await make(defer_transports=("smtp",))
    await house.send("a@example.net")
    await house.quiet()
    assert house.agent.requests == []
    assert "dsn=4.3.2, status=deferred (deferred transport)" in house.sink.lines[1]


async def test_a_flush_asks_defer_transports_too(make) -> None:
    house = await make(defer_transports=("smtp",))
    await house.send("a@example.net")
    await house.quiet()
    house.schedule.feeder.run_queue(incoming=True, deferred=True, until=float("inf"))
    await house.fed()
    await house.quiet()
    assert len(house.agent.requests) == 1
    await house.send("b@example.net")
    await house.quiet()
    assert len(house.agent.requests) == 1  # the flush is over


async def test_a_message_expires_only_after_an_attempt(make) -> None:
    house = await make(maximal_queue_lifetime=1000)
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    assert house.told.calls == []
    await house.later(1000)
    assert len(house.agent.requests) == 2
    assert f"postfix/qmgr: {queue_id}: from=<s@example.com>, status=expired, returned to sender" in house.sink.lines
    assert house.told.calls == [("failed", queue_id, ["a@example.net"])]
    assert await house.store.load(queue_id) is None


async def test_nothing_expires_right_after_the_clock_jumped(make) -> None:
    house = await make()
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    house.clock.jump(400 * 86_400)
    await house.later(300)
    assert (await house.store.load(queue_id)) is not None
    await house.later(4000)
    assert (await house.store.load(queue_id)) is None


async def test_a_delay_is_told_once(make) -> None:
    house = await make(delay_warning_time=200)
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    await house.later(300)
    await house.later(4000)
    assert house.told.calls == [("delayed", queue_id, ["a@example.net"])]


async def test_mail_past_the_active_limit_waits_on_disk_and_is_delivered(make) -> None:
    house = await make(qmgr_message_active_limit=2)
    house.agent.gate = asyncio.Event()
    ids = [await house.send("a@example.net") for _ in range(6)]
    assert len(house.schedule.active) == 2
    house.agent.gate.set()
    async with asyncio.timeout(5):
        while len(house.agent.requests) < 6 or house.schedule.active:
            await asyncio.sleep(0.001)
    assert sorted(q.queue_id for q in house.agent.requests) == sorted(ids)


async def test_a_rate_delay_pauses_after_each_delivery(make) -> None:
    house = await make(TransportSettings(rate_delay=10))
    for _ in range(3):
        await house.send("a@example.net")
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(house.agent.requests) == 1
    house.clock.advance(10)
    await house.schedule.tick()
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(house.agent.requests) == 2
    await house.later(10)
    assert len(house.agent.requests) == 3


async def test_content_filter_overrides_routing(make) -> None:
    house = await make()
    queue_id = house.store.new_queue_id()
    who = Recipient("a@example.net", "a@example.net")
    message = QueuedMessage(
        queue_id,
        house.clock.now(),
        Envelope("s@example.com", (who,)),
        (StoredRecipient(0, who),),
        9,
        content_filter="smtp:[127.0.0.1]:10024",
    )
    await house.store.enqueue(NewMessage(message, Content(b"", MemoryBody(b""))))
    house.schedule.on_queued(message)
    await house.quiet()
    assert house.agent.requests[0].nexthop == "[127.0.0.1]:10024"


async def test_a_small_message_overtakes_a_large_one(make) -> None:
    house = await make(process_limit=1)
    house.agent.gate = asyncio.Event()
    await house.send(*(f"u@d{i}.example" for i in range(50)))
    while not house.agent.running:
        await asyncio.sleep(0)
    await house.send("small@example.net")
    while house.schedule._to_resolve.qsize():
        await asyncio.sleep(0)
    house.agent.gate.set()
    await house.quiet()
    order = [q.recipients[0].recipient.address for q in house.agent.requests]
    assert order.index("small@example.net") < 5
    assert len(order) == 51


async def test_messages_for_one_destination_take_turns(make) -> None:
    house = await make(TransportSettings(recipient_limit=1, concurrency_limit=1, initial_concurrency=1, slot_cost=0))
    house.agent.gate = asyncio.Event()
    await house.send("a@example.net", "a@example.net", "a@example.net")
    second = await house.send("a@example.net")
    while house.schedule._to_resolve.qsize() or not house.agent.running:
        await asyncio.sleep(0)
    house.agent.gate.set()
    await house.quiet()
    assert [q.queue_id for q in house.agent.requests].index(second) <= 2


async def test_a_broken_agent_defers_its_message_and_the_others_go_on(make) -> None:
    house = await make()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def broken(address: str) -> tuple[Fate, Dsn, bool]:
        if address.startswith("bad"):
            raise ZeroDivisionError
        return Fate.DELIVERED, SENT, False

    house.agent.answer = broken
    bad = await house.send("bad@example.net")
    good = await house.send("good@example.net")
    await house.quiet()
    assert (await house.store.load(bad)).state is State.DEFERRED
    assert await house.store.load(good) is None
    assert any("ZeroDivisionError" in line for line in house.sink.lines)


async def test_a_local_delivery_is_noted_as_delivered(make) -> None:
    house = await make()
    house.agent.answer = lambda a: (Fate.DELIVERED, Dsn("2.0.0", "delivered to mailbox"), False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    assert await house.store.load(queue_id) is None
    assert [entry.step for entry in house.journal.entries] == ["routed", "delivered", "removed"]


async def test_a_force_expired_message_goes_back_without_another_attempt(make) -> None:
    house = await make()
    house.agent.answer = lambda a: (Fate.DEFERRED, LATER, False)
    queue_id = await house.send("a@example.net")
    await house.quiet()
    await house.store.record([QueueFate(queue_id, next_attempt=0.0, force_expired=True)])
    house.agent.requests.clear()
    await house.later(300)
    assert house.agent.requests == []
    assert house.told.calls == [("failed", queue_id, ["a@example.net"])]
    assert (
        f"postfix/qmgr: {queue_id}: from=<s@example.com>, status=force-expired, returned to sender" in house.sink.lines
    )


async def test_stopping_records_what_was_delivered(make) -> None:
    house = await make()
    house.agent.gate = asyncio.Event()
    queue_id = await house.send("a@example.net")
    while not house.agent.running:
        await asyncio.sleep(0)
    stopping = asyncio.ensure_future(house.schedule.stop(5.0))
    await asyncio.sleep(0)
    house.agent.gate.set()
    await stopping
    assert await house.store.load(queue_id) is None


def mixed(address: str) -> tuple[Fate, Dsn, bool]:
    """What the agent says of a@, b@ and c@."""
    answers = {
        "a": (Fate.DELIVERED, SENT, False),
        "b": (Fate.DEFERRED, LATER, False),
        "c": (Fate.BOUNCED, NEVER, False),
    }
    return answers[address[0]]


VIA = "delivery via mx.example.net[192.0.2.1]:25: "


async def test_sendmail_v_is_told_of_the_first_attempt_once(make) -> None:
    house = await make()
    house.agent.answer = mixed
    queue_id = await house.send("a@example.net", "b@example.net", "c@example.net", trace=Trace.RECORD)
    await house.quiet()
    assert [kind for kind, *_ in house.told.calls] == ["traced", "failed"]
    assert house.told.report == [
        ("a@example.net", "relayed", VIA + SENT.reason),
        ("b@example.net", "delayed", VIA + LATER.reason),
        ("c@example.net", "failed", VIA + NEVER.reason),
    ]
    assert (await house.store.load(queue_id)).envelope.trace is Trace.NONE
    house.agent.answer = lambda a: (Fate.DELIVERED, SENT, False)
    await house.later(300)
    assert [kind for kind, *_ in house.told.calls] == ["traced", "failed"]
    assert await house.store.load(queue_id) is None


async def test_sendmail_bv_reports_and_delivers_nothing(make) -> None:
    house = await make()
    house.agent.answer = mixed
    queue_id = await house.send("a@example.net", "b@example.net", "c@example.net", trace=Trace.VERIFY)
    await house.quiet()
    assert [request.trace_only for request in house.agent.requests] == [True]
    assert house.told.calls == [("traced", queue_id, ["a@example.net", "b@example.net", "c@example.net"])]
    assert [action for _, action, _ in house.told.report] == ["deliverable", "undeliverable", "undeliverable"]
    said = [line.partition("status=")[2] for line in house.sink.lines if "status=" in line]
    assert said == [
        f"deliverable ({SENT.reason})",
        f"undeliverable ({LATER.reason})",
        f"undeliverable ({NEVER.reason})",
    ]
    assert await house.store.load(queue_id) is None


async def test_a_probe_whose_report_cannot_be_queued_is_made_again(make) -> None:
    house = await make()
    house.told.full = True
    queue_id = await house.send("a@example.net", trace=Trace.VERIFY)
    await house.quiet()
    assert (await house.store.load(queue_id)).state is State.DEFERRED
    house.told.full = False
    await house.later(300)
    assert [kind for kind, *_ in house.told.calls] == ["traced"]
    assert [request.trace_only for request in house.agent.requests] == [True, True]
    assert await house.store.load(queue_id) is None


@pytest.mark.parametrize("name", ["double-bounce", "Double-Bounce", "probe"])
async def test_mail_to_where_notices_and_answers_to_probes_end_is_discarded(make, name: str) -> None:
    house = await make(address_verify_sender="probe", address_verify_sender_ttl=1 << 40)
    queue_id = await house.send(f"{name}@here.example", f"{name}@example.net")
    await house.quiet()
    assert [r.recipient.address for q in house.agent.requests for r in q.recipients] == [f"{name}@example.net"]
    assert house.sink.lines[1] == (
        f"postfix/qmgr: {queue_id}: to=<{name}@here.example>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0,"
        " status=sent (undeliverable postmaster notification discarded)"
    )
    assert await house.store.load(queue_id) is None
