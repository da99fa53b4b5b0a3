"""POP3's grammar: lines however cut, commands, replies, dots, APOP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.pop3.apop import digest, digest_fits
from posthouse.wire.pop3.command import SHAPES, SYNTAX, BadCommand, Command, parse_command
from posthouse.wire.pop3.content import DotStuffer, unstuff
from posthouse.wire.pop3.lines import LineReader
from posthouse.wire.pop3.reply import LENGTH_LIMIT, Reply, error, listing, ok, parse_reply

COMMANDS = [
    (b"USER bob", Command("USER", ("bob",))),
    (b"PASS  two  blanks ", Command("PASS", (" two  blanks ",))),
    (b"QUIT", Command("QUIT")),
    (b"USER \xc3\xa9", Command("USER", ("\u00e9",))),
    (b"USER \xff", Command("USER", ("\udcff",))),
    (b"APOP bob 00", Command("APOP", ("bob", "00"))),
    (b"AUTH PLAIN =", Command("AUTH", ("PLAIN", "="))),
    (b"LIST", Command("LIST")),
    (b"TOP 1 007", Command("TOP", ("1", "007"), (1, 7))),
]


@pytest.mark.parametrize(("line", "command"), COMMANDS)
def test_a_command_is_read_and_written(line: bytes, command: Command) -> None:
    assert command == parse_command(line)
    assert line + b"\r\n" == bytes(command)


def test_a_verb_comes_in_any_case_and_a_space_at_the_end_does_no_harm() -> None:
    assert parse_command(b"list ") == Command("LIST")
    assert parse_command(b"rEtR 5 ") == Command("RETR", ("5",), (5,))


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        (b"", ""),
        (b" USER bob", ""),
        (b"HELO x", ""),
        (b"QUIT now", "QUIT"),
        (b"USER", "USER"),
        (b"USER ", "USER"),
        (b"PASS a\0b", "PASS"),
        (b"RETR", "RETR"),
        (b"RETR x", "RETR"),
        (b"RETR -1", "RETR"),
        (b"RETR 1 2", "RETR"),
        (b"RETR 12345678901", "RETR"),
        (b"RETR \xd9\xa3", "RETR"),
        (b"TOP 1  2", "TOP"),
        (b"APOP bob", "APOP"),
        (b"u\xc5\xbfer bob", ""),
    ],
)
def test_what_is_no_command_is_said_so(line: bytes, verb: str) -> None:
    bad = parse_command(line)
    assert isinstance(bad, BadCommand)
    assert bad.verb == verb
    assert bad.text == (f"Syntax: {SYNTAX[verb]}" if verb else "Unknown command")


@given(st.binary(max_size=300) | st.builds(lambda v, r: v.encode() + r, st.sampled_from(sorted(SHAPES)), st.binary()))
def test_any_line_is_a_command_or_a_bad_one(line: bytes) -> None:
    command = parse_command(line)
    if isinstance(command, Command):
        assert parse_command(bytes(command).removesuffix(b"\r\n")) == command


@given(st.lists(st.binary(max_size=30)), st.integers(2, 40))
def test_lines_do_not_depend_on_how_bytes_are_cut(pieces: list[bytes], limit: int) -> None:
    def lines(parts: list[bytes]) -> list[tuple[bytes, bool]]:
        reader = LineReader(limit)
        found = []
        for part in parts:
            reader.receive(part)
            while (line := reader.next_line()) is not None:
                found.append((line, reader.too_long))
        return found

    data = b"".join(pieces)
    expected = [
        (line.removesuffix(b"\r"), False) if len(line) < limit else (line[: limit - 1], True)
        for line in data.split(b"\n")[:-1]
    ]
    rest = data.rpartition(b"\n")[2]
    if len(rest) >= limit:
        expected.append((rest[: limit - 1], True))
    assert expected == lines(pieces)
    assert expected == lines([data])
    assert expected == lines([data[place : place + 1] for place in range(len(data))])


def test_what_lies_behind_a_line_goes_to_whoever_takes_over() -> None:
    reader = LineReader(255, b"PASS x\r\nSTAT\r\nLI")
    assert reader.next_line() == b"PASS x"
    assert reader.waiting
    assert reader.take() == b"STAT\r\nLI"
    assert reader.next_line() is None


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"+OK", ok()),
        (b"-ERR", error("")),
        (b"+OK 2 320", ok("2 320")),
        (
            b"-ERR [IN-USE] Do you have another POP session running?",
            error("Do you have another POP session running?", "IN-USE"),
        ),
    ],
)
def test_a_reply_is_read_and_written(line: bytes, reply: Reply) -> None:
    assert reply == parse_reply(line)
    assert line + b"\r\n" == bytes(reply)


def test_what_is_no_reply_is_none() -> None:
    assert parse_reply(b"OK") is None
    assert parse_reply(b"") is None


@given(st.text(), st.sampled_from(("", "AUTH", "SYS/TEMP")))
def test_a_reply_is_one_short_line_whatever_is_in_it(text: str, code: str) -> None:
    line = bytes(error(text.encode("utf-8", "ignore").decode(), code))
    assert line.count(b"\n") == line.count(b"\r") == 1
    assert line.endswith(b"\r\n")
    assert len(line) <= LENGTH_LIMIT


def test_a_listing_ends_in_a_dot() -> None:
    assert listing(ok("2"), ["1 10", "2 20"]) == b"+OK 2\r\n1 10\r\n2 20\r\n.\r\n"


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
        out = b"".join(stuffer.stuff(text[start : start + size]) for start in range(0, len(text), size))
        assert expected == out + stuffer.end()


@given(st.lists(st.text(alphabet=".\na", max_size=8)))
def test_a_client_reads_back_what_was_sent(pieces: list[str]) -> None:
    text = "".join(pieces).replace("\n", "\r\n").encode()
    stuffer = DotStuffer()
    cuts = [text[place : place + 3] for place in range(0, len(text), 3)]
    sent = b"".join(map(stuffer.stuff, cuts)) + stuffer.end()
    whole = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
    assert unstuff(sent) == whole
    assert b"\r\n.\r\n" not in sent[:-1]


def test_half_an_answer_is_none() -> None:
    assert unstuff(b"a\r\n..\r\n") is None


def test_rfc_1939_section_7_has_an_example_of_a_digest() -> None:
    stamp = "<1896.697170952@dbc.mtview.ca.us>"
    assert digest(stamp, "tanstaaf") == "c4c9334bac560ecc979e58001b3e22fb"
    assert digest_fits(stamp, "tanstaaf", "C4C9334BAC560ECC979E58001B3E22FB")
    assert not digest_fits(stamp, "tanstaaf", "c4c9334bac560ecc979e58001b3e22fc")
    assert not digest_fits(stamp, "tanstaaf", "\u00e9\udcff")
