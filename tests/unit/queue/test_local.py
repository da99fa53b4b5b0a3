# ruff: noqa: ASYNC110, ASYNC240
import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue import writer as writer_module
from posthouse.queue.body import ROW_BODY_LIMIT, FileBody
from posthouse.queue.database import OldSqlite, check_version
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import (
    Fate,
    NewMessage,
    QueuedMessage,
    QueueFault,
    QueueFull,
    RecipientState,
    State,
    StoredRecipient,
)

Opener = Callable[..., "asyncio.Future[LocalQueueStore]"]


def log() -> ProcessLog:
    return ProcessLog(MemorySink(), "postfix/qmgr", 1)


@pytest.fixture
async def opener(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    stores: list[LocalQueueStore] = []

    async def open_one(settings: QueueSettings = QueueSettings(), **more: object) -> LocalQueueStore:  # noqa: B008
        store = await open_queue(str(tmp_path / "queue"), settings, log(), **more)  # type: ignore[arg-type]  # by name
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


def message(store: LocalQueueStore, *recipients: str, **more: object) -> QueuedMessage:
    who = tuple(Recipient(address, address) for address in recipients or ("a@example.net",))
    return QueuedMessage(
        store.new_queue_id(),
        1000.5,
        Envelope("s@example.com", who),
        tuple(StoredRecipient(i, r) for i, r in enumerate(who)),
        30,
        **more,  # type: ignore[arg-type]  # by name
    )


async def put(store: LocalQueueStore, body: bytes = b"body\r\n", **more: object) -> QueuedMessage:
    new = message(store, **more)
    writer = store.new_content(new.queue_id)
    for at in range(0, len(body), 10_000):
        writer.write(body[at : at + 10_000])
        await writer.room()
    await store.enqueue(NewMessage(new, Content(b"Subject: x\r\n", await writer.finish())))
    return new


async def due(store: LocalQueueStore, now: float = 2000.0) -> list[str]:
    return [found.queue_id async for found in store.due(now)]


async def test_what_was_enqueued_is_there_after_a_restart(opener) -> None:
    store = await opener()
    new = await put(store)
    await store.close()
    store = await opener()
    assert await store.load(new.queue_id) == new
    content = await store.load_content(new.queue_id)
    assert (content.header, await content.body.read()) == (b"Subject: x\r\n", b"body\r\n")
    assert await due(store) == [new.queue_id]


async def test_a_large_body_lies_in_a_file_of_its_own_and_goes_with_its_message(opener, tmp_path: Path) -> None:
    store = await opener()
    body = os.urandom(3 * ROW_BODY_LIMIT)
    new = await put(store, body)
    store.memory.drop(new.queue_id)
    content = await store.load_content(new.queue_id)
    assert isinstance(content.body, FileBody)
    assert b"".join([chunk async for chunk in content.body.chunks()]) == body
    await store.record([Fate(new.queue_id, remove=True)])
    assert list(tmp_path.glob("queue/*/content/*")) == []
    assert await store.load(new.queue_id) is None


async def test_a_body_of_another_message_is_copied(opener) -> None:
    store = await opener()
    body = os.urandom(2 * ROW_BODY_LIMIT)
    first = await put(store, body)
    content = await store.load_content(first.queue_id)
    second = message(store)
    await store.enqueue(NewMessage(second, content))
    await store.record([Fate(first.queue_id, remove=True)])
    assert await (await store.load_content(second.queue_id)).body.read() == body


async def test_an_aborted_body_leaves_nothing(opener, tmp_path: Path) -> None:
    store = await opener()
    writer = store.new_content(store.new_queue_id())
    writer.write(b"x" * 3 * ROW_BODY_LIMIT)
    await asyncio.sleep(0)
    writer.abort()
    await asyncio.sleep(0.05)
    assert list(tmp_path.glob("queue/*/content/*")) == []
    assert store._uncommitted.bytes == 0


async def test_sessions_wait_when_too_much_is_uncommitted(opener) -> None:
    store = await opener()
    store._uncommitted.limit = 100_000
    writers = [store.new_content(store.new_queue_id()) for _ in range(20)]
    for writer in writers:
        writer.write(b"x" * 20_000)
    async with asyncio.timeout(5):
        await asyncio.gather(*(writer.room() for writer in writers))
    assert store._uncommitted.bytes < 100_000
    for writer in writers:
        writer.abort()


async def test_bodies_beyond_the_memory_are_read_back(opener) -> None:
    store = await opener(QueueSettings(posthouse_body_memory=25_000))
    first = await put(store, b"1" * 10_000)
    second = await put(store, b"2" * 10_000)
    await put(store, b"3" * 10_000)
    assert store.memory.get(first.queue_id) is None
    assert store.memory.get(second.queue_id) is not None
    assert await (await store.load_content(first.queue_id)).body.read() == b"1" * 10_000


async def test_a_fate_changes_only_what_it_names(opener) -> None:
    store = await opener()
    new = await put(store)
    later = Dsn("4.4.1", "timed out", "delayed")
    changed = StoredRecipient(0, new.recipients[0].recipient, RecipientState.PENDING, later)
    await store.record([Fate(new.queue_id, (changed,), State.DEFERRED, 1500.0, delay_warned=True)])
    found = await store.load(new.queue_id)
    assert (found.state, found.next_attempt, found.delay_warned) == (State.DEFERRED, 1500.0, True)
    assert found.recipients == (changed,)
    assert await due(store, 1499.0) == []
    assert await due(store, 1500.0) == [new.queue_id]
    await store.record([Fate(new.queue_id, force_expired=True)])
    found = await store.load(new.queue_id)
    assert (found.state, found.next_attempt, found.force_expired) == (State.DEFERRED, 1500.0, True)


async def test_held_mail_is_not_due(opener) -> None:
    store = await opener()
    new = await put(store, state=State.HOLD)
    assert await due(store) == []
    await store.record([Fate(new.queue_id, state=State.INCOMING)])
    assert await due(store) == [new.queue_id]


async def test_due_pages_through_many_messages_of_one_time(opener) -> None:
    store = await opener()
    ids = sorted([(await put(store)).queue_id for _ in range(25)], key=lambda queue_id: queue_id[5:])
    assert [found.queue_id async for found in store.due(2000.0, 10)] == ids
    pages = []
    after = ("", -1)
    while after is not None:
        page, after = await store.page(after, 10)
        pages.append(len(page))
    assert pages == [10, 10, 5, 0]


async def test_a_second_worker_leaves_a_locked_shard_alone_and_adopts_it_later(opener) -> None:
    first = await opener()
    new = await put(first)
    second = await opener()
    assert await due(second) == []
    await first.close()
    assert await second.tend()
    assert await due(second) == [new.queue_id]
    await second.record([Fate(new.queue_id, remove=True)])
    await second.tend()
    assert len(second.shards) == 1


async def test_a_drained_queue_leaves_no_shard(opener, tmp_path: Path) -> None:
    store = await opener()
    new = await put(store)
    await store.record([Fate(new.queue_id, remove=True)])
    await store.close()
    assert sorted(path.name for path in (tmp_path / "queue").iterdir()) == ["numbers", "numbers.lock"]


async def test_orphaned_content_files_go_when_a_shard_is_opened(opener, tmp_path: Path) -> None:
    store = await opener()
    new = await put(store, b"x" * 2 * ROW_BODY_LIMIT)
    (shard,) = store.shards
    await store.close()
    Path(shard.content_folder, "0123456789").write_bytes(b"orphan")
    store = await opener()
    assert os.listdir(shard.content_folder) == [new.queue_id]


async def test_no_room_is_told_to_the_client(opener) -> None:
    store = await opener(QueueSettings(queue_minfree=1 << 60))
    with pytest.raises(QueueFull):
        await put(store)


async def test_a_full_disk_refuses_new_mail_but_keeps_fates(opener) -> None:
    store = await opener()
    new = await put(store)
    shard = store.shards[0]
    writer = shard.writer
    connection = writer._database.connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(QueueFull):
        await put(store, os.urandom(60_000))
    await store.record([Fate(new.queue_id, remove=True)])
    assert await store.load(new.queue_id) is None


class Breaking:
    """A writer's database that fails as told."""

    def __init__(self, inner, failures: list[Exception]) -> None:
        self._inner = inner
        self._failures = failures
        self.connection = inner.connection

    def apply(self, rows, changes) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self._inner.apply(rows, changes)

    def save_room(self, scarce: bool) -> None: ...
    def reuse_wal(self) -> None: ...

    def sound(self) -> bool:
        return self._inner.sound()

    def close(self) -> None:
        self._inner.close()


async def test_a_sync_error_retires_the_shard_and_the_queue_goes_on(opener) -> None:
    store = await opener()
    kept = await put(store)
    old = store.shards[0]
    old.writer._database = Breaking(old.writer._database, [apsw.IOError("disk I/O error")])
    with pytest.raises(QueueFault):
        await put(store)
    async with asyncio.timeout(5):
        while len(store.shards) < 2:
            await asyncio.sleep(0.001)
    assert old.unsound
    new = await put(store)
    assert await due(store) == [kept.queue_id, new.queue_id]
    await store.record([Fate(kept.queue_id, remove=True)])
    assert await due(store) == [new.queue_id]


async def test_fates_that_cannot_be_committed_are_kept_and_block_the_queue(opener, monkeypatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_DELAY", 0.01)
    store = await opener()
    new = await put(store)
    writer = store.shards[0].writer
    writer._database = Breaking(writer._database, [apsw.FullError("full")] * 8)
    recording = asyncio.ensure_future(store.record([Fate(new.queue_id, remove=True)]))
    async with asyncio.timeout(5):
        while not store.blocked:
            await asyncio.sleep(0.001)
        with pytest.raises(QueueFault):
            await put(store)
        await recording
        while store.blocked:
            await asyncio.sleep(0.001)
    assert await store.load(new.queue_id) is None


async def test_long_queue_ids_by_setting(opener) -> None:
    store = await opener(QueueSettings(enable_long_queue_ids=True))
    new = await put(store)
    assert "z" in new.queue_id
    assert await due(store) == [new.queue_id]


def test_an_sqlite_that_can_corrupt_a_wal_is_refused() -> None:
    with pytest.raises(OldSqlite):
        check_version("3.51.2")
    check_version("3.51.3")
    check_version()


async def test_a_row_that_cannot_be_read_is_shown_as_corrupt_and_not_due(opener) -> None:
    store = await opener()
    new = await put(store)
    store.shards[0].writer._database.connection.execute("UPDATE message SET packed=x'02'")
    assert await due(store) == []
    page, _ = await store.page(("", -1))
    assert (page[0].queue_id, page[0].state) == (new.queue_id, State.CORRUPT)


async def test_one_message_is_committed_at_once(opener) -> None:
    store = await opener()
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(20):
        start = loop.time()
        await put(store)
        times.append(loop.time() - start)
    assert sorted(times)[10] < 0.05


async def test_content_in_memory_is_enqueued_without_a_writer(opener) -> None:
    store = await opener()
    new = message(store)
    await store.enqueue(NewMessage(new, Content(b"", MemoryBody(b"x" * 5 * ROW_BODY_LIMIT))))
    content = await store.load_content(new.queue_id)
    assert content.body.size == 5 * ROW_BODY_LIMIT
