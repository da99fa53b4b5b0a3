from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import pytest

from posthouse.config.configuration import Configuration
from posthouse.envelope.content import Body, Content, MemoryBody
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.journal.journal import MemoryJournal
from posthouse.queue.store import ContentWriter, Fate, NewMessage, QueuedMessage, QueueFault, StoredRecipient
from posthouse.routing.router import Router

BASE = {
    "compatibility_level": "3.6",
    "myhostname": "mail.example.com",
    "mydomain": "example.com",
    "myorigin": "example.com",
    "mydestination": "mail.example.com, localhost, example.com",
    "inet_interfaces": "127.0.0.1",
    "append_dot_mydomain": "yes",
    "recipient_delimiter": "+",
}
NOW = 1795489996.5


class MemoryWriter:
    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self._pieces: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        if self._store.fail_writes:
            raise QueueFault
        self._pieces.append(chunk)

    async def room(self) -> None:
        return None

    async def finish(self) -> Body:
        return MemoryBody(b"".join(self._pieces))

    def abort(self) -> None:
        self._store.aborted += 1


class MemoryStore:
    """A queue that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[NewMessage] = []
        self.aborted = 0
        self.fail_writes = False
        self.fail_commit: Exception | None = None
        self._count = 0

    def new_queue_id(self) -> str:
        self._count += 1
        return f"{self._count:010X}"

    def new_content(self, queue_id: str) -> ContentWriter:
        return MemoryWriter(self)

    async def enqueue(self, new: NewMessage) -> None:
        if self.fail_commit is not None:
            raise self.fail_commit
        self.messages.append(new)

    async def record(self, fates: Sequence[Fate]) -> None:
        raise AssertionError

    async def load_content(self, queue_id: str) -> Content | None:
        raise AssertionError

    async def load(self, queue_id: str) -> QueuedMessage | None:
        raise AssertionError

    def due(self, now: float, limit: int) -> AsyncIterator[QueuedMessage]:
        raise AssertionError


@dataclass
class House:
    intake: CleanupIntake
    store: MemoryStore
    sink: MemorySink
    journal: MemoryJournal
    told: list[str]
    configuration: Configuration
    log: ProcessLog
    expanded: list[tuple[QueuedMessage, Sequence[StoredRecipient]]]


@pytest.fixture
def open_house() -> Callable[..., House]:
    def make(*, internal: str = "", **settings: str) -> House:
        configuration = Configuration("/nonexistent", {**BASE, **settings})
        sink, store, journal, told = MemorySink(), MemoryStore(), MemoryJournal(), []
        log = ProcessLog(sink, "postfix/cleanup")
        expanded: list[tuple[QueuedMessage, Sequence[StoredRecipient]]] = []

        async def tell(message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]) -> None:
            expanded.append((message, recipients))

        intake = CleanupIntake.open(
            configuration,
            Router.open(configuration, log),
            store,
            log,
            journal,
            lambda message, content: told.append(message.queue_id),
            internal=internal,
            clock=lambda: NOW,
            free_space=lambda: 1 << 40,
            on_expanded=tell,
        )
        return House(intake, store, sink, journal, told, configuration, log, expanded)

    return make
