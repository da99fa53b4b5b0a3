"""Room in the queue, as MAIL asks for it."""

import pytest

from posthouse.intake.room import Room


@pytest.mark.parametrize(
    ("space", "size", "code"),
    [(1500, 0, None), (1499, 0, 452), (5000, 1000, None), (5000, 1001, 552), (9, 0, 452)],
)
def test_space_must_hold_the_largest_message_and_half_of_it_more(space: int, size: int, code: int | None) -> None:
    refused = Room(1000, 0, lambda: space).refused(size)
    assert (None if refused is None else refused.code) == code


def test_queue_minfree_stays_free() -> None:
    assert Room(1000, 2000, lambda: 2001).refused(0) is None
    refused = Room(1000, 2000, lambda: 2000).refused(0)
    assert refused is not None
    assert [reason.fact for reason in refused.evidence] == ["2000 bytes < 1.5*message size limit"]


def test_without_a_size_limit_the_declared_size_counts() -> None:
    assert Room(0, 0, lambda: 3000).refused(2000) is None
    assert Room(0, 0, lambda: 2999).refused(2000) is not None


def test_a_burst_looks_at_the_disk_once() -> None:
    looks: list[None] = []
    now = [10.0]

    def free() -> int:
        looks.append(None)
        return 10_000

    room = Room(1000, 0, free, lambda: now[0])
    for _ in range(5):
        assert room.refused(0) is None
    now[0] += 1.0
    room.refused(0)
    assert len(looks) == 2
