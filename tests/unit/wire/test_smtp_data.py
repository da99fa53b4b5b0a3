"""Content on its way in: dots, line ends, and the one end of data."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.smtp.data import END, ChunkReader, DataReader

CASES = [
    (b".\r\n", b"", b""),
    (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
    (b"..a\r\n..\r\n.b\r\n.\r\n", b".a\r\n.\r\nb\r\n", b""),
    (b"a\nb\r\n.\r\n", b"a\r\nb\r\n", b""),
    (b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n", b""),
    (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n", b""),
    (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n", b""),
    (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n", b""),
    (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n", b""),
    (b"a\r\r\n.\r\n", b"a\r\r\n", b""),
    (b"\r\n.\r\n.\r\n", b"\r\n", b".\r\n"),
]


def read(pieces: list[bytes]) -> tuple[bytes, bytes, int]:
    reader = DataReader()
    content = b""
    for number, piece in enumerate(pieces):
        content += reader.receive(piece)
        if reader.ended:
            return content, reader.leftover + b"".join(pieces[number + 1 :]), reader.received
    raise AssertionError("no end of data")


@pytest.mark.parametrize(("raw", "content", "leftover"), CASES)
def test_content_is_the_same_however_it_is_cut(raw: bytes, content: bytes, leftover: bytes) -> None:
    whole = len(raw) - len(leftover)
    assert (content, leftover, whole) == read([raw])
    assert (content, leftover, whole) == read([raw[n : n + 1] for n in range(len(raw))])
    for cut in range(len(raw)):
        assert (content, leftover, whole) == read([raw[:cut], raw[cut:]])


def test_an_end_with_bare_line_ends_is_none() -> None:
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r"):
        reader = DataReader()
        reader.receive(b"x" + end)
        assert not reader.ended


@given(st.binary(max_size=200), st.lists(st.integers(0, 250), max_size=6))
def test_cuts_never_change_content(data: bytes, cuts: list[int]) -> None:
    raw = data + b"\r\n.\r\n"
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(places)]
    content, leftover, _ = read(pieces)
    assert (content, leftover) == read([raw])[:2]
    assert re.search(rb"(?<!\r)\n", content) is None


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20), max_size=8))
def test_stuffing_is_undone(lines: list[str]) -> None:
    content = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    stuffed = "".join(f".{line}\r\n" if line.startswith(".") else f"{line}\r\n" for line in lines).encode("latin-1")
    assert (content, b"") == read([stuffed + b".\r\n"])[:2]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_chunks_join_to_lines(chunks: list[bytes]) -> None:
    reader = ChunkReader()
    content = b"".join(reader.receive(chunk) for chunk in chunks) + reader.finish()
    whole = b"".join(chunks)
    expected = re.sub(rb"(?<!\r)\n", b"\r\n", whole)
    if expected and not expected.endswith(b"\r\n"):
        expected = expected + (b"\n" if expected.endswith(b"\r") else b"\r\n")
    assert expected == content


LINE_END = re.compile(rb"\r\n\.?|\n(?:\.(?=\.))?")
"""What is taken off and made whole, as one pattern says it."""


@given(st.text("\r\n.x", max_size=30).map(str.encode))
def test_stuffed_dots_and_line_ends_are_as_the_pattern_says(text: bytes) -> None:
    text = text.replace(END, b"")
    reader = DataReader()
    said = reader.receive(text + b"x" + END)
    if reader.leftover:
        return  # taking one end of data out made another
    assert said == LINE_END.sub(b"\r\n", b"\r\n" + text + b"x\r\n")[2:]


def test_nine_megabytes_of_bare_line_ends_cost_little() -> None:
    reader, started = DataReader(), time.process_time()
    size = sum(len(reader.receive(b"\n" * 65536)) for _ in range(144))
    assert size > 18_000_000
    assert time.process_time() - started < 1.0  # 0.1 s where it was measured, 2 s with a pattern
