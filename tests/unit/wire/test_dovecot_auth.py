import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.dovecot_auth import (
    LINE_LIMIT,
    Challenged,
    Denied,
    DovecotDialogue,
    DovecotProtocolError,
    Granted,
    Greeted,
    Mechanism,
    auth_line,
    cancel_line,
    continue_line,
    escape,
    handshake,
    unescape,
)
from posthouse.wire.sasl import is_base64

GREETING = (
    b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tcram-md5\tdictionary\tactive\nSPID\t1\nCUID\t1\nCOOKIE\tab\nDONE\n"
)
GREETED = Greeted(
    (Mechanism("PLAIN", frozenset({"plaintext"})), Mechanism("CRAM-MD5", frozenset({"dictionary", "active"}))), True
)


def greeted() -> DovecotDialogue:
    dialogue = DovecotDialogue()
    assert dialogue.receive_data(GREETING) == [GREETED]
    return dialogue


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"CONT\t7\tPDE=\n", Challenged(7, "PDE=")),
        (b"CONT\t7\n", Challenged(7, "")),
        (b"OK\t7\tuser=joe\tx=a\x01tb\n", Granted(7, "joe", {"user": "joe", "x": "a\tb"})),
        (b"FAIL\t7\tuser=joe\treason=bad thing\n", Denied(7, "joe", "bad thing")),
        (b"FAIL\t7\n", Denied(7)),
        (b"FAIL\t7\tuser=joe\ttemp\n", Denied(7, "joe", "", True)),
        (b"FAIL\t7\tcode=temp_fail\treason=later\n", Denied(7, "", "later", True)),
    ],
)
def test_an_answer_is_told(line: bytes, event: object) -> None:
    assert greeted().receive_data(line) == [event]


def test_unknown_lines_are_ignored() -> None:
    assert greeted().receive_data(b"HUH\t1\n\nMECH\tLOGIN\n") == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"VERSION\t2\t1\n", "Protocol version mismatch (2 vs. 1)"),
        (b"VERSION\tx\n", "Protocol version error"),
        (b"DONE\n", "Protocol version error"),
        (b"VERSION\t1\t2\nSPID\t9\n", "Connected to wrong auth socket (auth-master instead of auth-client)"),
        (b"x" * (LINE_LIMIT + 1), "line too long"),
    ],
)
def test_a_bad_handshake_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(DovecotProtocolError) as error:
        DovecotDialogue().receive_data(data)
    assert str(error.value) == text


@pytest.mark.parametrize("line", [b"OK\n", b"OK\tx\tuser=a\n", b"OK\t1\n", b"CONT\t1\t\xff\n", b"FAIL\t-1\n"])
def test_an_answer_that_cannot_be_one_is_refused(line: bytes) -> None:
    with pytest.raises(DovecotProtocolError):
        greeted().receive_data(line)


def test_what_we_say() -> None:
    assert handshake(42) == b"VERSION\t1\t1\nCPID\t42\n"
    parameters = (("service", "smtp"), ("nologin", None), ("rip", "a\tb"))
    assert (
        auth_line(1, "PLAIN", parameters, "AA==") == b"AUTH\t1\tPLAIN\tservice=smtp\tnologin\trip=a\x01tb\tresp=AA==\n"
    )
    assert auth_line(2, "LOGIN", (), None) == b"AUTH\t2\tLOGIN\n"
    assert continue_line(2, "") == b"CONT\t2\t\n"
    assert cancel_line(2) == b"CANCEL\t2\n"


def test_a_response_that_is_no_base64_goes_nowhere() -> None:
    assert not is_base64("a\tb")
    assert not is_base64("*")
    assert is_base64("===")


@given(st.text())
def test_any_word_comes_back(text: str) -> None:
    word = escape(text)
    assert not set(word) & set("\0\t\r\n")
    assert unescape(word) == text


@given(st.lists(st.binary(max_size=60)), st.booleans())
def test_any_bytes_are_events_or_a_protocol_error(pieces: list[bytes], after: bool) -> None:
    dialogue = greeted() if after else DovecotDialogue()
    try:
        for piece in pieces:
            dialogue.receive_data(piece)
    except DovecotProtocolError:
        pass


@given(st.lists(st.sampled_from([b"OK\t1\tuser=", b"CONT", b"FAIL", b"\t", b"2", b"\n", b"\x01", b"reason=", b"\xff"])))
def test_any_words_are_events_or_a_protocol_error(words: list[bytes]) -> None:
    try:
        greeted().receive_data(b"".join(words))
    except DovecotProtocolError:
        pass


@given(st.integers(1, len(GREETING)))
def test_lines_come_whole_however_they_are_cut(cut: int) -> None:
    data = GREETING + b"CONT\t1\tPDE=\nOK\t1\tuser=joe\n"
    dialogue = DovecotDialogue()
    events = [event for at in range(0, len(data), cut) for event in dialogue.receive_data(data[at : at + cut])]
    assert events == [GREETED, Challenged(1, "PDE="), Granted(1, "joe", {"user": "joe"})]
