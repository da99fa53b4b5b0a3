"""The queue against a plain dictionary: whatever is done in whatever order, restarts included."""

import asyncio
import shutil
import tempfile
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import Fate, NewMessage, QueuedMessage, RecipientState, State, StoredRecipient

times = st.integers(0, 100).map(float)


class QueueMachine(RuleBasedStateMachine):
    queued = Bundle("queued")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="posthouse-queue-")
        self.runner = asyncio.Runner()
        self.messages: dict[str, QueuedMessage] = {}
        self.bodies: dict[str, bytes] = {}
        self.store = self.open()

    def open(self) -> LocalQueueStore:
        settings = QueueSettings(posthouse_body_memory=100_000)
        return self.runner.run(open_queue(self.folder, settings, ProcessLog(MemorySink(), "postfix/qmgr", 1)))

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(
        target=queued,
        size=st.sampled_from([0, 10, 65_536, 65_537, 200_000]),
        recipients=st.integers(1, 5),
        held=st.booleans(),
    )
    def enqueue(self, size: int, recipients: int, held: bool) -> str:
        async def put() -> QueuedMessage:
            queue_id = self.store.new_queue_id()
            writer = self.store.new_content(queue_id)
            body = queue_id.encode() * (size // len(queue_id) + 1)
            self.bodies[queue_id] = body[:size]
            writer.write(body[:size])
            await writer.room()
            who = tuple(Recipient(f"r{i}@example.net", f"r{i}@example.net") for i in range(recipients))
            message = QueuedMessage(
                queue_id,
                1.5,
                Envelope("s@example.com", who),
                tuple(StoredRecipient(i, r) for i, r in enumerate(who)),
                size,
                State.HOLD if held else State.INCOMING,
            )
            await self.store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", await writer.finish())))
            return message

        message = self.runner.run(put())
        assert message.queue_id not in self.messages
        self.messages[message.queue_id] = message
        return message.queue_id

    @rule(queue_id=queued, index=st.integers(0, 4), done=st.booleans(), reported=st.booleans())
    def attempt(self, queue_id: str, index: int, done: bool, reported: bool) -> None:
        message = self.messages.get(queue_id)
        if message is None:
            return
        index %= len(message.recipients)
        stored = replace(
            message.recipients[index],
            state=RecipientState.DONE if done else RecipientState.PENDING,
            dsn=Dsn("4.4.1", "later", "delayed"),
            reported=reported,
        )
        self.runner.run(self.store.record([Fate(queue_id, (stored,))]))
        recipients = list(message.recipients)
        recipients[index] = stored
        self.messages[queue_id] = replace(message, recipients=tuple(recipients))

    @rule(queue_id=queued, state=st.sampled_from([State.DEFERRED, State.HOLD, State.INCOMING]), when=times)
    def move(self, queue_id: str, state: State, when: float) -> None:
        self.runner.run(self.store.record([Fate(queue_id, state=state, next_attempt=when)]))
        if queue_id in self.messages:
            self.messages[queue_id] = replace(self.messages[queue_id], state=state, next_attempt=when)

    @rule(queue_id=queued)
    def warn_and_expire(self, queue_id: str) -> None:
        self.runner.run(self.store.record([Fate(queue_id, delay_warned=True), Fate(queue_id, force_expired=True)]))
        if queue_id in self.messages:
            self.messages[queue_id] = replace(self.messages[queue_id], delay_warned=True, force_expired=True)

    @rule(queue_id=consumes(queued))
    def remove(self, queue_id: str) -> None:
        self.runner.run(self.store.record([Fate(queue_id, remove=True)]))
        self.messages.pop(queue_id, None)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.open()

    @rule()
    def tend(self) -> None:
        self.runner.run(self.store.tend())

    @rule(queue_id=queued)
    def read(self, queue_id: str) -> None:
        async def read() -> bytes | None:
            content = await self.store.load_content(queue_id)
            return None if content is None else await content.body.read()

        assert self.runner.run(read()) == (self.bodies[queue_id] if queue_id in self.messages else None)

    @rule(now=times, limit=st.integers(1, 4))
    def what_is_due(self, now: float, limit: int) -> None:
        async def due() -> list[str]:
            return [message.queue_id async for message in self.store.due(now, limit)]

        found = self.runner.run(due())
        assert len(found) == len(set(found))
        assert set(found) == {
            m.queue_id
            for m in self.messages.values()
            if m.state in (State.INCOMING, State.DEFERRED) and m.next_attempt <= now
        }

    @invariant()
    def everything_is_listed(self) -> None:
        async def pages() -> dict[str, QueuedMessage]:
            found: dict[str, QueuedMessage] = {}
            after: tuple[str, int] | None = ("", -1)
            while after is not None:
                page, after = await self.store.page(after, 3)
                found.update({message.queue_id: message for message in page})
            return found

        assert self.runner.run(pages()) == self.messages


QueueMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestQueue = QueueMachine.TestCase
