import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from posthouse.queue.queue_id import BLOCK, NUMBER_LIMIT, NumberSource, is_queue_id, long_id, number_of, short_id


@given(st.integers(0, 999_999), st.integers(0, NUMBER_LIMIT - 1))
def test_a_short_id_gives_its_number_back(microseconds: int, number: int) -> None:
    queue_id = short_id(microseconds, number)
    assert re.fullmatch("[0-9A-F]{10,12}", queue_id)
    assert number_of(queue_id) == number


@given(st.integers(0, 1 << 33), st.integers(0, 999_999), st.integers(0, NUMBER_LIMIT - 1))
def test_a_long_id_gives_its_number_back(seconds: int, microseconds: int, number: int) -> None:
    queue_id = long_id(seconds, microseconds, number)
    assert re.fullmatch("[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+", queue_id)
    assert number_of(queue_id) == number


@given(st.text(max_size=40))
def test_any_text_has_a_number_or_none(text: str) -> None:
    number = number_of(text)
    assert number is None or 0 <= number < NUMBER_LIMIT


def test_a_source_never_gives_a_number_twice_across_restarts(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers")
    given: set[int] = set()
    for _ in range(5):
        source = NumberSource(path)
        numbers = [source.next() for _ in range(3)]
        assert not given & set(numbers)
        given.update(numbers)


def test_two_sources_at_once_have_blocks_of_their_own(tmp_path: Path) -> None:
    path = str(tmp_path / "numbers")
    one, other = NumberSource(path), NumberSource(path)
    assert one.next() // BLOCK != other.next() // BLOCK


def test_a_source_goes_on_with_the_next_block(tmp_path: Path) -> None:
    source = NumberSource(str(tmp_path / "numbers"))
    numbers = [source.next() for _ in range(BLOCK + 1)]
    assert len(set(numbers)) == BLOCK + 1


def test_commands_take_letters_and_digits_for_an_id() -> None:
    assert is_queue_id("ABC")
    assert not is_queue_id("bad/id")
    assert not is_queue_id("")
