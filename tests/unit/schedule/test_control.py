# ruff: noqa: ASYNC110
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import VirtualClock
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.host.maildrop import drop
from posthouse.journal.journal import MemoryJournal
from posthouse.net.pair import stream_pair
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import NewMessage, QueuedMessage, State, StoredRecipient
from posthouse.schedule.control import QueueControl, serve_control
from posthouse.schedule.probe import Prober
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.settings import ScheduleSettings
from posthouse.schedule.transport import TransportService
from posthouse.wire.control import ControlRequest, LineReader, encode_request, parse_line
from posthouse.wire.intake import Submission


@dataclass
class Resolution:
    transport: str
    nexthop: str
    recipient: str
    evidence: tuple[Evidence, ...] = ()
    is_local: bool = False


class Route:
    async def resolve(self, sender: str, address: str) -> Resolution:
        return Resolution("smtp", address.partition("@")[2], address)


class Agent:
    def __init__(self) -> None:
        self.dsn = Dsn("4.4.1", "timed out")
        self.fate = Fate.DEFERRED
        self.calls = 0
        self.gate: asyncio.Event | None = None

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        return [Outcome(r.index, self.fate, self.dsn, "none") for r in request.recipients]


class NoNotices:
    async def failed(self, *_: object) -> None: ...

    async def delayed(self, *_: object) -> None: ...

    async def succeeded(self, *_: object) -> None: ...
    async def traced(self, *_: object) -> None: ...


class House:
    def __init__(self, store: LocalQueueStore) -> None:
        self.store = store
        self.now = time.time()
        self.agent = Agent()
        self.journal = MemoryJournal()
        sink = MemorySink()
        self.schedule = Schedule(
            store,
            Route(),
            {"smtp": TransportService("smtp", self.agent, ProcessLog(sink, "postfix/smtp"))},
            NoNotices(),
            ScheduleSettings(),
            ProcessLog(sink, "postfix/qmgr"),
            self.journal,
        )
        self.control = QueueControl(self.schedule, store, self.journal)
        self.schedule.start()

    async def send(self, address: str = "a@example.net") -> str:
        who = Recipient(address, address)
        message = QueuedMessage(
            self.store.new_queue_id(), self.now, Envelope("s@example.com", (who,)), (StoredRecipient(0, who),), 20
        )
        await self.store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))))
        self.schedule.on_queued(message)
        return message.queue_id

    async def quiet(self) -> None:
        async with asyncio.timeout(5):
            while self.schedule.active:
                await asyncio.sleep(0.001)

    async def operate(self, operation: str, *ids: str) -> list[str]:
        return [queue_id async for done in self.control.operate(operation, ids) for queue_id in done]

    async def ask(self, request: ControlRequest, *rights: str) -> list[dict[str, object]]:
        ours, theirs = stream_pair()
        serving = asyncio.ensure_future(serve_control(theirs, self.control, lambda right: right in rights, "joe"))
        ours.write(encode_request(request))
        reader, answers = LineReader(), []
        while data := await ours.read(5):
            answers += [parse_line(line) for line in reader.receive_data(data)]
        await serving
        return answers


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    house = House(store)
    yield house
    await house.schedule.stop()
    await store.close()


async def test_a_deferred_message_is_listed_with_its_reason(house: House) -> None:
    queue_id = await house.send()
    await house.quiet()
    row = {
        "queue_name": "deferred",
        "queue_id": queue_id,
        "arrival_time": int(house.now),
        "message_size": 20,
        "forced_expire": False,
        "sender": "s@example.com",
        "recipients": [{"address": "a@example.net", "delay_reason": "timed out"}],
    }
    assert await house.ask(ControlRequest("list"), "mailq") == [row, {"end": 1}]


async def test_a_message_in_flight_is_active(house: House) -> None:
    house.agent.gate = asyncio.Event()
    await house.send()
    while not house.agent.calls:
        await asyncio.sleep(0.001)
    assert (await house.ask(ControlRequest("list"), "mailq"))[0]["queue_name"] == "active"


