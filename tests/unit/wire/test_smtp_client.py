"""The client's half of SMTP and LMTP, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.smtp.client import Step, Transaction
from posthouse.wire.smtp.client_auth import MECHANISMS, choose_mechanism
from posthouse.wire.smtp.client_commands import mail_command, rcpt_command, xtext
from posthouse.wire.smtp.client_offer import Offer, parse_offer
from posthouse.wire.smtp.client_reader import ClientReplyReader
from posthouse.wire.smtp.reply import RemoteProtocolError, Reply

FULL = Offer(extended=True, pipelining=True, eight_bit=True, dsn=True, smtputf8=True, size=1000, mechanisms=("PLAIN",))
OK = Reply(250, "2.0.0", "Ok")
GO = Reply(354, "", "go")
NO = Reply(550, "5.1.1", "no")


def test_with_pipelining_everything_leaves_at_once():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n", b"R2\r\n"], pipelining=True)
    assert dialogue.output() == b"MAIL\r\nR1\r\nR2\r\nDATA\r\n"
    assert dialogue.output() == b""
    steps = []
    for reply in (OK, NO, OK, GO):
        steps.append(dialogue.step)
        dialogue.receive(reply)
    assert steps == [Step.MAIL, Step.RCPT, Step.RCPT, Step.DATA]
    assert dialogue.content_wanted
    assert not dialogue.empty
    assert dialogue.end_content() == b".\r\n"
    assert dialogue.step is Step.DOT
    dialogue.receive(OK)
    assert dialogue.done
    assert dialogue.final_replies == {1: OK}
    assert dialogue.rcpt_replies == [NO, OK]


def test_without_pipelining_one_command_waits_for_the_other():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n"], pipelining=False)
    sent = []
    for reply in (OK, OK, GO):
        sent.append(dialogue.output())
        assert dialogue.output() == b""
        dialogue.receive(reply)
    assert sent == [b"MAIL\r\n", b"R1\r\n", b"DATA\r\n"]


def test_a_refused_sender_ends_it():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n"], pipelining=False)
    dialogue.output()
    dialogue.receive(NO)
    assert dialogue.done
    assert dialogue.output() == b""


def test_data_accepted_for_nobody_is_an_empty_message():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n"], pipelining=True)
    dialogue.output()
    for reply in (OK, NO, GO):
        dialogue.receive(reply)
    assert dialogue.empty
    dialogue.end_content()
    dialogue.receive(NO)
    assert dialogue.done
    assert dialogue.final_replies == {}


def test_lmtp_gives_one_reply_for_each_accepted_recipient():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n", b"R2\r\n", b"R3\r\n"], pipelining=True, lmtp=True)
    dialogue.output()
    for reply in (OK, OK, NO, OK, GO):
        dialogue.receive(reply)
    dialogue.end_content()
    dialogue.receive(OK)
    assert not dialogue.done
    dialogue.receive(NO)
    assert dialogue.done
    assert dialogue.final_replies == {0: OK, 2: NO}


def test_a_probe_ends_in_rset():
    dialogue = Transaction(b"MAIL\r\n", [b"R1\r\n"], pipelining=True, probe=True)
    assert dialogue.output() == b"MAIL\r\nR1\r\nRSET\r\n"


@given(st.lists(st.sampled_from([200, 250, 354, 421, 450, 550]), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_any_replies_end_the_dialogue_or_leave_it_waiting(codes, pipelining, lmtp):
    dialogue = Transaction(b"M\r\n", [b"R\r\n"] * 3, pipelining=pipelining, lmtp=lmtp)
    for code in codes:
        dialogue.output()
        if dialogue.content_wanted:
            dialogue.end_content()
        if dialogue.done:
            break
        dialogue.receive(Reply(code, "", "x"))


def test_commands_with_all_parameters():
    assert (
        mail_command("a b@x", FULL, size=9, body="8BITMIME", ret="HDRS", envid="Q", smtputf8=True, null_auth=True)
        == b'MAIL FROM:<"a b"@x> SIZE=9 BODY=8BITMIME ENVID=Q RET=HDRS SMTPUTF8 AUTH=<>\r\n'
    )
    assert mail_command("", Offer(), size=9, body="7BIT", ret="FULL", envid="Q", smtputf8=True) == b"MAIL FROM:<>\r\n"
    recipient = Recipient("b@x", "B+1@x", Notify.FAILURE | Notify.SUCCESS)
    assert rcpt_command(recipient, FULL) == b"RCPT TO:<b@x> ORCPT=rfc822;B+2B1@x NOTIFY=SUCCESS,FAILURE\r\n"
    assert rcpt_command(recipient, Offer()) == b"RCPT TO:<b@x>\r\n"
    assert rcpt_command(Recipient("b@x", "", Notify.NEVER), FULL) == b"RCPT TO:<b@x> NOTIFY=NEVER\r\n"


@pytest.mark.parametrize(
    ("original", "orcpt", "said"),
    [  # RFC 6533 section 3
        ("b+1@x", "", b"rfc822;b+2B1@x"),
        ("a b@x", "", b'rfc822;"a+20b"@x'),
        ("dömi@x", "", rb"utf-8;d\x{F6}mi@x"),
        ("a+b=c\\d😀@ö.x", "", rb"utf-8;a\x{2B}b\x{3D}c\x{5C}d\x{1F600}@\x{F6}.x"),
        ("\udce4@x", "", b"rfc822;+E4@x"),
        ("b@x", "rfc822;b+2B1@x", b"rfc822;b+2B1@x"),
        ("b@x", "utf-8;dömi@x", rb"utf-8;d\x{F6}mi@x"),
        ("b@x", r"utf-8;d\x{F6}mi@x", rb"utf-8;d\x{F6}mi@x"),
    ],
)
def test_the_original_recipient_of_an_international_address_is_of_type_utf8(
    original: str, orcpt: str, said: bytes
) -> None:
    command = rcpt_command(Recipient("b@x", original, Notify.NONE, orcpt), FULL)
    assert command == b"RCPT TO:<b@x> ORCPT=" + said + b"\r\n"


@given(st.text(), st.text())
def test_no_address_breaks_out_of_its_command(local_part, domain):
    line = rcpt_command(Recipient(f"{local_part}@{domain}"), Offer())
    assert line.count(b"\n") == 1
    assert line.endswith(b">\r\n")


def test_xtext():
    assert xtext("a+b=c d") == "a+2Bb+3Dc+20d"


def test_offers():
    reply = Reply(
        250, "", "h\nPIPELINING\nSIZE 100\nAUTH=LOGIN\nAUTH PLAIN login\n8bitmime\nSTARTTLS\nXFORWARD NAME ADDR\n\nFOO"
    )
    assert parse_offer(reply, frozenset({"starttls"})) == Offer(
        extended=True,
        pipelining=True,
        eight_bit=True,
        size=100,
        mechanisms=("LOGIN", "PLAIN"),
        xforward=frozenset({"NAME", "ADDR"}),
    )
    assert parse_offer(Reply(250, "", "h\nSIZE x")).size == 0


@given(st.text())
def test_any_text_is_an_offer(text):
    parse_offer(Reply(250, "", text))


def test_cram_md5_is_the_rfc_s_example():
    # RFC 2195 section 2
    exchange = MECHANISMS["CRAM-MD5"]("tim", "tanstaaftanstaaf")
    assert next(exchange) is None
    assert exchange.send(b"<1896.697170952@postoffice.reston.mci.net>") == b"tim b913a602c7eda7a495b4e6e7334d3890"


@pytest.mark.parametrize(
    ("offered", "options", "chosen"),
    [
        (("PLAIN", "CRAM-MD5"), (), "CRAM-MD5"),
        (("LOGIN", "PLAIN"), ("noanonymous",), "PLAIN"),
        (("XOAUTH2", "PLAIN"), (), "PLAIN"),
        (("XOAUTH2",), (), "XOAUTH2"),
        (("PLAIN", "LOGIN"), ("noplaintext",), ""),
        (("CRAM-MD5",), ("nodictionary",), ""),
        (("GSSAPI",), (), ""),
    ],
)
def test_the_mechanism_is_the_best_that_is_allowed(offered, options, chosen):
    assert choose_mechanism(offered, options) == chosen


def read_all(chunks: list[bytes]) -> list[Reply]:
    reader = ClientReplyReader()
    replies = []
    for chunk in chunks:
        reader.receive(chunk)
        while (reply := reader.next_reply()) is not None:
            replies.append(reply)
    return replies


REPLIES = b"220 hi\r\nnoise\r\n250-one\r\n250 two\n550\r\n" + b"451 " + b"x" * 5000 + b"\r\n250 after\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096, 10_000])
def test_replies_are_read_however_they_are_cut(size):
    chunks = [REPLIES[n : n + size] for n in range(0, len(REPLIES), size)]
    replies = read_all(chunks)
    assert [r.code for r in replies] == [220, 250, 550, 451, 250]
    assert replies[1].text == "one\ntwo"
    assert replies[3].text.startswith("xxxx")
    assert len(replies[3].text) <= 2048


def read_with(data: bytes) -> tuple[Reply | None, ClientReplyReader]:
    reader = ClientReplyReader()
    reader.receive(data)
    return reader.next_reply(), reader


def test_the_last_line_has_code_and_status_and_each_is_said_as_it_came():
    reply, _ = read_with(b"550-one\r\n551-5.7.2 two\r\n552 5.7.3 three\r\n")
    assert reply is not None
    assert (reply.code, reply.enhanced_status) == (552, "5.7.3")
    assert reply.lines() == ["550-one", "551-5.7.2 two", "552 5.7.3 three"]


def test_a_code_that_no_standard_knows_is_a_reply_all_the_same():
    reply, _ = read_with(b"650 what\r\n")
    assert reply is not None
    assert (reply.code, reply.lines()) == (650, ["650 what"])


def test_what_is_too_long_is_cut_and_told():
    reply, reader = read_with(b"250-a\r\n250-X" + b"x" * 3000 + b"\r\n250 DSN\r\n")
    assert reply is not None
    assert "DSN" not in reply.text
    assert reader.complaints == [
        "response longer than 2048: 250-Xxxxxxxxxxxxxxxxxxxxxxxxxx...",
        "multi-line response longer than 2048 250-a?250-Xxxxxxxxxxxxxxxxxxxx...",
    ]


def test_noise_is_told():
    reply, reader = read_with(b"noise\r\n250 ok\r\n")
    assert reply is not None
    assert (reply.code, reader.skipped) == (250, [(0, "noise")])


def test_endless_noise_is_a_protocol_error():
    with pytest.raises(RemoteProtocolError):
        read_all([b"noise\r\n" * 2000])
    with pytest.raises(RemoteProtocolError):
        read_all([b"n" * 4096] * 2000)
    with pytest.raises(RemoteProtocolError):
        read_all([b"250-more\r\n" * 2000])


@given(st.lists(st.binary(max_size=80)))
def test_any_bytes_are_replies_or_a_protocol_error(chunks):
    try:
        read_all(chunks)
    except RemoteProtocolError:
        pass
