"""IMAP's grammar: values both ways, limits, and any bytes."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.imap.append import MessageLiteral
from posthouse.wire.imap.client import Response, ResponseReader, pairs, parse_response
from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.dates import format_date_time, header_day, parse_date_time
from posthouse.wire.imap.error import ImapNameError, ImapSyntaxError
from posthouse.wire.imap.fetch import Section, parse_fetch
from posthouse.wire.imap.mailboxes import parse_create, parse_list, parse_rename, parse_select, parse_status
from posthouse.wire.imap.pattern import Pattern
from posthouse.wire.imap.reader import Broken, Command, CommandReader, Continue, MessagesEnd
from posthouse.wire.imap.response import astring, flag_list, nstring, string, tagged
from posthouse.wire.imap.search import BadCharset, parse_search
from posthouse.wire.imap.sequence import SequenceSet, format_ranges, format_set, gaps, parse_sequence_set
from posthouse.wire.imap.store import parse_store
from posthouse.wire.imap.utf7 import decode_pattern, encode_name, parse_name

# RFC 3501 section 5.1.3 has the first two.
NAMES = [
    ("~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ("Hi Mom \u263a-!", b"Hi Mom &Jjo--!"),
    ("a & b", b"a &- b"),
    ("\U0001f4e8", b"&2D3c6A-"),
    ("\u00e9&\u00e9", b"&AOk-&-&AOk-"),
    ("", b""),
]


@pytest.mark.parametrize(("name", "wire"), NAMES)
def test_names_travel_in_modified_utf7(name: str, wire: bytes) -> None:
    assert encode_name(name) == wire
    assert parse_name(wire) == name
    assert decode_pattern(wire) == name


NO_NAMES = [
    b"a & b",
    b"&Jjo",  # not ended
    b"&",
    b"R&D &-",
    b"&ANw-&",
    b"&AGE-",  # "a", which stands for itself
    b"&ZeVnLIqeAGE-",  # the same behind characters that must be in base64
    b"&2D0-",  # half a surrogate pair
    b"&AOl-",  # bits left over that are not zero
    b"&A-",
    b"&AOk=-",
    "gr\u00fcn".encode(),
    b"\xfc",
]


@pytest.mark.parametrize("wire", NO_NAMES)
def test_what_is_no_modified_utf7_is_no_name_and_a_pattern_as_it_stands(wire: bytes) -> None:
    assert parse_name(wire) is None
    decoded = decode_pattern(wire)
    assert decode_pattern(encode_name(decoded)) == decoded
    with pytest.raises(ImapNameError):
        Cursor(b'"' + wire + b'"').mailbox()


def test_a_name_may_be_cut_in_two_runs() -> None:
    assert parse_name(b"&AOk-&AOk-") == "\u00e9\u00e9"


@given(st.text())
def test_every_name_comes_back(name: str) -> None:
    wire = encode_name(name)
    assert re.fullmatch(rb"[ -~]*", wire)
    assert parse_name(wire) == name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(st.binary())
def test_any_bytes_are_a_pattern_and_a_name_or_none(wire: bytes) -> None:
    encode_name(decode_pattern(wire))
    name = parse_name(wire)
    if name is not None:
        assert parse_name(encode_name(name)) == name == decode_pattern(wire)


@pytest.mark.parametrize("flag", ["\\Foo", "\\Recent", "\\x"])
def test_a_client_gives_no_system_flag_that_is_none(flag: str) -> None:
    with pytest.raises(ImapSyntaxError, match="system flag"):
        parse_store(Cursor(f" 1 +FLAGS (\\Seen {flag})".encode()))
    reader = CommandReader(1000, 1000)
    reader.receive(f"a APPEND INBOX (\\seen {flag}) {{3+}}\r\nabc\r\n".encode())
    assert reader.next_event() == Broken("a", f"Invalid system flag {flag}")
    reader.receive(b'b APPEND "&" {3+}\r\nabc\r\n')
    assert reader.next_event() == Broken("b", "Mailbox name is not valid modified UTF-7", status="NO")
    assert reader.next_event() is None


SETS = [
    (b"1", ((1, 1),)),
    (b"2:4,7,9:*", ((2, 4), (7, 7), (9, 0))),
    (b"*:4", ((0, 4),)),
    (b"4294967295", ((4294967295, 4294967295),)),
]


@pytest.mark.parametrize(("text", "ranges"), SETS)
def test_message_sets(text: bytes, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_sequence_set(text) == SequenceSet(ranges)


@pytest.mark.parametrize("text", [b"", b"0", b"1,", b",1", b"1:", b":1", b"1:2:3", b"a", b"4294967296", b"01", b"1 2"])
def test_what_is_no_message_set(text: bytes) -> None:
    with pytest.raises(ImapSyntaxError):
        parse_sequence_set(text)


@given(st.lists(st.integers(1, 50), min_size=1))
def test_numbers_come_back_from_their_set(numbers: list[int]) -> None:
    known = list(range(1, 51))
    assert parse_sequence_set(format_set(numbers)).among(known) == sorted(set(numbers))


@given(st.sets(st.integers(1, 60)), st.integers(1, 60), st.integers(1, 60))
def test_gaps_are_what_is_not_there(numbers: set[int], low: int, high: int) -> None:
    absent = [one for one in range(low, high + 1) if one not in numbers]
    assert format_ranges(gaps(sorted(numbers), low, high)) == format_set(absent)


def test_a_star_is_the_largest_number_even_below_the_other_end() -> None:
    assert parse_sequence_set(b"500:*").among([3, 9, 40]) == [40]
    assert parse_sequence_set(b"*").among([]) == []


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        (b"17-Jul-1996 02:44:25 -0700", 837596665.0),
        (b" 1-Jan-1970 00:00:00 +0000", 0.0),
        (b"01-Jan-1970 01:00:60 +0100", 59.0),
    ],
)
def test_dates_and_times(text: bytes, epoch: float) -> None:
    assert parse_date_time(text) == epoch
    assert parse_date_time(format_date_time(epoch)[1:-1]) == epoch


@given(st.binary(max_size=40))
def test_any_bytes_are_a_date_or_none(text: bytes) -> None:
    header_day(text)
    try:
        parse_date_time(text)
    except ImapSyntaxError:
        pass


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (b" Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\n", date(1994, 2, 7)),
        (b"7 February 94 21:52", date(1994, 2, 7)),
        (b"Thu Feb  7 1994", None),
        (b"31 Feb 2000", None),
        (b"", None),
    ],
)
def test_the_day_of_a_date_field(value: bytes, day: date | None) -> None:
    assert header_day(value) == day


SECTIONS = [
    (b"BODY[]", Section(label=b"BODY[]")),
    (b"body.peek[1.2.mime]<5.10>", Section((1, 2), "MIME", (), True, (5, 10), b"BODY[1.2.MIME]<5>")),
    (b"BODY[TEXT]", Section((), "TEXT", label=b"BODY[TEXT]")),
    (
        b'BODY[3.HEADER.FIELDS ("X y" To)]',
        Section((3,), "HEADER.FIELDS", (b"x y", b"to"), label=b'BODY[3.HEADER.FIELDS ("X y" To)]'),
    ),
    (b"RFC822.PEEK", Section(peek=True, label=b"RFC822")),
    (b"RFC822.HEADER", Section((), "HEADER", peek=True, label=b"RFC822.HEADER")),
]


@pytest.mark.parametrize(("text", "section"), SECTIONS)
def test_sections(text: bytes, section: Section) -> None:
    assert parse_fetch(Cursor(text), uid=False).sections == (section,)


@pytest.mark.parametrize(
    "text",
    [b"", b"()", b"(FLAGS", b"BODY[0]", b"BODY[1.]", b"BODY[MIME]", b"BODY[]<0.0>", b"BODY[HEADER.FIELDS ()]",
     b"UID[1]",
     b"FLAGS (CHANGEDSINCE)", b"FLAGS x", b"BODY[" + b"1." * 300 + b"1]"],
)  # fmt: skip
def test_what_cannot_be_fetched(text: bytes) -> None:
    with pytest.raises(ImapSyntaxError):
        parse_fetch(Cursor(text), uid=False)


def test_macros_and_the_uid_of_uid_fetch() -> None:
    assert parse_fetch(Cursor(b"FAST"), uid=True).plain == ("UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE")


def test_a_search_program_is_bounded_in_depth_and_number() -> None:
    for text in (b" " + b"(" * 60 + b"ALL" + b")" * 60, b" " + b"NOT " * 60 + b"ALL", b" ALL" * 1001):
        with pytest.raises(ImapSyntaxError, match="too complex"):
            parse_search(Cursor(text))


@given(st.binary(max_size=200))
def test_any_bytes_are_arguments_or_a_clean_refusal(data: bytes) -> None:
    for parse in (parse_search, parse_store, parse_select, parse_create, parse_rename, parse_list, parse_status):
        try:
            parse(Cursor(b" " + data))  # type: ignore[operator]
        except (ImapSyntaxError, BadCharset):
            pass
    try:
        parse_fetch(Cursor(data), uid=True)
    except ImapSyntaxError:
        pass


# -- patterns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "a/b", True),
        ("%", "a/b", False),
        ("%/%", "a/b", True),
        ("a*", "a", True),
        ("a%c", "abc", True),
        ("inbox", "INBOX", True),
        ("iNb%", "INBOX", True),
        ("inbox/x", "INBOX/x", True),
        ("inbox/x", "INBOX/X", False),
        ("A", "a", False),
        ("", "", True),
        ("*x*", "axb/c", True),
        ("%b", "a/b", False),
    ],
)
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    assert Pattern(pattern).matches(name) is fits


@given(st.text(alphabet="ab/*%", max_size=8), st.text(alphabet="ab/", max_size=8))
def test_patterns_mean_what_the_regular_expression_means(pattern: str, name: str) -> None:
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(char, re.escape(char)) for char in pattern)
    assert Pattern(pattern).matches(name) is (re.fullmatch(expression, name) is not None)


def test_a_hostile_pattern_takes_no_time_or_is_refused() -> None:
    assert not Pattern("*a" * 40).matches("a" * 30 + "b" * 900)
    with pytest.raises(ImapSyntaxError):
        Pattern("%*" * 100)


# -- the reader ---------------------------------------------------------------------------


def read(pieces: list[bytes], line_limit: int = 300, literal_limit: int = 100) -> list[object]:
    """What comes of the bytes; messages as (literal, octets), commands as (tag, verb, data)."""
    reader = CommandReader(line_limit, literal_limit)
    found: list[object] = []
    message: list[bytes] = []
    for piece in pieces:
        reader.receive(piece)
        while True:
            if reader.message_left:
                chunk = reader.take_message()
                if not chunk:
                    break
                message.append(chunk)
                continue
            event = reader.next_event()
            if event is None:
                break
            if message:
                found.append(b"".join(message))
                message.clear()
            if isinstance(event, Command):
                found.append((event.tag, event.verb, event.cursor.data, event.cursor.at))
            else:
                found.append(event)
                if isinstance(event, Broken) and event.fatal:
                    return found
    return found


def test_literals_stand_in_their_place() -> None:
    data = b'a LOGIN {4}\r\ntony "x y"\r\nb NOOP\r\n'
    assert read([data]) == [
        Continue(),
        ("a", "LOGIN", b'a LOGIN {4}\r\ntony "x y"', 7),
        ("b", "NOOP", b"b NOOP", 6),
    ]


def test_messages_of_an_append_stream() -> None:
    data = b"a APPEND {5+}\r\nINBOX (\\Seen) {3}\r\nabc {2+}\r\nde\r\nb NOOP\r\n"
    assert read([data]) == [
        MessageLiteral("INBOX", frozenset({"\\Seen"}), None, 3, True),
        b"abc",
        MessageLiteral("", frozenset(), None, 2, False),
        b"de",
        MessagesEnd(),
        ("b", "NOOP", b"b NOOP", 6),
    ]


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"\r\n", Broken("*", "Empty command line")),
        (b"+ x\r\n", Broken("*", "Invalid tag")),
        (b"a {3}\r\n", Broken("a", "Invalid command name")),
        (b"a\r\n", Broken("a", "Missing command")),
        (b"a LOGIN {101}\r\n", Broken("a", "Literal is too large")),
        (b"a LOGIN {9999999999+}\r\n", Broken("a", "Literal is too large", fatal=True)),
        (b"a " + b"x" * 400 + b"\r\n", Broken("a", "Command line is too long")),
        (b"a X {60}\r\n" + b"y" * 60 + b" {60}\r\n", Broken("a", "Literal is too large")),
        (b"a APPEND x y {3+}\r\nabc\r\n", Broken("a", "Invalid arguments")),
    ],
)
def test_what_is_no_command(data: bytes, broken: Broken) -> None:
    found = [event for event in read([data, b"z NOOP\r\n"]) if not isinstance(event, Continue)]
    assert found[0] == broken
    assert broken.fatal or found[1:] == [("z", "NOOP", b"z NOOP", 6)]


BYTES = st.lists(
    st.sampled_from([b"a ", b"LOGIN ", b"APPEND ", b"INBOX ", b"UID FETCH ", b"{3}\r\n", b"{2+}\r\n", b"{200+}\r\n",
                     b"abc", b" ", b"\r\n", b"\n", b'"x', b'"', b"(\\Seen)", b"{3", b"\0\xff", b"x" * 350])
    | st.binary(max_size=5),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(BYTES, st.data())
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: bytes, cuts: st.DataObject) -> None:
    at = cuts.draw(st.integers(0, len(data)))
    whole = read([data])
    assert read([data[:at], data[at:]]) == whole
    assert read([data[place : place + 1] for place in range(len(data))]) == whole


# -- responses, both sides ----------------------------------------------------------------


@given(st.binary(max_size=2000))
def test_strings_come_back_to_a_client(value: bytes) -> None:
    value = value.replace(b"\0", b"\x80")
    reader = ResponseReader()
    for write in (string, nstring, astring):
        reader.receive(b"* X " + write(value) + b" (NIL)\r\n")
        response = reader.next_response()
        assert response is not None
        assert response.data == (b"X", value, [None])
    assert Cursor(string(value)).string() == value
    assert Cursor(astring(value)).astring() == value


def test_status_responses_come_back_to_a_client() -> None:
    sent = tagged("a1", "NO", "Mailbox doesn't exist.", "TRYCREATE")
    assert parse_response(sent.rstrip()) == Response("a1", "NO", "TRYCREATE", "Mailbox doesn't exist.")
    assert tagged("a", "OK", "", "X") == b"a OK [X] -\r\n", "clients choke on a code without text"
    assert tagged("a", "OK", "two\r\nlines\u263a") == b"a OK two??lines?\r\n"


def test_a_fetch_comes_back_to_a_client() -> None:
    line = b'* 2 FETCH (FLAGS (\\Seen $X) BODY[HEADER.FIELDS ("X y" To)]<0> {3}\r\na)b UID 7)\r\n'
    reader = ResponseReader()
    found = None
    for place in range(len(line)):
        assert found is None
        reader.receive(line[place : place + 1])
        found = reader.next_response()
    assert found is not None
    assert pairs(found.data[2]) == {
        b"FLAGS": [b"\\Seen", b"$X"],
        b'BODY[HEADER.FIELDS ("X Y" TO)]<0>': b"a)b",
        b"UID": b"7",
    }


@given(st.binary(max_size=100))
def test_any_bytes_are_responses_or_a_clean_refusal(data: bytes) -> None:
    reader = ResponseReader()
    reader.receive(data + b"\r\n")
    try:
        while reader.next_response() is not None:
            pass
    except ImapSyntaxError:
        pass


def test_flags_are_told_in_one_order() -> None:
    assert flag_list({"b", "\\Seen", "a", "\\Answered"}) == b"(\\Answered \\Seen a b)"
