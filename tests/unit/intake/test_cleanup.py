import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.envelope.content import MemoryBody
from posthouse.envelope.envelope import Client, Envelope, Notify, Recipient
from posthouse.intake.transaction import Accepted, Handling, Refused
from posthouse.queue.store import QueueFault, QueueFull, State

REMOTE = Client("localhost", "127.0.0.1", helo="cl.example", protocol="ESMTP")
DATE = "Date: Tue, 24 Nov 2026 03:13:16 +0000 (UTC)\r\n"
COMPLETE = b"Message-Id: <m@x>\r\nDate: d\r\nFrom: s@example.org\r\n"


def envelope(*recipients: str, sender: str = "s@example.org", local: bool = True) -> Envelope:
    found = tuple(Recipient(address) for address in recipients or ("r@example.net",))
    return Envelope(sender, found, REMOTE, local_rewrite=local)


async def send(
    house: Any, content: bytes, given: Envelope | None = None, received: bytes = b"", **handling: Any
) -> Accepted | Refused:
    transaction = house.intake.begin()
    await transaction.write(content)
    result: Accepted | Refused = await transaction.commit(given or envelope(), received, Handling(**handling))
    return result


def queued(house: Any) -> tuple[str, str]:
    content = house.store.messages[-1].content
    assert isinstance(content.body, MemoryBody)
    return content.header.decode(), content.body.data.decode()


def recipients(house: Any) -> list[tuple[str, str]]:
    stored = house.store.messages[-1].message.recipients
    return [(one.recipient.address, one.recipient.original) for one in stored]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def test_bare_names_are_completed_and_missing_fields_added(open_house: Callable[..., Any]) -> None:
    house = open_house()
    content = b"From: joe\r\nTo: local1, Bob <bob>\r\nCc: x@sub\r\nBcc: hidden\r\nSubject: t\r\n\r\nhello\r\n"
    result = await send(house, content, envelope("local1", sender="joe"), b"Received: by m\r\n\tid Q; d\r\n")
    assert result == Accepted("0000000001")
    header, body = queued(house)
    assert (
        header
        == (
            "Received: by m\r\n\tid Q; d\r\nFrom: joe@example.com\r\nTo: local1@example.com, Bob <bob@example.com>\r\n"
            "Cc: x@sub.example.com\r\nSubject: t\r\n"
            "Message-Id: <20261124031316.0000000001@mail.example.com>\r\n"
        )
        + DATE
    )
    assert body == "hello\r\n"
    assert recipients(house) == [("local1@example.com", "local1")]
    assert house.store.messages[-1].message.envelope.sender == "joe@example.com"
    assert house.sink.lines == ["postfix/cleanup: 0000000001: message-id=<20261124031316.0000000001@mail.example.com>"]
    assert house.told == ["0000000001"]
    assert house.store.messages[-1].message.hops == 1


@pytest.mark.parametrize("sender", ["MAILER-DAEMON", "mailer-daemon@example.com"])
async def test_our_mailer_daemon_is_the_null_path(open_house: Callable[..., Any], sender: str) -> None:
    house = open_house()
    await send(house, b"Subject: t\r\n\r\nhello\r\n", envelope("local1", sender=sender))
    assert house.store.messages[-1].message.envelope.sender == ""


async def test_remote_headers_stay_as_they_are(open_house: Callable[..., Any]) -> None:
    house = open_house()
    await send(house, b"From: joe\r\nTo :  bob\r\n\r\n", envelope(local=False))
    assert queued(house) == ("From: joe\r\nTo:  bob\r\n", "")
    assert house.sink.lines == ["postfix/cleanup: 0000000001: message-id=<>"]


async def test_resent_messages_get_resent_fields(open_house: Callable[..., Any]) -> None:
    house = open_house()
    await send(house, b"To: t@b.example\r\nResent-To: r@s.example\r\nResent-Bcc: x@s.example\r\n\r\n")
    header, _ = queued(house)
    assert header.split("\r\n")[2:5] == [
        "Resent-Message-Id: <20261124031316.0000000001@mail.example.com>",
        "Resent-" + DATE.strip(),
        "Resent-From: s@example.org",
    ]


