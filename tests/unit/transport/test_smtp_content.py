"""Content on the wire: every cut gives the same bytes, and the server gets back what was meant."""

import itertools
import re

from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.transport.smtp.content import WireContent


def wire(chunks: list[bytes], limit: int = 998) -> bytes:
    content = WireContent(limit)
    return b"".join([content.feed(chunk) for chunk in chunks]) + content.finish()


def unstuffed(data: bytes) -> bytes:
    return re.sub(rb"(?m)^\.\.", b".", data)


lines = st.lists(
    st.sampled_from([b"", b".", b"..", b".x", b"a", b"x" * 20, b"x" * 21, b"." * 25, b"\r", b"a\rb", b"y" * 70])
)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(p, len(data)) for p in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(lines, cuts, st.sampled_from([0, 20, 998]))
@example([b".", b""], [1, 2, 3], 20)
def test_every_cut_gives_the_same_bytes(parts: list[bytes], places: list[int], limit: int):
    data = b"".join(part + b"\r\n" for part in parts)
    assert wire(cut(data, places), limit) == wire([data], limit)


@given(lines, cuts)
def test_the_server_gets_back_what_was_meant(parts: list[bytes], places: list[int]):
    data = b"".join(part.replace(b"\r", b"") + b"\r\n" for part in parts)
    sent = wire(cut(data, places), 0)
    assert unstuffed(sent) == data


@given(lines, cuts)
def test_no_line_is_longer_than_the_limit_and_only_breaks_are_added(parts: list[bytes], places: list[int]):
    data = b"".join(part.replace(b"\r", b"") + b"\r\n" for part in parts)
    sent = unstuffed(wire(cut(data, places), 20))
    assert all(len(line) <= 20 for line in sent.split(b"\r\n"))
    assert sent.replace(b"\r\n ", b"") == data


@given(st.binary(max_size=200), cuts)
def test_any_bytes_end_in_a_line_end_and_hold_no_end_of_data(data: bytes, places: list[int]):
    sent = wire(cut(data, places))
    assert not sent or sent.endswith(b"\r\n")
    assert b"\n.\r\n" not in b"\n" + sent
    assert b"\n.\n" not in b"\n" + sent
    assert re.search(rb"(?<!\r)\n", sent) is None


def test_a_line_of_998_octets_stays_whole_and_one_of_999_does_not():
    assert wire([b"x" * 998 + b"\r\n"]) == b"x" * 998 + b"\r\n"
    assert wire([b"x" * 999 + b"\r\n"]) == b"x" * 998 + b"\r\n x\r\n"
