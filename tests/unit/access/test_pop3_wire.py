"""POP3's grammar: lines however cut, commands, dots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.pop3.command import Command, LineReader, TooLong, parse_command, parse_number
from posthouse.wire.pop3.reply import DotStuffer, apop_digest, apop_fits, err, listing, ok

COMMANDS = [
    (b"USER bob", Command("USER", "bob")),
    (b"pass  two  blanks ", Command("PASS", " two  blanks ")),
    (b"Quit", Command("QUIT", "")),
    (b"", Command("", "")),
    (b"USER \xc3\xa9", Command("USER", "é")),
]


@pytest.mark.parametrize(("line", "expected"), COMMANDS)
def test_commands(line: bytes, expected: Command) -> None:
    assert expected == parse_command(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("007", 7), ("", None), ("-1", None), ("1x", None), ("٣", None), ("9" * 10, None)],
)
def test_numbers(text: str, expected: int | None) -> None:
    assert expected == parse_number(text)


def test_rfc_1939_example_digest() -> None:
    timestamp = "<1896.697170952@dbc.mtview.ca.us>"
    assert apop_digest(timestamp, "tanstaaf") == "c4c9334bac560ecc979e58001b3e22fb"
    assert apop_fits("C4C9334BAC560ECC979E58001B3E22FB", timestamp, "tanstaaf")
    assert not apop_fits("c4c9334bac560ecc979e58001b3e22fc", timestamp, "tanstaaf")


def test_a_reply_is_one_line_whatever_is_in_it() -> None:
    assert err("a\r\nb", "SYS/TEMP") == b"-ERR [SYS/TEMP] a  b\r\n"
    assert ok() == b"+OK\r\n"
    assert listing("2", ["1 10", "2 20"]) == b"+OK 2\r\n1 10\r\n2 20\r\n.\r\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n..\r\nx.\r\n", b"..\r\n...\r\nx.\r\n.\r\n"),
        (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
    ],
)
def test_dots_are_doubled_however_the_text_is_cut(text: bytes, expected: bytes) -> None:
    for size in range(1, len(text) + 2):
        stuffer = DotStuffer()
        out = b"".join(stuffer.feed(text[start : start + size]) for start in range(0, len(text), size))
        out += stuffer.end()
        assert expected == out


@given(st.lists(st.text(alphabet=". ab", max_size=6), min_size=1, max_size=8), st.integers(1, 9))
def test_a_client_gets_back_what_was_stored(lines: list[str], size: int) -> None:
    text = b"".join(line.encode() + b"\r\n" for line in lines)
    stuffer = DotStuffer()
    out = b"".join(stuffer.feed(text[start : start + size]) for start in range(0, len(text), size)) + stuffer.end()
    assert out.endswith(b".\r\n")
    back = [line.removeprefix(b".") for line in out.removesuffix(b".\r\n").split(b"\r\n")[:-1]]
    assert lines == [line.decode() for line in back]


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_lines_do_not_depend_on_the_cuts(data: bytes, cuts: list[int]) -> None:
    def read(pieces: list[bytes]) -> list[bytes | TooLong]:
        reader = LineReader(20)
        found: list[bytes | TooLong] = []
        for piece in pieces:
            reader.receive(piece)
            while (line := reader.next_line()) is not None:
                found.append(line)
        return found

    pieces = []
    position = 0
    for cut in cuts:
        pieces.append(data[position : position + cut])
        position += cut
    pieces.append(data[position:])
    assert read([data]) == read(pieces)
    for line in read([data]):
        if isinstance(line, bytes):
            parse_command(line)


def test_an_endless_line_takes_no_memory() -> None:
    reader = LineReader(255)
    for _ in range(1000):
        reader.receive(b"x" * 1000)
        assert reader.next_line() is None
    reader.receive(b"\nQUIT\r\n")
    assert reader.next_line() == TooLong()
    assert reader.next_line() == b"QUIT"
