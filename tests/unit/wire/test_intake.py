"""What is handed over on this machine: envelopes that could not have come by SMTP are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Notify, Recipient, Trace
from posthouse.wire.intake import END, IntakeProtocolError, Submission, SubmissionReader, encode_submission


def read(data: bytes) -> Submission:
    reader = SubmissionReader()
    reader.receive_data(data)
    event = reader.next_event()
    assert isinstance(event, Submission)
    return event


USUAL = Submission(
    "a b@x.test",
    (Recipient("Ü@y.test", "o@z.test", Notify.DELAY, "rfc822;o@z.test"),),
    full_name="Tony  Ü",
    body="8BITMIME",
    ret="HDRS",
    envid="q+20",
    verp="+=",
    smtputf8=True,
    trace=Trace.VERIFY,
)


def test_what_is_encoded_is_read() -> None:
    assert read(encode_submission(USUAL) + END) == USUAL


@pytest.mark.parametrize(
    "submission",
    [
        Submission("a@x.test>\r\nRSET"),
        Submission("a", full_name="x\r\nX-Forged: yes"),
        Submission("a", body="8BITMIME\r\nRSET"),
        Submission("a", body="FUZZY"),
        Submission("a", ret="FULL\r\nRSET"),
        Submission("a", envid="x\r\nRSET"),
        Submission("a", envid="x RET=FULL"),
        Submission("a", verp="\r\n"),
        Submission("a", (Recipient("b\n@x.test"),)),
        Submission("a", (Recipient("b@x.test", "c\r\nX-Forged: yes"),)),
        Submission("a", (Recipient("b@x.test", "", Notify.NONE, "rfc822;x\r\nRSET"),)),
        Submission("a", (Recipient("b@x.test", "", Notify.NEVER | Notify.DELAY),)),
    ],
    ids=repr,
)
def test_no_value_can_end_a_line_or_begin_a_parameter(submission: Submission) -> None:
    with pytest.raises(IntakeProtocolError):
        read(encode_submission(submission) + END)


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_clean_error(data: bytes) -> None:
    reader = SubmissionReader()
    reader.receive_data(b"8:Esender=," + data)
    try:
        while reader.next_event() is not None:
            pass
    except IntakeProtocolError:
        pass


def test_an_unknown_wish_for_a_report_is_refused() -> None:
    with pytest.raises(IntakeProtocolError):
        read(b"20:Esender=a\0trace=fuzz," + END)
