from posthouse.message.date import compact_stamp, format_date, message_id
from posthouse.message.received import received_local

EPOCH = 1795489996.9
DATE = "Tue, 24 Nov 2026 03:13:16 +0000 (UTC)"


def test_dates() -> None:
    assert format_date(EPOCH) == DATE
    assert format_date(EPOCH, -12600, "NST") == "Mon, 23 Nov 2026 23:43:16 -0330 (NST)"
    assert format_date(0, 3600, "") == "Thu,  1 Jan 1970 01:00:00 +0100"


def test_message_ids() -> None:
    assert compact_stamp(EPOCH) == "20261124031316"
    assert message_id(EPOCH, "4E2F623E293", "mail.example.com") == "<20261124031316.4E2F623E293@mail.example.com>"
    assert message_id(EPOCH, "3ZxSz", "mail.example.com", long_queue_ids=True) == "<3ZxSz@mail.example.com>"


def test_received_made_here() -> None:
    expected = b"Received: by m (Postfix, from userid 0)\r\n\tid Q; " + DATE.encode() + b"\r\n"
    assert received_local(hostname="m", mail_name="Postfix", queue_id="Q", date=DATE, uid=0) == expected
    expected = b"Received: by m (Postfix)\r\n\tid Q; " + DATE.encode() + b"\r\n"
    assert received_local(hostname="m", mail_name="Postfix", queue_id="Q", date=DATE) == expected
