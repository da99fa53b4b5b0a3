import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.intake import Submission
from posthouse.wire.postdrop import BadRecords, parse_records


def record(kind: str, text: str) -> bytes:
    data, length, groups = text.encode(), len(text.encode()), b""
    while True:
        group, length = length & 0x7F, length >> 7
        groups += bytes([group | (0x80 if length else 0)])
        if not length:
            return kind.encode() + groups + data


ENVELOPE = (
    record("A", "rewrite_context=local") + record("F", "Joe") + record("S", "s@example.com")
    + record("A", "dsn_orig_rcpt=rfc822;r@x.y") + record("A", "notify_flags=1") + record("R", "r@x.y")
)  # fmt: skip
MESSAGE = (
    ENVELOPE + record("M", "") + record("N", "Subject: x") + record("N", "") + record("L", "bo")
    + record("N", "dy" * 100)
    + record("X", "") + record("R", "ex@x.y") + record("E", "")
)  # fmt: skip


def test_a_message_in_records() -> None:
    records = parse_records(MESSAGE + b"N\x01x")
    assert records is not None
    assert records.submission() == Submission(
        "s@example.com",
        (Recipient("r@x.y", "", Notify.NEVER, "rfc822;r@x.y"), Recipient("ex@x.y")),
        full_name="Joe",
    )
    assert b"".join(records.content) == b"Subject: x\r\n\r\nbo" + b"dy" * 100 + b"\r\n"


def test_input_that_breaks_off_is_no_message() -> None:
    assert parse_records(MESSAGE[:-2]) is None
    assert parse_records(b"") is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (record("T", "1"), "unexpected record type: 84"),
        (ENVELOPE + record("M", "") + record("E", ""), "unexpected record type: 69"),
        (b"junk", "malformed input"),
        (record("R", "early"), "unexpected record type: 82"),
    ],
)
def test_other_input_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadRecords, match=words):
        parse_records(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_nothing_or_an_error(data: bytes) -> None:
    for raw in (data, MESSAGE[: len(data)] + data):
        try:
            parse_records(raw)
        except BadRecords:
            pass
