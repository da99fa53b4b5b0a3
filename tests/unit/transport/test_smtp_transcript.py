"""What postmaster gets to see of a connection, and when there is something to tell."""

import pytest

from posthouse.transport.smtp.transcript import Transcript
from posthouse.wire.smtp.reply import Reply


def test_a_login_is_not_shown() -> None:
    transcript = Transcript()
    transcript.sent(b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n")
    transcript.sent(b"MAIL FROM:<a@b>\r\nDATA\r\n")
    assert transcript.said == [("Out", "AUTH PLAIN (not shown)"), ("Out", "MAIL FROM:<a@b>"), ("Out", "DATA")]


def test_lines_that_are_no_reply_stand_where_they_came() -> None:
    transcript = Transcript()
    transcript.heard(Reply(250, "", "a\nb"), [(1, "rub\abish")])
    assert transcript.said == [("In", "250-a"), ("In", "rub?bish"), ("In", "250 b")]
    assert transcript.wrong


@pytest.mark.parametrize(
    ("code", "wrong"),
    [(250, True), (354, True), (421, False), (450, False), (500, True), (503, True), (550, False), (555, True)],
)
def test_some_refusals_say_that_the_protocol_was_not_kept(code: int, wrong: bool) -> None:
    transcript = Transcript()
    transcript.judge(code)
    assert transcript.wrong is wrong
