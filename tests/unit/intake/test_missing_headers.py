"""The From that a message gets which came without one."""

import pytest

from posthouse.intake.missing_headers import missing_headers


def author(sender: str, full_name: str, form: str = "standard") -> str:
    lines, _ = missing_headers(
        {b"message-id", b"date", b"to"},
        resent=False,
        queue_id="ABC",
        arrival_time=0.0,
        date="now",
        sender=sender,
        full_name=full_name,
        hostname="mail.test",
        long_queue_ids=False,
        from_format=form,
        undisclosed="",
    )
    (line,) = lines
    return line.removeprefix("From: ")


@pytest.mark.parametrize(
    ("full_name", "expected"),
    [
        ("", "a@b.test"),
        ("Full Name", "Full Name <a@b.test>"),
        ("  two \n lines ", "two lines <a@b.test>"),
        ("back\\slash", '"back\\\\slash" <a@b.test>'),
        ('Q "uo" te', '"Q \\"uo\\" te" <a@b.test>'),
        ("Dr. X", '"Dr. X" <a@b.test>'),
    ],
)
def test_a_full_name_is_one_line_and_quoted_where_it_must_be(full_name: str, expected: str) -> None:
    assert author("a@b.test", full_name) == expected


def test_nobody_has_no_full_name() -> None:
    assert author("", "Full Name") == "MAILER-DAEMON"
