import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.intake import (
    END,
    End,
    Event,
    FrameReader,
    IntakeProtocolError,
    NotTaken,
    Submission,
    SubmissionReader,
    Taken,
    decode_reply,
    encode_accepted,
    encode_content,
    encode_refused,
    encode_submission,
)

FULL = Submission(
    "a b@x.example",
    (Recipient("r@x", "R@x", Notify.SUCCESS | Notify.DELAY, "rfc822;R@x"), Recipient("ü@x"), Recipient("")),
    source="forward",
    full_name="Joe = Full",
    local_rewrite=False,
    body="8BITMIME",
    ret="HDRS",
    envid="a+2Bb",
    verp="+=",
    smtputf8=True,
)


def events(data: bytes, size: int) -> list[Event]:
    reader = SubmissionReader()
    out: list[Event] = []
    for at in range(0, len(data), size):
        reader.receive_data(data[at : at + size])
        while (event := reader.next_event()) is not None:
            out.append(event)
    return out


@pytest.mark.parametrize("submission", [FULL, Submission("", (Recipient("x"),))])
@pytest.mark.parametrize("content", [[], [b"A: b\r\n\r\n", b"x" * 5000], [b""]])
def test_what_is_written_is_read_in_any_cut(submission: Submission, content: list[bytes]) -> None:
    data = encode_submission(submission) + b"".join(map(encode_content, content)) + END
    for size in (1, 7, len(data)):
        assert events(data, size) == [submission, *content, End()]


@pytest.mark.parametrize("reply", [Taken("4E2F623E293"), NotTaken(552, "5.3.4", "Error: message file too big")])
def test_replies(reply: Taken | NotTaken) -> None:
    if isinstance(reply, Taken):
        data = encode_accepted(reply.queue_id)
    else:
        data = encode_refused(reply.code, reply.status, reply.text)
    frames = FrameReader()
    frames.receive_data(data)
    frame = frames.next_frame()
    assert frame is not None
    assert decode_reply(*frame) == reply


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"99999999:",
        b"0:,",
        b"3:Eabc",
        b"2:Ra,",
        b"1:.,",
        b"2:Ea,2:Rx,",
        b"2:Ea,2:Zx,",
        b"999999:",
        b"2:Ea,3:Eab,",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntakeProtocolError):
        events(data, 1)


@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_an_error(data: bytes) -> None:
    whole = encode_submission(FULL)
    for raw in (data, whole + data, whole[: len(data)] + data):
        try:
            events(raw, 16)
        except IntakeProtocolError:
            pass
