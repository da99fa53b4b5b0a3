"""A queue far larger than memory: what is read of it at a time is a page."""

import gc
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.queue import fill
from posthouse.commands.queue_listing import json_lines, table_lines
from posthouse.queue.database import PAGE
from posthouse.queue.offline import OfflineQueue
from posthouse.queue.queue_id import number_of
from posthouse.queue.row import row_of
from posthouse.queue.store import QueuedMessage, State

COUNT = 6 * PAGE


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[OfflineQueue]:
    fill(f"{tmp_path}/queue", COUNT)
    queue = OfflineQueue(f"{tmp_path}/queue")
    yield queue
    queue.close()


def _alive() -> int:
    """How many messages are in memory."""
    return sum(type(one) is QueuedMessage for one in gc.get_objects())


@pytest.mark.parametrize("lines", [json_lines, lambda rows: table_lines(rows, long_ids=False)])
def test_a_listing_holds_a_page_at_a_time(queue: OfflineQueue, lines) -> None:
    most = 0
    for number, _ in enumerate(lines(row_of(message, message.state.value) for message in queue.messages())):
        if number % PAGE == 7:
            most = max(most, _alive())
    assert 0 < most <= 2 * PAGE


def test_an_operation_on_all_holds_a_page_at_a_time(queue: OfflineQueue) -> None:
    for operation in ("hold", "release", "expire", "requeue", "delete"):
        count = 0
        for done in queue.operate_all(operation):
            count += len(done)
            assert len(done) <= PAGE and _alive() <= 2 * PAGE
        assert count == COUNT, operation
    assert list(queue.messages()) == []


def test_a_flush_meets_what_is_deferred_meanwhile_once(queue: OfflineQueue) -> None:
    _, database = queue._shards[0]
    after = (-1.0, -1)
    seen = []
    while page := database.due(State.DEFERRED, math.inf, after, PAGE):
        seen += [message.queue_id for message in page]
        queue.operate("hold", (page[0].queue_id,))
        queue.operate("release", (page[0].queue_id,))
        after = (page[-1].next_attempt, number_of(page[-1].queue_id) or 0)
    assert len(seen) == len(set(seen)) == COUNT