CONTENTS = [
    (b"", "", ""),
    (b"\r\n", "", ""),
    (b"no header", "", "no header\r\n"),
    (b"\nno headers\n", "", "no headers\r\n"),
    (b"A: b\r\nbad\r\nC: d\r\n\r\nx", "A: b\r\n", "bad\r\nC: d\r\n\r\nx\r\n"),
    (b"From joe\r\nA: b\r\n\r\nbody", "X-Mailbox-Line: From joe\r\nA: b\r\n", "body\r\n"),
    (b"A: b", "A: b\r\n", ""),
    (b"A: b\n\nx\r", "A: b\r\n", "x \r\n"),
    (b" x\r\n\r\ny", "", " x\r\n\r\ny\r\n"),
]


@pytest.mark.parametrize(("content", "header", "body"), CONTENTS)
async def test_header_and_body_part_where_postfix_parts_them(
    open_house: Callable[..., Any], content: bytes, header: str, body: str
) -> None:
    for size in (1, 2, 3, 1000):
        house = open_house()
        transaction = house.intake.begin()
        for at in range(0, len(content), size):
            await transaction.write(content[at : at + size])
        await transaction.commit(envelope(local=False), b"", Handling())
        assert queued(house) == (header, body)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"A: b", b"From ", b" c", b"Received: x", b"\0\xff"])))
def test_any_content_is_taken_and_comes_out_canonical(pieces: list[bytes]) -> None:
    house = FACTORY[0]()
    asyncio.run(send(house, b"".join(pieces)))
    header, body = house.store.messages[-1].content.header, house.store.messages[-1].content.body.data
    for part in (header, body):
        assert part.count(b"\r") == part.count(b"\n") == part.count(b"\r\n")
        assert not part or part.endswith(b"\r\n")


@pytest.fixture(autouse=True)
def keep_factory(open_house: Callable[..., Any]) -> None:
    FACTORY[:] = [open_house]


FACTORY: list[Callable[..., Any]] = []
"""A Hypothesis test cannot ask for a fixture that is made anew for each test."""

ORIGIN = "from localhost[127.0.0.1]; from=<s@example.org> to=<r@example.net> proto=ESMTP helo=<cl.example>"

# (rule, header line) -> log line, header out. Words as Postfix 3.7.11's cleanup logs them.
ACTIONS = [
    ("STRIP why", f"strip: header X-T: 1 {ORIGIN}: why", ""),
    ("IGNORE why", "", ""),
    ("PREPEND X-New: a b", f"prepend: header X-T: 1 {ORIGIN}: X-New: a b", "X-New: a b\r\nX-T: 1\r\n"),
    ("REPLACE X-Was: c", f"replace: header X-T: 1 {ORIGIN}: X-Was: c", "X-Was: c\r\n"),
    ("WARN careful", f"warning: header X-T: 1 {ORIGIN}: careful", "X-T: 1\r\n"),
    ("INFO note", f"info: header X-T: 1 {ORIGIN}: note", "X-T: 1\r\n"),
    ("PASS ok", f"pass: header X-T: 1 {ORIGIN}: ok", "X-T: 1\r\n"),
    ("HOLD", f"hold: header X-T: 1 {ORIGIN}", "X-T: 1\r\n"),
    ("DUNNO x", "", "X-T: 1\r\n"),
    ("FILTER smtp:[h]:9", f"filter: header X-T: 1 {ORIGIN}: smtp:[h]:9", "X-T: 1\r\n"),
    ("BCC b@example.com", f"bcc: header X-T: 1 {ORIGIN}: b@example.com", "X-T: 1\r\n"),
    ("REDIRECT who@example.com", f"redirect: header X-T: 1 {ORIGIN}: who@example.com", "X-T: 1\r\n"),
]


@pytest.mark.parametrize(("rule", "line", "header"), ACTIONS)
async def test_header_checks(open_house: Callable[..., Any], rule: str, line: str, header: str) -> None:
    house = open_house(header_checks=f"static:{{{rule}}}")
    await send(house, b"X-T: 1\r\n\r\nbody\r\n", envelope(local=False))
    logged = [text for text in house.sink.lines if "message-id" not in text]
    assert logged == ([f"postfix/cleanup: 0000000001: {line}"] if line else [])
    assert queued(house)[0] == header
    message = house.store.messages[-1].message
    assert (message.state is State.HOLD) == (rule == "HOLD")
    assert message.content_filter == ("smtp:[h]:9" if rule.startswith("FILTER") else "")
    addresses = [address for address, _ in recipients(house)]
    if rule.startswith("REDIRECT"):
        assert addresses == ["who@example.com"]
    if rule.startswith("BCC"):
        assert addresses == ["r@example.net", "b@example.com"]


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("REJECT", (550, "5.7.1", "message content rejected")),
        ("REJECT some text", (550, "5.7.1", "some text")),
        ("REJECT 4.7.9 later", (451, "4.7.9", "later")),
    ],
)
async def test_rejected_content_is_refused(
    open_house: Callable[..., Any], rule: str, refused: tuple[int, str, str]
) -> None:
    house = open_house(header_checks=f"static:{{{rule}}}")
    result = await send(house, b"X-T: 1\r\nB: 2\r\n\r\nbody\r\n")
    assert isinstance(result, Refused)
    assert (result.code, result.status, result.text) == refused
    assert house.sink.lines == [
        f"postfix/cleanup: 0000000001: reject: header X-T: 1 {ORIGIN}: {refused[1]} {refused[2]}"
    ]
    assert house.store.messages == []


