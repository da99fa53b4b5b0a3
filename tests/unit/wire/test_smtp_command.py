"""MAIL, RCPT and BDAT as a server reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Notify
from posthouse.wire.smtp.command import (
    BAD_ENVID,
    BAD_NOTIFY,
    BAD_ORCPT,
    BAD_RECIPIENT,
    BAD_RET,
    BAD_SENDER,
    BAD_SIZE,
    BDAT_SYNTAX,
    DSN_DISABLED,
    MAIL_SYNTAX,
    RCPT_SYNTAX,
    BadNotify,
    BadPath,
    BdatCommand,
    MailCommand,
    RcptCommand,
    parse_bdat,
    parse_mail,
    parse_rcpt,
    unsupported,
)
from posthouse.wire.smtp.reply import Reply


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<a@b.example>", MailCommand("<a@b.example>", "a@b.example")),
        ("from: <a@b.example>", MailCommand("<a@b.example>", "a@b.example")),
        ("FROM:a@b.example", MailCommand("a@b.example", "a@b.example")),
        ("FROM:<>", MailCommand("<>", "")),
        ("FROM:<plain>", MailCommand("<plain>", "plain")),
        ("FROM:<@x.example,@y.example:a@b>", MailCommand("<@x.example,@y.example:a@b>", "a@b")),
        ('FROM:<"a b"@b.example> SIZE=3', MailCommand('<"a b"@b.example>', "a b@b.example", 3)),
        ("FROM:<a@b> SIZE=1 SIZE=2", MailCommand("<a@b>", "a@b", 2)),
        ("FROM:<a@b> body=7bit ret=hdrs ENVID=a+2Bb", MailCommand("<a@b>", "a@b", 0, "7BIT", "HDRS", "a+2Bb")),
        ("FROM:<a@b> SMTPUTF8 AUTH=<>", MailCommand("<a@b>", "a@b", smtputf8=True)),
        ("FROM:<a@b.example", BadPath(BAD_SENDER, "<a@b.example")),
        ("FROM:<a@b.example>SIZE=3", BadPath(BAD_SENDER, "<a@b.example>SIZE=3")),
        ("FROM:<a@b..example>", BadPath(BAD_SENDER, "<a@b..example>")),
        ("FROM:", MAIL_SYNTAX),
        ("FROM: ", MAIL_SYNTAX),
        ("FROM :<a@b>", MAIL_SYNTAX),
        ("TO:<a@b>", MAIL_SYNTAX),
        ("", MAIL_SYNTAX),
        ("FROM:<a@b> SIZE=x", BAD_SIZE),
        ("FROM:<a@b> SIZE=\u0663", BAD_SIZE),
        ("FROM:<a@b> SIZE=" + "9" * 21, BAD_SIZE),
        ("FROM:<a@b> RET=x", BAD_RET),
        ("FROM:<a@b> ENVID=a+4x", BAD_ENVID),
        ("FROM:<a@b> ENVID=", BAD_ENVID),
        ("FROM:<a@b> SIZE", unsupported("SIZE")),
        ("FROM:<a@b> BODY=BINARYMIME", unsupported("BODY=BINARYMIME")),
        ("FROM:<a@b> SMTPUTF8=1", unsupported("SMTPUTF8=1")),
        ("FROM:Joe <a@b>", unsupported("<a@b>")),
        ("FROM:a b", unsupported("b")),
    ],
)
def test_mail(argument: str, expected: object) -> None:
    assert expected == parse_mail(argument)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<joe@v.example>", RcptCommand("<joe@v.example>", "joe@v.example")),
        ("TO:<postmaster>", RcptCommand("<postmaster>", "postmaster")),
        (
            "TO:<a@b> NOTIFY=success,FAILURE ORCPT=rfc822;a+40b",
            RcptCommand("<a@b>", "a@b", Notify.SUCCESS | Notify.FAILURE, "rfc822;a+40b"),
        ),
        ("TO:<a@b> NOTIFY=NEVER", RcptCommand("<a@b>", "a@b", Notify.NEVER)),
        ("TO:<a@b> ORCPT=utf-8;é@b", RcptCommand("<a@b>", "a@b", orcpt="utf-8;é@b")),
        ("TO:<>", BadPath(BAD_RECIPIENT, "<>")),
        ("TO:<a b@c>", BadPath(BAD_RECIPIENT, "<a b@c>")),
        ("TO:", RCPT_SYNTAX),
        ("FROM:<x>", RCPT_SYNTAX),
        ("TO:<a@b> NOTIFY=WHAT", BadNotify(BAD_NOTIFY, "WHAT", "WHAT")),
        ("TO:<a@b> NOTIFY=NEVER,DELAY", BAD_NOTIFY),
        ("TO:<a@b> NOTIFY=DELAY NOTIFY=SUCCESS", BAD_NOTIFY),
        ("TO:<a@b> ORCPT=bad", BAD_ORCPT),
        ("TO:<a@b> ORCPT=;x", BAD_ORCPT),
        ("TO:<a@b> ORCPT=rfc822;a+4x", BAD_ORCPT),
        ("TO:<a@b> NOTIFY", unsupported("NOTIFY")),
    ],
)
def test_rcpt(argument: str, expected: object) -> None:
    assert expected == parse_rcpt(argument)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("3", BdatCommand(3, False)),
        ("0 last", BdatCommand(0, True)),
        ("", BDAT_SYNTAX),
        ("abc", BDAT_SYNTAX),
        ("-1", BDAT_SYNTAX),
        ("3 FOO", BDAT_SYNTAX),
        ("3 LAST x", BDAT_SYNTAX),
        ("9" * 19, BDAT_SYNTAX),
        ("\u0663", BDAT_SYNTAX),
    ],
)
def test_bdat(argument: str, expected: object) -> None:
    assert expected == parse_bdat(argument)


def test_strict_envelopes_want_brackets() -> None:
    assert parse_mail("FROM:a@b", strict=True) == BadPath(BAD_SENDER, "a@b")
    assert parse_rcpt("TO: <a@b>", strict=True) == RcptCommand("<a@b>", "a@b")


def test_extensions_that_were_not_offered_are_refused() -> None:
    assert parse_mail("FROM:<a@b> RET=FULL", dsn=False) == DSN_DISABLED == parse_mail("FROM:<a@b> ENVID=x", dsn=False)
    assert parse_mail("FROM:<a@b> SMTPUTF8", smtputf8=False) == unsupported("SMTPUTF8")
    assert parse_rcpt("TO:<a@b> NOTIFY=NEVER", dsn=False) == DSN_DISABLED
    assert parse_rcpt("TO:<a@b> ORCPT=rfc822;a@b", dsn=False) == DSN_DISABLED


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_reply(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert isinstance(parse_mail("FROM:" + text), MailCommand | BadPath | Reply)
    assert isinstance(parse_rcpt("TO:" + text), RcptCommand | BadPath | BadNotify | Reply)
    assert isinstance(parse_bdat(text), BdatCommand | Reply)
