from posthouse.message.date import compact_stamp, format_date, message_id
from posthouse.message.received import received_from, received_local, with_protocol

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


def test_received_of_a_server() -> None:
    field = received_from(
        helo="cl.example",
        client_name="localhost",
        client_address="127.0.0.1",
        hostname="mail.example.com",
        mail_name="Postfix",
        protocol=with_protocol("ESMTP", tls=True, authenticated=True),
        queue_id="E910620C30C",
        date=DATE,
        recipient="r@example.net",
        comments=["(Authenticated sender: joe)"],
    )
    assert field == (
        b"Received: from cl.example (localhost [127.0.0.1])\r\n"
        b"\t(Authenticated sender: joe)\r\n"
        b"\tby mail.example.com (Postfix) with ESMTPSA id E910620C30C\r\n"
        b"\tfor <r@example.net>; Tue, 24 Nov 2026 03:13:16 +0000 (UTC)\r\n"
    )


def test_received_for_several_recipients_names_none() -> None:
    field = received_from(
        helo="h", client_name="unknown", client_address="IPv6:::1", hostname="m", mail_name="Postfix", protocol="SMTP",
        queue_id="Q", date=DATE,
    )  # fmt: skip
    assert field.endswith(b"\tby m (Postfix) with SMTP id Q;\r\n\tTue, 24 Nov 2026 03:13:16 +0000 (UTC)\r\n")


def test_received_made_here() -> None:
    expected = b"Received: by m (Postfix, from userid 0)\r\n\tid Q; " + DATE.encode() + b"\r\n"
    assert received_local(hostname="m", mail_name="Postfix", queue_id="Q", date=DATE, uid=0) == expected
    expected = b"Received: by m (Postfix)\r\n\tid Q; " + DATE.encode() + b"\r\n"
    assert received_local(hostname="m", mail_name="Postfix", queue_id="Q", date=DATE) == expected


def test_protocol_names() -> None:
    assert with_protocol("SMTP", tls=False, authenticated=False) == "SMTP"
    assert with_protocol("ESMTP", tls=False, authenticated=False, smtputf8=True) == "UTF8SMTP"
    assert with_protocol("LMTP", tls=True, authenticated=False, smtputf8=True) == "UTF8LMTPS"