async def test_discarded_mail_is_accepted_and_gone(open_house: Callable[..., Any]) -> None:
    house = open_house(body_checks="static:{DISCARD why}")
    assert await send(house, b"A: b\r\n\r\nx\r\n") == Accepted("0000000001")
    assert (house.store.messages, house.store.aborted) == ([], 1)


async def test_parts_of_a_message_are_checked_by_their_place(open_house: Callable[..., Any], tmp_path: Any) -> None:
    rules = tmp_path / "rules"
    rules.write_text("/^X-Strip:/ STRIP\n/^X-Rep:/ REPLACE X-Was: c\n/^X-Pre/ PREPEND X-New: a b\n")
    house = open_house(header_checks=f"regexp:{rules}", body_checks=f"regexp:{rules}")
    content = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npre\r\n--b\r\nX-Strip: 1\r\n y\r\nX-Keep: 1\r\n'
        b"Content-Type: message/rfc822\r\n\r\nX-Rep: 1\r\nSubject: a\r\n\r\ntext\r\n--b--\r\nX-Pre: t\r\n"
    )
    await send(house, content, envelope(local=False))
    assert queued(house)[1] == (
        "pre\r\n--b\r\nX-Keep: 1\r\nContent-Type: message/rfc822\r\n\r\nX-Was: c\r\nSubject: a\r\n\r\ntext\r\n"
        "--b--\r\nX-New: a b\r\nX-Pre: t\r\n"
    )
    assert [line.split(" ")[2:4] for line in house.sink.lines if " from " in line] == [
        ["strip:", "header"],
        ["replace:", "header"],
        ["prepend:", "body"],
    ]


async def test_mime_fields_have_checks_of_their_own(open_house: Callable[..., Any]) -> None:
    house = open_house(
        header_checks="static:{WARN head}",
        mime_header_checks="static:{WARN mime}",
        nested_header_checks="static:{WARN in}",
    )
    content = (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: 4\r\n\r\n--b\r\nX-Part: 1\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n"
        b"X-Deep: 1\r\n\r\nt\r\n--c--\r\n--b--\r\n"
    )
    await send(house, content, envelope(local=False))
    logged = [line for line in house.sink.lines if "warning: header" in line]
    expected = ["head", "mime", "head", "mime", "mime", "in", "mime", "mime"]
    assert [line.rpartition(": ")[2] for line in logged] == expected


async def test_characters_that_content_may_not_hold(open_house: Callable[..., Any]) -> None:
    house = open_house(message_strip_characters="\\3\\t", message_reject_characters="\\1x\\\\]")
    await send(house, b"Subject: a\3b\t\r\n\r\nbo\3\tdy\r\n", envelope(local=False))
    assert queued(house) == ("Subject: ab\r\n", "body\r\n")
    for bad in (b"\1", b"x", b"\\", b"]"):
        house.sink.lines.clear()
        result = await send(house, b"Subject: a\r\n\r\nbo" + bad + b"dy\r\n")
        assert isinstance(result, Refused)
        assert (result.code, result.status, result.text) == (550, "5.7.1", "disallowed character")
        shown = "bo" + bad.decode().replace("\1", "?") + "dy"
        assert house.sink.lines[0].endswith(f": reject: content {shown} {ORIGIN}: 5.7.1 disallowed character")


async def test_limits(open_house: Callable[..., Any]) -> None:
    house = open_house(message_size_limit="1000", header_size_limit="60", hopcount_limit="3")
    result = await send(house, b"A: b\r\n\r\n" + b"x" * 1001)
    assert isinstance(result, Refused)
    assert (result.code, result.status, result.text) == (552, "5.3.4", "Error: message file too big")
    result = await send(house, b"Received: x\r\n" * 3 + b"\r\n")
    assert isinstance(result, Refused)
    assert (result.code, result.status, result.text) == (554, "5.4.0", "Error: too many hops")
    await send(house, b"Long: " + b"y" * 100 + b"\r\n" + COMPLETE + b"\r\n")
    assert queued(house)[0].split("\r\n")[0] == "Long: " + "y" * 54