async def test_hold_release_and_expire(house: House) -> None:
    queue_id = await house.send()
    await house.quiet()
    assert await house.operate("hold", queue_id) == [queue_id]
    assert await house.operate("hold", queue_id) == []
    assert (await house.store.load(queue_id)).state is State.HOLD
    calls = house.agent.calls
    await house.control.flush()
    await asyncio.sleep(0.02)
    assert house.agent.calls == calls
    assert await house.operate("release", "ALL") == [queue_id]
    async with asyncio.timeout(5):
        while house.agent.calls == calls or house.schedule.active:
            await asyncio.sleep(0.001)
    assert house.agent.calls == calls + 1
    assert await house.operate("expire", queue_id) == [queue_id]
    assert await house.operate("expire", queue_id) == []
    assert (await house.store.load(queue_id)).force_expired  # it is returned when its time comes, or a flush
    await house.control.flush()
    async with asyncio.timeout(5):
        while await house.store.load(queue_id) is not None:
            await asyncio.sleep(0.001)
    assert house.agent.calls == calls + 1


async def test_flush_tries_deferred_mail_now(house: House) -> None:
    one = await house.send()
    other = await house.send("b@example.org")
    await house.quiet()
    house.agent.fate, house.agent.dsn = Fate.DELIVERED, Dsn("2.0.0", "ok")
    await house.ask(ControlRequest("flush", site="example.org"), "flush")
    await house.quiet()
    assert await house.store.load(other) is None
    assert await house.store.load(one) is not None
    await house.ask(ControlRequest("flush"), "flush")
    async with asyncio.timeout(5):
        while await house.store.load(one) is not None:
            await asyncio.sleep(0.001)


async def test_cat_shows_envelope_and_content(house: House) -> None:
    queue_id = await house.send()
    await house.quiet()
    answer, end = await house.ask(ControlRequest("cat", (queue_id,)), "owner")
    assert end == {"end": 1}
    assert answer["cat"]["queue"] == "deferred"
    assert ["S", "sender", "s@example.com"] in answer["cat"]["records"]
    assert answer["cat"]["body"] == "body\r\n"


async def test_who_lacks_the_right_is_refused(house: House) -> None:
    assert await house.ask(ControlRequest("list")) == [{"error": "User joe is not allowed to view the mail queue"}]
    assert await house.ask(ControlRequest("flush"), "mailq") == [
        {"error": "User joe is not allowed to flush the mail queue"}
    ]
    assert "error" in (await house.ask(ControlRequest("delete", ("ALL",)), "mailq", "flush"))[0]


async def test_pause_holds_deliveries_until_the_connection_ends(house: House) -> None:
    go_on = house.control.pause()
    queue_id = await house.send()
    await asyncio.sleep(0.02)
    assert house.agent.calls == 0
    go_on()
    await house.quiet()
    assert house.agent.calls == 1
    assert await house.store.load(queue_id) is not None


async def test_a_probe_delivers_nothing_but_asks_the_agent(house: House) -> None:
    asked: list[DeliveryRequest] = []

    class Asked:
        async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
            asked.append(request)
            return [Outcome(0, Fate.DELIVERED, Dsn("2.1.5", "250 ok"), "mx")]

    service = TransportService("smtp", Asked(), ProcessLog(MemorySink(), "postfix/smtp"))
    prober = Prober(Route(), {"smtp": service}, VirtualClock())
    probed = await prober.ask("0123456789", "", "a@example.net", "a@example.net")
    assert probed.service is service
    outcome = probed.outcome
    assert outcome.fate is Fate.DELIVERED
    assert asked[0].trace_only
    nobody = Prober(Route(), {}, VirtualClock())
    outcome = (await nobody.ask("0123456789", "", "a@example.net", "a@example.net")).outcome
    assert outcome.dsn.reason == "mail transport unavailable"


async def test_the_maildrop_is_listed_by_the_worker_that_serves_it(house: House, tmp_path: Path) -> None:
    (tmp_path / "posthouse/maildrop").mkdir(parents=True)
    queue_id = drop(str(tmp_path), Submission("s@example.com", (Recipient("r@example.net"),)), [b"body\r\n"])
    control = QueueControl(house.schedule, house.store, house.journal, maildrop_of=str(tmp_path))
    rows = [row async for page in control.rows() for row in page]
    assert [(row["queue_name"], row["queue_id"]) for row in rows] == [("maildrop", queue_id)]
