"""What looks a message through before it is taken apart never changes the answer."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.access.imap.searching import _decode, _lacks, _Message, _readable, among_numbers
from posthouse.access.imap.selection import Selection
from posthouse.access.imap.session import ImapSession
from posthouse.mailbox.store import Mailbox, MessageSummary
from posthouse.message.mime import scan
from posthouse.wire.imap.search import And, HasFlag, Not, Numbers
from posthouse.wire.imap.sequence import parse_sequence_set

pieces = st.sampled_from(
    [
        "hay",
        "Needle",
        "nee",
        "dle",
        " ",
        "\r\n ",
        "\r\n\t",
        "=?utf-8?q?needle?=",
        "=?utf-8?b?bmVlZGxl?=",
        "ö",
        "+AG4-",
        "=6E",
    ]
)
texts = st.lists(st.sampled_from(["needle", "hay", "nee", " ", "dle", "ö"]), min_size=1, max_size=3).map("".join)


def message_of(header: bytes) -> _Message:
    return _Message(cast(MessageSummary, None), header=header)


@given(st.lists(pieces, max_size=6).map("".join), texts)
def test_a_field_that_fits_is_never_passed_over(value: str, text: str) -> None:
    message = message_of(f"Subject: {value}\r\nX-Other: {value}\r\n".encode())
    if text.casefold() in message.fields.get("subject", ""):
        assert not _lacks(message.readable_header, text.casefold())
    if text.casefold() in message.header_text:
        assert not _lacks(message.readable_header, text.casefold())


encodings = st.sampled_from(["", "7bit", "quoted-printable", "base64", "Base64"])
charsets = st.sampled_from(["", "; charset=utf-8", "; charset=UTF-7", "; charset=iso-8859-1"])


@given(st.lists(pieces, max_size=6).map("".join), encodings, charsets, texts)
def test_a_body_that_fits_is_never_passed_over(value: str, encoding: str, charset: str, text: str) -> None:
    head = f"Content-Type: text/plain{charset}\r\n" + (f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else "")
    raw = f"{head}\r\n{value}\r\n".encode()
    part = scan(raw)
    body = _decode(part, raw[part.body_start : part.body_end]).casefold()
    if text.casefold() in body:
        assert not _lacks(_readable(raw), text.casefold())


@pytest.mark.parametrize(
    ("octets", "readable"),
    [
        (b"Subject: Hay", b"subject: hay"),
        (b"Subject: =?utf-8?q?x?=", None),
        ("Subject: ö".encode(), None),
        (b"Content-Transfer-Encoding: BASE64", None),
        (b"", b""),
    ],
)
def test_only_what_stands_for_itself_is_read_as_it_is(octets: bytes, readable: bytes | None) -> None:
    assert _readable(octets) == readable


def test_an_empty_text_lacks_nowhere() -> None:
    assert not _lacks(b"", "")
    assert _lacks(b"", "x")


class Session:
    """What among_numbers() asks of one."""

    def __init__(self) -> None:
        self.selected = Selection(cast(Mailbox, None), [2, 3, 5, 8], 1)
        self.selected.gone = {5}
        self.service = self

    @staticmethod
    def clock() -> float:
        return 0.0


def test_a_program_of_numbers_alone_needs_no_row_and_leaves_out_what_is_gone() -> None:
    session = cast(ImapSession, Session())

    def numbers(text: bytes, *, uid: bool) -> Numbers:
        return Numbers(parse_sequence_set(text), uid)

    assert among_numbers(session, And(())) == [2, 3, 8]
    assert among_numbers(session, numbers(b"3:*", uid=True)) == [3, 8]
    assert among_numbers(session, And((numbers(b"1:3", uid=False), numbers(b"3:9", uid=True)))) == [3]
    assert among_numbers(session, numbers(b"9", uid=False)) == []
    assert among_numbers(session, And((numbers(b"1:3", uid=False), HasFlag("\\seen")))) is None
    assert among_numbers(session, Not(numbers(b"1", uid=False))) is None
