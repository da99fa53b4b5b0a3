"""What looks a message through before it is taken apart never changes the answer."""

import asyncio
from typing import ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.access.imap.judging import Message, lacks, readable
from posthouse.access.imap.searching import _decode, find_uids
from posthouse.access.imap.selection import Selection
from posthouse.access.imap.session import ImapSession
from posthouse.mailbox.store import Mailbox, MessageSummary
from posthouse.message.mime import scan
from posthouse.wire.imap.search import And, HasFlag, Key, Not, Numbers, Or
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


def message_of(header: bytes) -> Message:
    return Message(cast(MessageSummary, None), header=header)


@given(st.lists(pieces, max_size=6).map("".join), texts)
def test_a_field_that_fits_is_never_passed_over(value: str, text: str) -> None:
    message = message_of(f"Subject: {value}\r\nX-Other: {value}\r\n".encode())
    if text.casefold() in message.fields.get("subject", ""):
        assert not lacks(message.readable_header, text.casefold())
    if text.casefold() in message.header_text:
        assert not lacks(message.readable_header, text.casefold())


encodings = st.sampled_from(["", "7bit", "quoted-printable", "base64", "Base64"])
charsets = st.sampled_from(["", "; charset=utf-8", "; charset=UTF-7", "; charset=iso-8859-1"])


@given(st.lists(pieces, max_size=6).map("".join), encodings, charsets, texts)
def test_a_body_that_fits_is_never_passed_over(value: str, encoding: str, charset: str, text: str) -> None:
    head = f"Content-Type: text/plain{charset}\r\n" + (f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else "")
    raw = f"{head}\r\n{value}\r\n".encode()
    part = scan(raw)
    body = _decode(part, raw[part.body_start : part.body_end]).casefold()
    if text.casefold() in body:
        assert not lacks(readable(raw), text.casefold())


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"Subject: Hay", b"subject: hay"),
        (b"Subject: =?utf-8?q?x?=", None),
        ("Subject: ö".encode(), None),
        (b"Content-Transfer-Encoding: BASE64", None),
        (b"", b""),
    ],
)
def test_only_what_stands_for_itself_is_read_as_it_is(octets: bytes, shown: bytes | None) -> None:
    assert readable(octets) == shown


def test_an_empty_textlacks_nowhere() -> None:
    assert not lacks(b"", "")
    assert lacks(b"", "x")


class FlaggedBox:
    """A mailbox of four messages of which one is seen and one is deleted as well."""

    flags: ClassVar[dict[int, set[str]]] = {2: {"\\seen"}, 3: set(), 5: set(), 8: {"\\seen", "\\deleted"}, 9: set()}

    async def uids(self, present: frozenset[str], absent: frozenset[str]) -> list[int]:
        return [uid for uid, flags in self.flags.items() if present <= flags and not absent & flags and uid != 5]


class Session:
    """What find_uids() asks of one: four messages, one of which is gone meanwhile; a fifth came that was not told."""

    def __init__(self) -> None:
        self.selected = Selection(cast(Mailbox, FlaggedBox()), [2, 3, 5, 8], 1)
        self.selected.gone = {5}
        self.service = self

    @staticmethod
    def clock() -> float:
        return 0.0


def numbers(text: bytes, *, uid: bool) -> Numbers:
    return Numbers(parse_sequence_set(text), uid)


SEEN, DELETED = HasFlag("\\seen"), HasFlag("\\deleted")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (And(()), [2, 3, 8]),
        (numbers(b"3:*", uid=True), [3, 8]),
        (And((numbers(b"1:3", uid=False), numbers(b"3:9", uid=True))), [3]),
        (numbers(b"9", uid=False), []),
        (SEEN, [2, 8]),
        (Not(SEEN), [3]),
        (And((SEEN, Not(DELETED))), [2]),
        (And((SEEN, Not(SEEN))), []),
        (And((numbers(b"2:*", uid=False), SEEN)), [8]),
        (Not(numbers(b"1", uid=False)), None),
        (HasFlag("$label"), None),
        (HasFlag("\\recent"), None),
        (Or(SEEN, DELETED), None),
    ],
)
def test_numbers_and_system_flags_need_no_rows(key: Key, found: list[int] | None) -> None:
    assert asyncio.run(find_uids(cast(ImapSession, Session()), key)) == found
