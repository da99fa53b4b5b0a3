"""Runs one story of the queue again and again, and stops the program at each of its durable steps in turn.

Each run is a forked child; os._exit() stands for kill -9. Another child then opens what is left and
checks it against what had been promised. Prints how many steps there were; exit status 1 names the
broken promise.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from posthouse.envelope.content import Content
from posthouse.envelope.envelope import Envelope, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.queue.database import ShardDatabase
from posthouse.queue.local import LocalQueueStore, QueueSettings, open_queue
from posthouse.queue.store import Fate, NewMessage, QueuedMessage, RecipientState, State, StoredRecipient

LARGE = b"0123456789abcdef" * 8192


def arm(stop_at: int) -> Callable[[], int]:
    """Count durable steps, before and after each; stop the process at one of them."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == stop_at:
            os._exit(9)

    def wrap(owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def stepping(*arguments: Any, **keywords: Any) -> Any:
            step()
            result = inner(*arguments, **keywords)
            step()
            return result

        setattr(owner, name, stepping)

    for name in ("fsync", "rename", "unlink", "mkdir", "rmdir", "write"):
        wrap(os, name)
    wrap(ShardDatabase, "apply")
    wrap(ShardDatabase, "open_tables")
    return lambda: count


def open_store(folder: str) -> Any:
    return open_queue(f"{folder}/queue", QueueSettings(), ProcessLog(MemorySink(), "postfix/qmgr", 1))


async def put(
    store: LocalQueueStore, body: bytes, promise: Callable[[str, Any], None], replaces: str = ""
) -> QueuedMessage:
    queue_id = store.new_queue_id()
    promise("given", queue_id)
    if replaces:
        promise("replacing", [replaces, queue_id])
    writer = store.new_content(queue_id)
    for at in range(0, len(body), 50_000):
        writer.write(body[at : at + 50_000])
        await writer.room()
    who = Recipient("a@example.net", "a@example.net")
    message = QueuedMessage(queue_id, 1000.0, Envelope("s@example.com", (who,)), (StoredRecipient(0, who),), len(body))
    await store.enqueue(NewMessage(message, Content(b"Subject: x\r\n", await writer.finish()), replaces))
    promise("queued", [queue_id, len(body)])
    return message


async def story(folder: str, promise: Callable[[str, Any], None]) -> None:
    store = await open_store(folder)
    small = await put(store, b"small\r\n", promise)
    large = await put(store, LARGE, promise)
    gone = await put(store, LARGE[:-1], promise)
    large = await put(store, LARGE, promise, large.queue_id)
    promise("apart", large.queue_id)
    dsn = Dsn("4.4.1", "timed out", "delayed")
    deferred = StoredRecipient(0, small.recipients[0].recipient, RecipientState.PENDING, dsn)
    await store.record([Fate(small.queue_id, (deferred,), State.DEFERRED, 1300.0)])
    promise("deferred", small.queue_id)
    promise("removing", gone.queue_id)
    await store.record([Fate(gone.queue_id, remove=True)])
    promise("removed", gone.queue_id)
    await store.close()
    store = await open_store(folder)
    old, large = large, await put(store, LARGE, promise, large.queue_id)  # of another shard by now
    await store.record([Fate(old.queue_id, remove=True)])
    promise("removing", large.queue_id)
    await store.record([Fate(large.queue_id, remove=True)])
    promise("removed", large.queue_id)
    promise("removing", small.queue_id)
    await store.record([Fate(small.queue_id, remove=True)])
    promise("removed", small.queue_id)
    await store.tend()
    await store.close()


async def check(folder: str, promises: list[tuple[str, Any]]) -> None:
    store = await open_store(folder)
    found = {message.queue_id: message async for message in store.due(1e12)}
    removing = {value for kind, value in promises if kind == "removing"}
    removed = {value for kind, value in promises if kind == "removed"}
    replaced = dict(value for kind, value in promises if kind == "replacing")
    apart = {value for kind, value in promises if kind == "apart"}
    given = {value for kind, value in promises if kind == "given"}
    for kind, value in promises:
        if kind == "queued":
            queue_id, _ = value
            last, copies = queue_id, [queue_id in found]
            while last in replaced:
                beside, last = last not in apart, replaced[last]
                copies.append(last in found)
                assert not beside or sum(copies[-2:]) < 2, f"{queue_id} is there twice"
            assert any(copies) or last in removing, f"{queue_id} was promised and is gone"
        if kind == "deferred":
            message = found.get(value)
            assert message is None or message.state is State.DEFERRED, f"{value}: its deferral is forgotten"
            assert message is None or message.recipients[0].dsn is not None, f"{value}: why it waits is forgotten"
    assert not removed & found.keys(), "a removed message came back"
    assert found.keys() <= given, "a message nobody sent"
    for queue_id, message in found.items():
        content = await store.load_content(queue_id)
        assert content is not None, f"{queue_id} has no content"
        body = await content.body.read()
        assert len(body) == message.size, f"{queue_id} is cut short"
        assert body == b"small\r\n" or LARGE.startswith(body), f"{queue_id} has another body"
    files = {name for shard in store.shards for name in os.listdir(shard.content_folder)}
    assert files <= found.keys(), "content files without a message"
    assert store.new_queue_id() not in given, "a queue id was given twice"
    await store.record([Fate(queue_id, remove=True) for queue_id in found])
    await store.tend()
    await store.close()
    left = {name for name in os.listdir(f"{folder}/queue") if len(name) == 8}
    assert not left, f"drained shards are left: {left}"


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked child; its exit status."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:  # noqa: BLE001  a broken promise is told by exit status
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> int:
    """Stop at every step."""
    real_write = os.write
    step = 0
    while True:
        step += 1
        folder = tempfile.mkdtemp(prefix="posthouse-crash-")
        try:
            log = os.open(f"{folder}/promises", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

            def tell(stop_at: int = step, folder: str = folder, log: int = log) -> None:
                arm(stop_at)
                asyncio.run(
                    story(
                        folder, lambda kind, value: real_write(log, json.dumps([kind, value]).encode() + b"\n") and None
                    )
                )

            status = in_child(tell)
            os.close(log)
            with open(f"{folder}/promises", encoding="utf-8") as file:
                promises = [tuple(json.loads(line)) for line in file]
            if in_child(lambda folder=folder, promises=promises: asyncio.run(check(folder, promises))):  # type: ignore[misc]  # defaults bind the loop's values
                print(f"stopped at step {step}: {promises}", file=sys.stderr)
                return 1
            if status == 0:
                print(step - 1)
                return 0
            if status != 9:
                print(f"the story itself failed at step {step}", file=sys.stderr)
                return 1
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
