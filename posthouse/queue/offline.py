"""The queue without a running system: a command holds the locks and works on the shards itself.

Everything blocks; there is no event loop. Shards whose lock somebody holds are left alone
and named in `locked`.
"""

import os
from collections.abc import Iterator

from posthouse.envelope.content import Content, MemoryBody
from posthouse.queue.database import PAGE, STATES, Change, ShardDatabase
from posthouse.queue.operations import DEFAULT_QUEUES, fate_of, queue_name
from posthouse.queue.pack import FORCE_EXPIRED, REQUEUED
from posthouse.queue.queue_id import number_of
from posthouse.queue.shard import Shard, adopt_shard, shard_names
from posthouse.queue.store import Fate, QueuedMessage


class OfflineQueue:
    """The shards under root (queue_directory/posthouse/queue). Close it to give up their locks."""

    def __init__(self, root: str) -> None:
        self._shards: list[tuple[Shard, ShardDatabase]] = []
        self.locked: list[str] = []
        for name in shard_names(root):
            shard = adopt_shard(root, name)
            if shard is None:
                self.locked.append(os.path.join(root, name))
                continue
            self._shards.append((shard, shard.open()))

    def close(self) -> None:
        """Give up the locks; drained shards stay for a mail worker to delete."""
        for shard, database in self._shards:
            database.close()
            shard.lock.release()
        self._shards.clear()

    def messages(self) -> Iterator[QueuedMessage]:
        """Every message, page by page."""
        for _, database in self._shards:
            after = -1
            while page := database.page(after, PAGE):
                yield from page
                after = number_of(page[-1].queue_id) or 0

    def load(self, queue_id: str) -> QueuedMessage | None:
        """One message."""
        for _, database in self._shards:
            if (message := database.load(queue_id)) is not None:
                return message
        return None

    def content(self, queue_id: str) -> Content | None:
        """Its content, whole."""
        number = number_of(queue_id)
        for shard, database in self._shards:
            if number is None or database.load(queue_id) is None:
                continue
            found = database.content(number)
            if found is None:
                continue
            header, body = found
            if body is None:
                with open(shard.content_path(queue_id), "rb") as file:
                    body = file.read()
            return Content(header, MemoryBody(body))
        return None

    def operate(self, operation: str, ids: tuple[str, ...], queues: frozenset[str] = DEFAULT_QUEUES) -> list[str]:
        """Carry an operation out on some messages; the ids it was done to."""
        done: list[str] = []
        for shard, database in self._shards:
            found = [message for queue_id in ids if (message := database.load(queue_id)) is not None]
            done += self._apply(shard, database, operation, found, queues)
        return done

    def operate_all(self, operation: str, queues: frozenset[str] = DEFAULT_QUEUES) -> Iterator[list[str]]:
        """Carry an operation out on every message, page by page; the ids it was done to."""
        for shard, database in self._shards:
            after = -1
            while page := database.page(after, PAGE):
                after = number_of(page[-1].queue_id) or 0
                yield self._apply(shard, database, operation, page, queues)

    def _apply(
        self, shard: Shard, database: ShardDatabase, operation: str, page: list[QueuedMessage], queues: frozenset[str]
    ) -> list[str]:
        fates = [
            fate
            for message in page
            if (queue := queue_name(message)) in queues and (fate := fate_of(operation, message, queue)) is not None
        ]
        database.apply([], [_change(fate) for fate in fates])
        for fate in fates:
            if fate.remove:
                try:
                    os.unlink(shard.content_path(fate.queue_id))
                except FileNotFoundError:
                    pass  # its body was in the row
        return [fate.queue_id for fate in fates]


def _change(fate: Fate) -> Change:
    number = number_of(fate.queue_id)
    assert number is not None
    return Change(
        number,
        (),
        None if fate.state is None else STATES[fate.state],
        fate.next_attempt,
        (FORCE_EXPIRED if fate.force_expired else 0) | (REQUEUED if fate.requeued else 0),
        fate.remove,
    )
