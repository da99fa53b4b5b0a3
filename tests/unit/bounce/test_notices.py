"""Notices: their form, and who gets which."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.bounce.folding import fold
from posthouse.bounce.notices import BounceNotices
from posthouse.bounce.prose import Kind, prose, span
from posthouse.bounce.settings import BounceSettings
from posthouse.bounce.template import parse_templates
from posthouse.config.error import ConfigError
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Envelope, Notify, Recipient
from posthouse.envelope.outcome import Dsn
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.queue.store import Failure, QueuedMessage, QueueFault, QueueFull, RecipientState, StoredRecipient

DATE = r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4} \(\w+\)"
CONTENT = Content(b"From: ann@v.example\r\nSubject: will bounce\r\n", MemoryBody(b"body of it\r\n"))


class FakeTransaction:
    def __init__(self, intake: "FakeIntake", queue_id: str) -> None:
        self.intake = intake
        self.queue_id = queue_id
        self.data = b""
        self.aborted = False

    async def write(self, chunk: bytes) -> None:
        self.data += chunk

    async def commit(self, envelope: Envelope, received: bytes, handling: Handling) -> Accepted | Refused:
        if self.intake.refusal is not None:
            return self.intake.refusal
        self.intake.taken.append((envelope, received, self.data.decode()))
        return Accepted(self.queue_id)

    def abort(self) -> None:
        self.aborted = True
        self.intake.aborted += 1


class FakeIntake:
    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, bytes, str]] = []
        self.refusal: Refused | None = None
        self.begun = 0
        self.aborted = 0

    def begin(self) -> FakeTransaction:
        self.begun += 1
        return FakeTransaction(self, f"NOTICE{self.begun}")


class House:
    def __init__(self, **changes: object) -> None:
        self.sink = MemorySink()
        self.intake = FakeIntake()
        settings = BounceSettings(myhostname="mail.example.com", myorigin="example.com", **changes)  # type: ignore[arg-type]
        log = ProcessLog(self.sink, "postfix/bounce", 1)
        self.notices = BounceNotices(settings, self.intake, log, clock=lambda: 1795494634.0)

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.intake.taken]

    @property
    def envelopes(self) -> list[tuple[str, str]]:
        return [(e.sender, e.recipients[0].address) for e, _, _ in self.intake.taken]


def message(sender: str = "ann@v.example", **more: object) -> QueuedMessage:
    envelope = Envelope(sender, (), **more)  # type: ignore[arg-type]
    return QueuedMessage("4E2F623E293", 1795494000.5, envelope, (), CONTENT.size)


def recipient(address: str, dsn: Dsn, index: int = 0, **more: object) -> StoredRecipient:
    given = Recipient(address, **{"original": address, **more})  # type: ignore[arg-type]
    return StoredRecipient(index, given, RecipientState.DONE, dsn)


UNKNOWN = Dsn("5.1.1", 'unknown user: "nosuch@v.example"')
REFUSED = Dsn(
    "5.3.4",
    "host 127.0.0.1[127.0.0.1] said: 552-5.3.4 too big 552 5.3.4 really (in reply to end of DATA command)",
    diagnostic_type="smtp",
    diagnostic="552-5.3.4 too big 552 5.3.4 really",
    remote_mta="127.0.0.1",
)
LATER = Dsn("4.4.1", "connect to mx.example[192.0.2.1]:25: Connection refused")

FAILURE = """\
Date: DATE
From: Mail Delivery System <MAILER-DAEMON@example.com>
Subject: Undelivered Mail Returned to Sender
To: ann@v.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4E2F623E293.1795494634/mail.example.com"
Content-Transfer-Encoding: 8bit

This is a MIME-encapsulated message.

--4E2F623E293.1795494634/mail.example.com
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

PROSE
<nosuch@v.example>: unknown user: "nosuch@v.example"

<a@far.example>: host 127.0.0.1[127.0.0.1] said: 552-5.3.4 too big 552 5.3.4
    really (in reply to end of DATA command)

