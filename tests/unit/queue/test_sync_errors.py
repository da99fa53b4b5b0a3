"""The disk fails below SQLite: at a sync, at a write, at any of them in turn."""

# ruff: noqa: ASYNC110
import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue import writer as writer_module
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.shard import Shard
from posthouse.queue.store import Fate, NewMessage, QueuedMessage, QueueFault, QueueFull, State, StoredRecipient


class Failing(apsw.VFS):
    """The machine's files; the n-th sync or write from now fails."""

    def __init__(self, name: str) -> None:
        self.countdown: dict[str, int] = {}
        self.error: type[apsw.Error] = apsw.IOError
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return FailingFile(self, name, flags)

    def hit(self, what: str) -> None:
        if what in self.countdown:
            self.countdown[what] -= 1
            if self.countdown[what] == 0:
                del self.countdown[what]
                raise self.error(f"{what} failed")


class FailingFile(apsw.VFSFile):
    def __init__(self, vfs: Failing, name, flags) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xSync(self, flags) -> None:
        self._vfs.hit("sync")
        super().xSync(flags)

    def xWrite(self, data, offset) -> None:
        self._vfs.hit("write")
        super().xWrite(data, offset)


_names = itertools.count()


@pytest.fixture
def vfs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    monkeypatch.setattr(writer_module, "RETRY_DELAY", 0.01)
    vfs = Failing(f"failing{next(_names)}")
    yield vfs
    vfs.unregister()


async def put(store: LocalQueueStore) -> str:
    who = Recipient("a@example.net")
    queue_id = store.new_queue_id()
    message = QueuedMessage(queue_id, 1.0, Envelope("s@example.com", (who,)), (StoredRecipient(0, who),), 9)
    await store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", MemoryBody(b"x" * 5000))))
    return queue_id


async def due(store: LocalQueueStore) -> set[str]:
    return {message.queue_id async for message in store.due(9.0)}


@pytest.mark.parametrize("what", ["sync", "write"])
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_what_was_acknowledged_stays_and_what_was_refused_does_not_come_back(
    tmp_path: Path, vfs: Failing, what: str, error: type[apsw.Error], nth: int
) -> None:
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"), vfs=vfs.name)
    kept = {await put(store) for _ in range(3)}
    vfs.error, vfs.countdown = error, {what: nth}
    refused = 0
    for _ in range(6):
        try:
            kept.add(await put(store))
        except (QueueFault, QueueFull):
            refused += 1
            await asyncio.sleep(0.02)
    assert refused >= 1
    async with asyncio.timeout(5):
        while store._current is None:
            await asyncio.sleep(0.001)
    one = sorted(kept)[0]
    async with asyncio.timeout(5):
        await store.record([Fate(one, remove=True)])
        while store.blocked:
            await asyncio.sleep(0.001)
    assert await due(store) == kept - {one}
    await store.close()
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    assert await due(store) == kept - {one}
    await store.close()


async def test_a_fault_of_ours_ends_the_writer_and_is_told(tmp_path: Path) -> None:
    sink = MemorySink()
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(sink, "postfix/qmgr"))
    told: list[dict[str, object]] = []
    broken = asyncio.Event()
    store.on_broken = broken.set
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    queue_id = await put(store)
    (shard,) = store.shards

    class Bug:
        def apply(self, rows: object, changes: object) -> None:
            raise TypeError("a fault of ours")

        def close(self) -> None: ...

    database, shard.writer._database = shard.writer._database, Bug()
    with pytest.raises(QueueFault, match="broke off"):
        await put(store)
    await broken.wait()
    assert store.blocked
    assert [str(context["exception"]) for context in told] == ["a fault of ours"]
    assert sink.lines == [f"postfix/qmgr: error: queue shard {shard.folder}: writer: TypeError: a fault of ours"]
    with pytest.raises(QueueFault):
        await put(store)
    database.close()
    shard.writer = None
    await store.close()
    successor = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(sink, "postfix/qmgr"))
    assert await due(successor) == {queue_id}
    await successor.close()


async def test_changes_that_met_a_fault_of_ours_are_not_told_done(tmp_path: Path) -> None:
    store = await open_queue(str(tmp_path), QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr"))
    asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
    broken = asyncio.Event()
    store.on_broken = broken.set
    queue_id = await put(store)
    (shard,) = store.shards
    database, shard.writer._database = shard.writer._database, None  # not even a database
    recording = asyncio.ensure_future(store.record([Fate(queue_id, remove=True)]))
    await broken.wait()
    assert not recording.done()
    recording.cancel()
    database.close()
    shard.writer = None
    await store.close()


class Small(apsw.VFS):
    """A disk of so many bytes, of which a reserve file takes its part."""

    def __init__(self, name: str, folder: Path, size: int) -> None:
        self.name = name
        self.sizes: dict[str, int] = {}
        self._folder = folder
        self._size = size
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return SmallFile(self, name, flags)

    def grow(self, path: str, end: int) -> None:
        old = self.sizes.get(path, 0)
        reserves = sum(file.stat().st_size for file in self._folder.rglob("reserve"))
        # Only the WAL meets the end of the room: apsw would tell of an error that SQLite passes over (a checkpoint's).
        if path.endswith("-wal") and end > old and sum(self.sizes.values()) - old + end + reserves > self._size:
            raise apsw.FullError("no room")
        self.sizes[path] = max(old, end)


class SmallFile(apsw.VFSFile):
    def __init__(self, vfs: Small, name, flags) -> None:
        self._vfs = vfs
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xWrite(self, data, offset) -> None:
        self._vfs.grow(self._path, offset + len(data))
        super().xWrite(data, offset)

    def xTruncate(self, size) -> None:
        super().xTruncate(size)
        self._vfs.sizes[self._path] = size


async def test_a_queue_that_filled_its_disk_empties_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_DELAY", 0.01)
    monkeypatch.setattr(Shard, "scarce", lambda self: True)
    vfs = Small(f"small{next(_names)}", tmp_path, 2 << 20)
    log = ProcessLog(MemorySink(), "postfix/qmgr")
    store = await open_queue(str(tmp_path), QueueSettings(), log, vfs=vfs.name)
    queued: list[str] = []
    with pytest.raises(QueueFull):
        while True:
            queued.append(await put(store))
    assert len(queued) > 80  # most of the disk holds messages
    later = Dsn("4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection timed out")
    async with asyncio.timeout(20):
        deferred = StoredRecipient(0, Recipient("a@example.net"), dsn=later)
        for at in range(0, len(queued), 5):
            await store.record([Fate(queue_id, (deferred,), State.DEFERRED, 5.0) for queue_id in queued[at : at + 5]])
        for at in range(0, len(queued), 5):
            await store.record([Fate(queue_id, remove=True) for queue_id in queued[at : at + 5]])
    assert not store.blocked
    assert await due(store) == set()
    await put(store)
    await store.close()
    vfs.unregister()