@pytest.mark.parametrize(
    ("trouble", "code", "status"), [(QueueFull("full"), 452, "4.3.1"), (QueueFault("full"), 451, "4.3.0")]
)
async def test_a_queue_that_fails_is_told(
    open_house: Callable[..., Any], trouble: Exception, code: int, status: str
) -> None:
    house = open_house()
    house.store.fail_commit = trouble
    result = await send(house, b"A: b\r\n\r\n")
    assert isinstance(result, Refused)
    assert (result.code, result.status) == (code, status)
    assert house.told == []
    assert house.sink.lines[-1] == "postfix/cleanup: warning: 0000000001: write queue file: full"


async def test_a_table_that_cannot_be_asked_defers(open_house: Callable[..., Any]) -> None:
    house = open_house(virtual_alias_maps="hash:/nonexistent/virtual")
    result = await send(house, b"A: b\r\n\r\n")
    assert isinstance(result, Refused)
    assert (result.code, result.status) == (451, "4.3.0")


ALIASES = (
    "inline:{ {a1@example.com=a2@example.com joe@v.example.com}, {a2@example.com=joe@v.example.com, ann@v.example.com},"
    " self@example.com=self@example.com, @ca.example=joe@v.example.com, loop1@example.com=loop2@example.com,"
    " loop2@example.com=loop1@example.com }"
)


async def test_aliases_expand_recursively_and_originals_stay_apart(open_house: Callable[..., Any]) -> None:
    house = open_house(virtual_alias_maps=ALIASES)
    await send(house, COMPLETE, envelope("a1@example.com", "joe@v.example.com", "self@example.com"))
    assert recipients(house) == [
        ("joe@v.example.com", "a1@example.com"),
        ("ann@v.example.com", "a1@example.com"),
        ("joe@v.example.com", "joe@v.example.com"),
        ("self@example.com", "self@example.com"),
    ]
    assert [entry.step for entry in house.journal.entries] == ["expanded", "queued"]


async def test_what_local_forwards_keeps_the_address_that_it_was_sent_to_for_reports(
    open_house: Callable[..., Any],
) -> None:
    house = open_house(canonical_maps="inline:{ old@example.org=new@example.org }")
    here = Client("localhost", "127.0.0.1")
    given = [Recipient(address, "list@example.com") for address in ("far@example.org", "old@example.org")]
    await send(house, COMPLETE + b"\r\nx\r\n", Envelope("s@example.org", tuple(given), here))
    stored = [one.recipient for one in house.store.messages[-1].message.recipients]
    assert [(one.address, one.original, one.orcpt) for one in stored] == [
        ("far@example.org", "list@example.com", ""),
        ("new@example.org", "list@example.com", "rfc822;new@example.org"),
    ]


async def test_without_original_recipients_each_address_comes_once(open_house: Callable[..., Any]) -> None:
    house = open_house(virtual_alias_maps=ALIASES, enable_original_recipient="no")
    await send(house, COMPLETE, envelope("a1@example.com", "joe@v.example.com"))
    assert recipients(house) == [("joe@v.example.com", ""), ("ann@v.example.com", "")]


async def test_alias_loops_defer(open_house: Callable[..., Any]) -> None:
    house = open_house(virtual_alias_maps=ALIASES)
    result = await send(house, COMPLETE, envelope("loop1@example.com"))
    assert isinstance(result, Refused)
    assert (result.code, result.status, result.text) == (451, "4.6.0", "Alias expansion error")
    assert house.sink.lines[-1].endswith(
        "unreasonable virtual_alias_maps map nesting for loop1@example.com -- message not accepted, try again later"
    )


async def test_success_of_an_alias_with_several_members_is_not_passed_on(open_house: Callable[..., Any]) -> None:
    house = open_house(virtual_alias_maps=ALIASES)
    given = Envelope("s@example.org", (Recipient("a1@example.com", "", Notify.SUCCESS),), REMOTE)
    await send(house, COMPLETE, given)
    assert {stored.recipient.notify for stored in house.store.messages[-1].message.recipients} == {Notify.NEVER}
    ((_, told),) = house.expanded
    assert [(r.recipient.address, r.dsn.action) for r in told] == [("a1@example.com", "expanded")]