--4E2F623E293.1795494634/mail.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
X-Postfix-Queue-ID: 4E2F623E293
X-Postfix-Sender: rfc822; ann@v.example
Arrival-Date: DATE

Final-Recipient: rfc822; nosuch@v.example
Original-Recipient: rfc822;nosuch@v.example
Action: failed
Status: 5.1.1
Diagnostic-Code: X-Postfix; unknown user: "nosuch@v.example"

Final-Recipient: rfc822; a@far.example
Original-Recipient: rfc822;a@far.example
Action: failed
Status: 5.3.4
Remote-MTA: dns; 127.0.0.1
Diagnostic-Code: smtp; 552-5.3.4 too big 552 5.3.4 really

--4E2F623E293.1795494634/mail.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <ann@v.example>
From: ann@v.example
Subject: will bounce

body of it

--4E2F623E293.1795494634/mail.example.com--
"""


def masked(text: str) -> str:
    text = re.sub(DATE, "DATE", text.replace("\r\n", "\n"))
    return re.sub(r"(Notification\n(?:Content-[^\n]*\n)*\n).*?(?=\n<|\n--)", r"\1PROSE", text, flags=re.DOTALL)


async def test_a_failure_has_postfix_s_form():
    house = House()
    recipients = [recipient("nosuch@v.example", UNKNOWN), recipient("a@far.example", REFUSED, 1)]
    await house.notices.failed(message(), CONTENT, recipients)
    (envelope, received, text) = house.intake.taken[0]
    assert masked(text) == FAILURE
    assert text.count("\n") == text.count("\r\n")
    assert (envelope.sender, envelope.recipients[0].address, envelope.body) == ("", "ann@v.example", "8BITMIME")
    assert received.startswith(b"Received: by mail.example.com (Postfix)\r\n\tid NOTICE1; ")
    assert house.sink.lines == ["postfix/bounce: 4E2F623E293: sender non-delivery notification: NOTICE1"]


async def test_a_success_tells_what_was_asked_with_its_envelope_id():
    house = House()
    dsn = Dsn("2.0.0", "delivery via virtual: delivered to maildir", action="delivered")
    wanted = recipient("joe@v.example", dsn, notify=Notify.SUCCESS, orcpt="rfc822;joe+2Btag@example.org")
    not_asked = recipient("ann@v.example", dsn, 1)
    passed_on = recipient("far@x", Dsn("2.0.0", "250 ok", action="passed-on"), 2, notify=Notify.SUCCESS)
    await house.notices.succeeded(message(envid="QQ+2B123+3D", ret="HDRS"), CONTENT, [wanted, not_asked, passed_on])
    text = masked(house.texts[0])
    assert "Subject: Successful Mail Delivery Report\n" in text
    assert "\nOriginal-Envelope-Id: QQ+123=\nX-Postfix-Queue-ID: 4E2F623E293\n" in text
    assert "Original-Recipient: rfc822;joe+tag@example.org\nAction: delivered\nStatus: 2.0.0\n" in text
    assert "Content-Description: Message Headers\nContent-Type: text/rfc822-headers\n" in text
    assert text.endswith("Subject: will bounce\n\n--4E2F623E293.1795494634/mail.example.com--\n")
    assert "ann@v.example>:" not in text
    assert "far@x" not in text
    assert house.sink.lines == ["postfix/bounce: 4E2F623E293: sender delivery status notification: NOTICE1"]


async def test_each_address_that_failed_is_named_and_an_owner_is_told_of_his_own():
    house = House()
    failures = (
        Failure("x@v.example", UNKNOWN),
        Failure("list@v.example", UNKNOWN, "owner-list@v.example"),
        Failure("y@v.example", UNKNOWN),
    )
    given = replace(recipient("a@v.example", UNKNOWN), failures=failures)
    await house.notices.failed(message(), CONTENT, [given])
    owner, sender = house.texts
    assert [to for _, to in house.envelopes] == ["owner-list@v.example", "ann@v.example"]
    assert "Final-Recipient: rfc822; list@v.example\r\nAction" in owner
    assert "<x@v.example> (expanded from <a@v.example>): unknown user" in sender
    assert "Final-Recipient: rfc822; y@v.example\r\nOriginal-Recipient: rfc822;a@v.example\r\n" in sender
    assert "list@v.example" not in sender


async def test_a_list_that_has_delivered_names_its_origin_in_the_machine_part_only():
    house = House()
    dsn = Dsn("2.0.0", "delivery via local: alias expanded", "delivered")
    await house.notices.succeeded(
        message(), CONTENT, [recipient("l@v.example", dsn, original="l", notify=Notify.SUCCESS)]
    )
    assert "<l@v.example>: delivery via local: alias expanded\r\n" in house.texts[0]
    assert "Original-Recipient: rfc822;l\r\n" in house.texts[0]


async def test_a_delay_says_until_when():
    house = House(notify_classes=("delay",), delay_notice_recipient="pm@x", delay_warning_time=14400)
    await house.notices.delayed(message(), CONTENT, [recipient("b@x", LATER)])
    assert house.envelopes == [("", "ann@v.example"), ("double-bounce@mail.example.com", "pm@x")]
    assert "Subject: Delayed Mail (still being retried)\r\n" in house.texts[0]
    assert "tried for 4 hours to" in house.texts[0]
    assert "Action: delayed\r\nStatus: 4.4.1\r\n" in house.texts[0]
    assert re.search(r"\r\nWill-Retry-Until: " + DATE + "\r\n", house.texts[0])
    assert (
        "Subject: Postmaster Warning: Delayed Mail\r\nTo: pm@x\r\nAuto-Submitted: auto-generated\r\n" in house.texts[1]
    )
    assert house.sink.lines == [
        "postfix/bounce: 4E2F623E293: sender delay notification: NOTICE1",
        "postfix/bounce: 4E2F623E293: postmaster delay notification: NOTICE2",
    ]


async def test_each_recipient_of_a_verp_message_is_told_of_at_an_address_of_its_own():
    two = [recipient("a@x.example", UNKNOWN), recipient("b@y.example", UNKNOWN, 1, original="all@x.example")]
    house = House()
    await house.notices.failed(message(verp="+="), CONTENT, two)
    assert house.envelopes == [("", "ann+a=x.example@v.example"), ("", "ann+all=x.example@v.example")]
    assert ["b@y.example" in text for text in house.texts] == [False, True]
    house = House(disable_verp_bounces=True)
    await house.notices.failed(message(verp="+="), CONTENT, two)
    assert house.envelopes == [("", "ann@v.example")]


async def test_never_a_notice_to_the_null_sender():
    house = House()
    await house.notices.failed(message(""), CONTENT, [recipient("b@x", UNKNOWN)])
    await house.notices.delayed(message(""), CONTENT, [recipient("b@x", LATER)])
    await house.notices.succeeded(message(""), CONTENT, [recipient("b@x", LATER, notify=Notify.SUCCESS)])
    assert not house.intake.taken


async def test_a_second_bounce_goes_to_postmaster_when_the_class_is_wanted():
    house = House(notify_classes=("2bounce",), second_bounce_notice_recipient="pm2@x")
    await house.notices.failed(message(""), CONTENT, [recipient("b@x", UNKNOWN)])
    assert house.envelopes == [("double-bounce@mail.example.com", "pm2@x")]
    text = masked(house.texts[0])
    assert "Subject: Postmaster Copy: Undelivered Mail\n" in text
    assert "X-Postfix-Sender: rfc822; MAILER-DAEMON@mail.example.com\n" in text
    assert "Return-Path: <MAILER-DAEMON@mail.example.com>\n" in text
    assert "Content-Type: message/rfc822\n" in text


async def test_a_third_bounce_is_discarded():
    house = House(notify_classes=("bounce", "2bounce"))
    await house.notices.failed(message("double-bounce@mail.example.com"), CONTENT, [recipient("b@x", UNKNOWN)])
    assert not house.intake.taken
    assert "undeliverable postmaster notification discarded" in house.sink.lines[0]


async def test_postmaster_gets_a_copy_even_of_what_the_sender_did_not_want():
    house = House(notify_classes=("bounce",), bounce_notice_recipient="pmb@x")
    await house.notices.failed(message(), CONTENT, [recipient("b@x", UNKNOWN, notify=Notify.NEVER)])
    assert house.envelopes == [("double-bounce@mail.example.com", "pmb@x")]
    assert "Content-Type: text/rfc822-headers\r\n" in house.texts[0]
    assert "Content-Transfer-Encoding: 8bit\r\n\r\n\r\n<b@x>: unknown" in house.texts[0]


@pytest.mark.parametrize(
    ("limit", "ret", "whole"), [(50000, "", True), (10, "", False), (50000, "HDRS", False), (0, "FULL", True)]
)
async def test_how_much_of_the_message_comes_back(limit, ret, whole):
    house = House(bounce_size_limit=limit)
    await house.notices.failed(message(ret=ret), CONTENT, [recipient("b@x", UNKNOWN)])
    assert ("body of it" in house.texts[0]) is whole
    assert ("Undelivered Message Headers" in house.texts[0]) is not whole


async def test_an_international_message_gets_an_international_notice():
    house = House()
    await house.notices.failed(message("änn@v.example", smtputf8=True), CONTENT, [recipient("dömi@x", UNKNOWN)])
    text = house.texts[0]
    assert "report-type=global-delivery-status;" in text
    assert "Content-Type: message/global-delivery-status\r\n" in text
    assert "Content-Type: message/global\r\n" in text
    assert "Final-Recipient: utf-8; dömi@x\r\n" in text
    assert house.intake.taken[0][0].smtputf8


@pytest.mark.parametrize(
    ("orcpt", "utf8", "said"),
    [
        ("rfc822;a+2Bb@x", False, "rfc822;a+b@x"),
        (r"utf-8;d\x{F6}mi@x", True, "utf-8;dömi@x"),
        (r"utf-8;d\x{F6}mi@x", False, r"utf-8;d\x{F6}mi@x"),
        ("UTF-8;dömi@x", False, r"UTF-8;d\x{F6}mi@x"),
        (r"utf-8;\x{D800}\x{FFFFFF}@x", True, r"utf-8;\x{D800}\x{FFFFFF}@x"),
    ],
)
async def test_an_original_recipient_is_said_as_the_notice_may_say_it(orcpt: str, utf8: bool, said: str):
    house = House()
    failed = recipient("b@x", UNKNOWN, orcpt=orcpt)
    await house.notices.failed(message("ann@v.example", smtputf8=utf8), CONTENT, [failed])
    assert f"Original-Recipient: {said}\r\n" in house.texts[0]


async def test_an_expanded_recipient_names_what_it_came_from():
    house = House()
    await house.notices.failed(message(), CONTENT, [recipient("b@x", UNKNOWN, original="list@x")])
    assert '\r\n<b@x> (expanded from <list@x>): unknown user: "nosuch@v.example"\r\n' in house.texts[0]
    assert "Final-Recipient: rfc822; b@x\r\nOriginal-Recipient: rfc822;list@x\r\n" in house.texts[0]


async def test_a_probe_reports_what_could_be_delivered():
    house = House()
    said = Dsn("2.0.0", "delivery via x: 250 ok", "deliverable")
    recipients = [recipient("a@x", said), recipient("b@x", replace(UNKNOWN, action="undeliverable"), 1)]
    await house.notices.traced(message("bob@x"), CONTENT, recipients)
    assert "Subject: Mail Delivery Status Report\r\n" in house.texts[0]
    assert re.findall(r"Action: (\w+)", house.texts[0]) == ["deliverable", "undeliverable"]


@pytest.mark.parametrize(("code", "error"), [(452, QueueFull), (451, QueueFault), (554, QueueFault)])
async def test_a_notice_that_is_not_queued_is_told_to_the_schedule(code, error):
    house = House()
    house.intake.refusal = Refused(code, "4.3.0", "no room")
    with pytest.raises(error, match="no room"):
        await house.notices.failed(message(), CONTENT, [recipient("b@x", UNKNOWN)])
    assert not house.sink.lines


class BrokenBody:
    size = 10

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise OSError(5, "Input/output error")

    async def read(self) -> bytes:
        raise OSError(5, "Input/output error")


async def test_content_that_cannot_be_read_keeps_the_message():
    house = House()
    with pytest.raises(QueueFault):
        await house.notices.failed(message(), Content(b"", BrokenBody()), [recipient("b@x", UNKNOWN)])
    assert house.intake.aborted == 1


TEMPLATES = """\
# our own words

