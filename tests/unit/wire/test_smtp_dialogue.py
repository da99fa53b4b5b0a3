"""Command lines cut out of bytes, the order of commands, EHLO and replies."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.smtp.dialogue import NEXT, REFUSED, Dialogue, State
from posthouse.wire.smtp.ehlo import offer
from posthouse.wire.smtp.reply import RemoteProtocolError, Reply, ReplyReader, parse_reply


def lines(dialogue: Dialogue) -> list[bytes]:
    found = []
    while (line := dialogue.next_line()) is not None:
        found.append(line)
    return found


def test_lines_end_at_lf_and_crlf() -> None:
    dialogue = Dialogue(100)
    dialogue.receive(b"NOOP\r\nRSET\nQU")
    assert lines(dialogue) == [b"NOOP", b"RSET"]
    dialogue.receive(b"IT\r")
    assert lines(dialogue) == []
    dialogue.receive(b"\n")
    assert lines(dialogue) == [b"QUIT"]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_line_past_the_limit_is_cut_and_its_rest_skipped(step: int) -> None:
    dialogue = Dialogue(20)
    raw = b"NOOP " + b"x" * 200 + b"\r\nQUIT\r\n"
    found = []
    for place in range(0, len(raw), step):
        dialogue.receive(raw[place : place + step])
        while (line := dialogue.next_line()) is not None:
            found.append((line, dialogue.too_long))
    assert found == [(b"NOOP " + b"x" * 15, True), (b"QUIT", False)]


def test_a_line_of_just_the_limit_is_whole() -> None:
    dialogue = Dialogue(10)
    dialogue.receive(b"0123456789\r\n")
    assert (dialogue.next_line(), dialogue.too_long) == (b"0123456789", False)


def test_content_is_taken_by_count() -> None:
    dialogue = Dialogue(100)
    dialogue.receive(b"BDAT 3\r\nabcNOOP\r\n")
    assert dialogue.next_line() == b"BDAT 3"
    assert dialogue.take(3) == b"abc"
    assert dialogue.next_line() == b"NOOP"


def test_every_state_has_its_rows() -> None:
    assert set(NEXT) == set(REFUSED) == set(State)


@pytest.mark.parametrize(
    ("verbs", "refused"),
    [
        (["RCPT"], "Error: need MAIL command"),
        (["DATA"], "Error: need RCPT command"),
        (["MAIL", "DATA"], "Error: no valid recipients"),
        (["MAIL", "MAIL"], "Error: nested MAIL command"),
        (["MAIL", "RCPT", "BDAT", "DATA"], "Error: DATA after BDAT"),
        (["MAIL", "RCPT", "DATA", "RCPT"], "Error: need MAIL command"),
    ],
)
def test_a_verb_out_of_order_is_refused(verbs: list[str], refused: str) -> None:
    dialogue = Dialogue(100)
    for verb in verbs[:-1]:
        assert dialogue.refusal(verb) is None
        dialogue.advance(verb)
    reply = dialogue.refusal(verbs[-1])
    assert reply is not None and reply.text == refused


def test_ehlo_lists_everything_in_order() -> None:
    reply = offer(
        "mail.example",
        size=10,
        vrfy=True,
        etrn=True,
        starttls=True,
        mechanisms=("PLAIN", "LOGIN"),
        broken_clients=True,
        smtputf8=True,
        discard=frozenset({"ETRN"}),
    )
    assert reply == (
        b"250-mail.example\r\n250-PIPELINING\r\n250-SIZE 10\r\n250-VRFY\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n"
        b"250-AUTH=PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
        b"250 CHUNKING\r\n"
    )


REPLIES = [
    (Reply(250, "2.1.5", "Ok"), b"250 2.1.5 Ok\r\n"),
    (Reply(354, "", "End data"), b"354 End data\r\n"),
    (Reply(250, "", "mail.example\nPIPELINING\nSIZE 1"), b"250-mail.example\r\n250-PIPELINING\r\n250 SIZE 1\r\n"),
    (Reply(550, "5.7.1", "no\nnever"), b"550-5.7.1 no\r\n550 5.7.1 never\r\n"),
    (Reply(220, "", ""), b"220 \r\n"),
]


@pytest.mark.parametrize(("reply", "wire"), REPLIES)
def test_replies_go_both_ways(reply: Reply, wire: bytes) -> None:
    assert bytes(reply) == wire
    reader = ReplyReader()
    for number in range(len(wire)):
        reader.receive(wire[number : number + 1])
    reader.receive(b"221 left")
    assert reader.next_reply() == reply
    assert reader.leftover == b"221 left"


def test_a_status_of_another_class_is_text() -> None:
    assert parse_reply([b"550 2.1.5 odd"]) == Reply(550, "", "2.1.5 odd")
    assert parse_reply([b"550 2.1.5 odd"]).enhanced_status == "5.0.0"
    assert parse_reply([b"550-x", b"550 5.1.1 y"]).enhanced_status == "5.0.0"


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_give_replies_or_a_protocol_error(pieces: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for piece in pieces:
            reader.receive(piece)
            while reader.next_reply() is not None:
                pass
    except RemoteProtocolError:
        pass


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_cuts_never_change_the_lines(data: bytes, cuts: list[int]) -> None:
    whole = Dialogue(30)
    whole.receive(data)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    dialogue = Dialogue(30)
    found = []
    for start, end in pairwise(places):
        dialogue.receive(data[start:end])
        found += lines(dialogue)
    assert lines(whole) == found