async def test_copies(open_house: Callable[..., Any]) -> None:
    settings = {
        "always_bcc": "all@example.com",
        "sender_bcc_maps": "inline:{s@example.org=sb@example.com}",
        "recipient_bcc_maps": "inline:{r@example.net=rb@example.com}",
    }
    house = open_house(**settings)
    await send(house, COMPLETE)
    expected = ["r@example.net", "rb@example.com", "sb@example.com", "all@example.com"]
    assert [address for address, _ in recipients(house)] == expected
    stored = house.store.messages[-1].message.recipients
    assert [one.recipient.notify for one in stored] == [Notify.NONE, *[Notify.NEVER] * 3]  # nobody asked for copies
    house = open_house(internal="bounce", **settings)
    await send(house, COMPLETE)
    assert [address for address, _ in recipients(house)] == ["r@example.net"]
    house = open_house(receive_override_options="no_address_mappings", **settings)
    await send(house, COMPLETE)
    assert [address for address, _ in recipients(house)] == ["r@example.net"]


async def test_canonical_maps_follow_chains_and_keep_extensions(open_house: Callable[..., Any]) -> None:
    house = open_house(
        canonical_maps="inline:{ca@example.com=cb@example.com, cb@example.com=cc@example.com, cx=cy, "
        "@cd.example=@ce.example}"
    )
    given = envelope("ca+foo@example.com", "cx@example.com", "cx", "r@cd.example", sender="ca@example.com")
    await send(house, b"From: ca@example.com\r\nTo: cx+ext@example.com, foo@cd.example, CA@example.com\r\n\r\n", given)
    assert recipients(house) == [
        ("cc+foo@example.com", "ca+foo@example.com"),
        ("cy@example.com", "cx@example.com"),
        ("cy@example.com", "cx"),
        ("r@ce.example", "r@cd.example"),
    ]
    assert queued(house)[0].startswith(
        "From: cc@example.com\r\nTo: cy+ext@example.com, foo@ce.example, cc@example.com\r\n"
    )


async def test_a_delimiter_at_the_end_is_kept(open_house: Callable[..., Any]) -> None:
    house = open_house(canonical_maps="inline:{ca@example.com=cb@example.com}")
    await send(house, COMPLETE, envelope("ca+@example.com"))
    assert recipients(house) == [("cb+@example.com", "ca+@example.com")]


async def test_canonical_maps_that_go_round_are_left_after_ten_steps(open_house: Callable[..., Any]) -> None:
    house = open_house(canonical_maps="inline:{a@x.test=b@x.test, b@x.test=c@x.test, c@x.test=a@x.test}")
    assert isinstance(await send(house, COMPLETE, envelope("a@x.test")), Accepted)
    assert recipients(house) == [("b@x.test", "a@x.test")]
    text = "unreasonable canonical_maps map nesting for b@x.test -- message not accepted, try again later"
    assert any(text in line for line in house.sink.lines)


async def test_source_routes_leave_header_fields(open_house: Callable[..., Any]) -> None:
    house = open_house()
    await send(house, b"To: Joe <@one.test,@two.test:joe@x.test>\r\n\r\n")
    assert queued(house)[0].startswith("To: Joe <joe@x.test>\r\n")


async def test_policy_decisions_arrive_in_the_queue(open_house: Callable[..., Any]) -> None:
    house = open_house(content_filter="smtp-amavis:[127.0.0.1]:10024")
    await send(house, COMPLETE, hold="why", prepend=(b"X-First: 1",), bcc=("b@example.com",))
    message = house.store.messages[-1].message
    assert message.state is State.HOLD
    assert message.content_filter == "smtp-amavis:[127.0.0.1]:10024"
    assert queued(house)[0].startswith("X-First: 1\r\n")
    assert [address for address, _ in recipients(house)] == ["r@example.net", "b@example.com"]
    assert await send(house, COMPLETE, discard="why") == Accepted("0000000002")
    assert len(house.store.messages) == 1


async def test_room(open_house: Callable[..., Any]) -> None:
    house = open_house(message_size_limit="1000")
    assert await house.intake.room(1000) is None
    refused = await house.intake.room(1001)
    assert (refused.code, refused.status, refused.text) == (552, "5.3.4", "Message size exceeds fixed limit")


async def test_an_aborted_message_leaves_nothing(open_house: Callable[..., Any]) -> None:
    house = open_house()
    transaction = house.intake.begin()
    await transaction.write(b"A: b\r\n\r\nx\r\n")
    transaction.abort()
    assert (house.store.messages, house.store.aborted, house.sink.lines) == ([], 1, [])