failure_template = <<EOF
Charset: utf-8
From: Post <post@example.com>
Subject: Back
Postmaster-Subject: Copy

$myhostname could not, after ${delay_warning_time_hours} h.
  Indented.
EOF
"""


def known(name: str) -> bool:
    return name in ("myhostname", "relayhost")


def values(text: str) -> str:
    if "${" in text and "}" not in text:
        raise ConfigError("truncated macro reference")
    return text.replace("$myhostname", "mail.example.com")


WARNINGS: list[str] = []


async def test_templates_replace_the_words():
    templates = parse_templates(TEMPLATES, "bounce.cf", values, lambda name: 14400, known, WARNINGS.append)
    assert WARNINGS == []
    house = House(notify_classes=("bounce",))
    house.notices = BounceNotices(
        BounceSettings(notify_classes=("bounce",)),
        house.intake,
        ProcessLog(house.sink, "postfix/bounce", 1),
        templates=templates,
    )
    await house.notices.failed(message(), CONTENT, [recipient("b@x", UNKNOWN)])
    assert "From: Post <post@example.com>\r\nSubject: Back\r\n" in house.texts[0]
    assert "mail.example.com could not, after 4 h.\r\n  Indented.\r\n\r\n<b@x>: " in house.texts[0]
    assert "Subject: Copy\r\n" in house.texts[1]
    await house.notices.delayed(message(), CONTENT, [recipient("b@x", LATER)])
    assert "Subject: Delayed Mail (still being retried)\r\n" in house.texts[2]


UNDEFINED = "bounce.cf: undefined $name in failure template"


@pytest.mark.parametrize(
    ("text", "diagnostic"),
    [
        ("nonsense line", "bounce.cf, line 2: missing '=' after attribute name: \"nonsense line\""),
        ("\n = x", 'bounce.cf, line 3: missing attribute name: " = x"'),
        ("failure_template = <<\nx", "bounce.cf, line 2: missing end marker after <<"),
        ("failure_template = <<EOF\nSubject: x\n\na\nb $nosuch $$x\nEOF", f"{UNDEFINED}: b $nosuch $$x"),
        ("failure_template = <<EOF\nSubject: x\n\n$myhostname_days\nEOF", f"{UNDEFINED}: $myhostname_days"),
        (
            "delay_template = <<EOF\nSubject: x\n\n${delay_warning_time_eons}\nEOF",
            'bounce.cf: unrecognized suffix "eons" in parameter "delay_warning_time_eons"',
        ),
        (
            "failure_template = <<EOF\nSubject: x\n\n${relayhost\nEOF",
            "bounce.cf: bad $name syntax in failure template: ${relayhost",
        ),
    ],
)
def test_a_wrong_template_is_refused(text, diagnostic):
    with pytest.raises(ConfigError) as refusal:
        parse_templates(text, "bounce.cf", values, lambda name: 0, known, lambda warning: None)
    assert str(refusal.value) == diagnostic


IGNORED = "in failure template -- ignoring this template"


@pytest.mark.parametrize(
    ("lines", "warnings"),
    [
        ("Bcc: x\n\ny\n", [f'bounce.cf: unknown "Bcc" header label {IGNORED}']),
        ("Subject:\n\ny\n", [f'bounce.cf: empty "Subject" header value {IGNORED}']),
        ("From: ö\n\ny\n", [f'bounce.cf: non-ASCII "From" header value {IGNORED}']),
        ("Subject: x\n\n\n", [f"bounce.cf: missing message text {IGNORED}"]),
        ("", [f"bounce.cf: missing message text {IGNORED}"]),
        (
            "\nö\n",
            [
                "bounce.cf: 8-bit message text in failure template",
                "please specify a charset value other than us-ascii",
                "-- ignoring this template for now",
            ],
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_left_out_after_a_warning(lines, warnings):
    said: list[str] = []
    text = f"failure_template = <<EOF\n{lines}EOF\n\ndelay_template = <<X\nSubject: late\n\nLate.\nX\n"
    templates = parse_templates(text, "bounce.cf", values, lambda name: 0, known, said.append)
    assert list(templates) == [Kind.DELAY]
    assert said == warnings


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("foo = <<EOF\nx\nEOF\n", "bounce.cf, line 4: unknown template name: foo -- ignoring this template"),
        ("success_template = <<EOF\nx\n", 'bounce.cf, line 3: missing "EOF" end marker'),
        (
            "success_template = <<EOF\nPostmaster-Subject: x\n\ny\nEOF\n",
            'bounce.cf: inapplicable "Postmaster-Subject" header label in success template -- ignoring this template',
        ),
    ],
)
def test_what_is_odd_in_a_template_file_is_told(text, warning):
    said: list[str] = []
    parse_templates(text, "bounce.cf", values, lambda name: 0, known, said.append)
    assert said == [warning]


@given(st.text(max_size=200))
def test_any_text_is_templates_or_a_clean_error(text):
    for body in (text, f"failure_template = <<E\n{text}\nE"):
        try:
            parse_templates(body, "bounce.cf", lambda t: t, lambda name: 1, lambda name: len(name) > 3, str)
        except ConfigError:
            pass


@pytest.mark.parametrize("kind", list(Kind))
def test_no_line_of_the_prose_looks_like_what_follows_it(kind):
    lines = prose(kind, "host.example", waited=3600, lifetime=432000).split("\n")
    assert not [line for line in lines if line.startswith(("<", "--"))]
    assert max(map(len, lines)) < 79


def test_spans():
    assert [span(s) for s in (0, 90, 3600, 86400, 432000)] == ["0 seconds", "90 seconds", "1 hour", "1 day", "5 days"]


@given(st.text(alphabet=" ab\tcdefg", max_size=400))
def test_folding_loses_nothing_and_indents(text):
    folded = fold(text)
    for line in folded.split("\r\n")[1:]:
        assert line.startswith("    ")
    assert folded.split() == text.split()
    assert all(len(line) <= 79 or len(line.split()) == 1 for line in folded.split("\r\n") if line.strip())


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nothing_in_a_reason_or_address_breaks_out_of_its_field(address, reason, original):
    house = House()
    stored = recipient(f"{address}@x", Dsn("5.0.0", reason), original=original)

    asyncio.run(house.notices.failed(message(f"{original}@y"), CONTENT, [stored]))
    head, _, rest = house.texts[0].partition("\r\n\r\n")
    assert [line.partition(":")[0] for line in head.split("\r\n")] == [
        "Date",
        "From",
        "Subject",
        "To",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        '\tboundary="4E2F623E293.1795494634/mail.example.com"',
        "Content-Transfer-Encoding",
    ]
    assert rest.count("\r\n--4E2F623E293.1795494634/mail.example.com") == 4
