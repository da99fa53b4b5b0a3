"""Milters change messages on their way into the queue: header, body, envelope; and local mail meets them too."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.config.configuration import Configuration
from posthouse.envelope.content import MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Client, Envelope, Recipient
from posthouse.envelope.handling import Handling
from posthouse.host.log import ProcessLog
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.transaction import Accepted, Refused
from posthouse.policy.milter.chain import Chain
from posthouse.policy.milter.milters import Milters, open_milters
from posthouse.queue.store import State
from posthouse.routing.router import Router
from posthouse.testkit.milter import ScriptedMilter
from posthouse.wire.milter.answer import (
    AddHeader,
    AddRecipient,
    Answer,
    ChangeFrom,
    ChangeHeader,
    DeleteRecipient,
    InsertHeader,
    Quarantine,
    ReplaceBody,
    ReplyCode,
    Word,
)
from posthouse.wire.milter.command import Options, Peer
from posthouse.wire.milter.flags import Protocol

RECEIVED = b"Received: from c\r\n\tby mail.example.com; now\r\n"
BASE = {"myhostname": "mail.example.com", "mydomain": "example.com", "myorigin": "example.com"}
HEADER = (
    b"Received: from x by y; then\r\nX-A: one\r\nX-B: b\r\nX-A: two\r\n\tfolded\r\nX-A: three\r\n"
    b"Message-Id: <m@x>\r\nDate: d\r\nFrom: s@example.org\r\n"
)
CLIENT = Client("unknown", "192.0.2.1", "4000", "unknown", "cl.example", "ESMTP")
TAIL = "from unknown[192.0.2.1]: {}; from=<s@example.org> to=<r@example.net> proto=ESMTP helo=<cl.example>"


def milters_of(milter: ScriptedMilter, configuration: Configuration, parameter: str = "smtpd_milters") -> Milters:
    found = open_milters(configuration, "inet:127.0.0.1:1", parameter, open_stream=milter.connect)
    assert found is not None
    return found


async def session_of(milter: ScriptedMilter, house: Any) -> Chain:
    async def value(name: str) -> str | None:
        return {"i": "ABC", "{mail_addr}": "s@example.org", "j": "mail.example.com"}.get(name)

    chain = milters_of(milter, house.configuration).begin(value, house.log.warning)
    await chain.connect(Peer(b"c", b"4", 1, b"192.0.2.1"))
    return chain


async def send(
    house: Any, milter: ScriptedMilter, *recipients: str, content: bytes = HEADER + b"\r\nhello\r\n"
) -> Accepted | Refused:
    given = Envelope("s@example.org", tuple(map(Recipient, recipients or ("r@example.net",))), CLIENT)
    transaction = house.intake.begin()
    await transaction.write(content)
    chain = await session_of(milter, house)
    answer: Accepted | Refused = await transaction.commit(given, RECEIVED, Handling(), milters=chain)
    return answer


def scripted(*answers: Answer, **settings: Any) -> ScriptedMilter:
    return ScriptedMilter(script={"E": answers}, **settings)


def header_of(house: Any) -> list[str]:
    found: str = house.store.messages[-1].content.header.decode()
    return [
        line for line in found.replace("\r\n\t", "|").split("\r\n") if line and line[:4] not in ("Mess", "Date", "From")
    ]


def body_of(house: Any) -> bytes:
    body = house.store.messages[-1].content.body
    assert isinstance(body, MemoryBody)
    return body.data


def lines_of(house: Any) -> list[str]:
    return [line.partition(": ")[2] for line in house.sink.lines]


async def test_milters_see_the_message_as_clean_up_left_it_but_for_our_own_received_field(open_house: Any) -> None:
    house, milter = open_house(), ScriptedMilter()
    assert isinstance(await send(house, milter), Accepted)
    shown = [line for line in milter.lines if line[0] in "LB"]
    assert shown[0] == "L Received|from x by y; then"
    assert "L X-A|two\\n\\tfolded" in shown
    assert shown[-1] == "B 7 hello\\r\\n"
    assert len(shown) == 9
    assert "D L i=ABC" in milter.lines
    assert header_of(house)[0] == "Received: from c|by mail.example.com; now"


PLAIN = ("Received: c", "Received: x", "X-A: one", "X-B: b", "X-A: two", "X-A: three")


@pytest.mark.parametrize(
    ("edits", "header"),
    [
        (
            [AddHeader(b"X-N", b"1")],
            ["Received: c", "Received: x", "X-A: one", "X-B: b", "X-A: two", "X-A: three", "X-N: 1"],
        ),
        (
            [InsertHeader(0, b"X-0", b"0"), InsertHeader(1, b"X-1", b"1"), InsertHeader(99, b"X-F", b"f")],
            [
                "X-0: 0",
                "X-1: 1",
                "Received: c",
                "Received: x",
                "X-A: one",
                "X-B: b",
                "X-A: two",
                "X-A: three",
                "X-F: f",
            ],
        ),
        (
            [InsertHeader(1, b"X-1", b"1")],
            ["Received: c", "X-1: 1", "Received: x", "X-A: one", "X-B: b", "X-A: two", "X-A: three"],
        ),
        (
            [ChangeHeader(1, b"x-a", b""), ChangeHeader(2, b"X-A", b"2"), ChangeHeader(3, b"X-A", b"new")],
            ["Received: c", "Received: x", "X-B: b", "X-A: two", "X-A: 2", "X-A: new"],
        ),
        (
            [ChangeHeader(1, b"Received", b""), ChangeHeader(0, b"X-B", b"c"), ChangeHeader(1, b"X-No", b"")],
            ["Received: c", "X-A: one", "X-B: c", "X-A: two", "X-A: three"],
        ),
    ],
)
async def test_header_fields_are_counted_as_postfix_counts_them(
    edits: list[Answer], header: list[str], open_house: Any
) -> None:
    house = open_house()
    await send(house, scripted(*edits))
    shown = [line.split("|")[0].replace("from ", "").replace(" by y; then", "") for line in header_of(house)]
    assert shown == header


async def test_lines_of_a_value_are_folded_whether_the_milter_did_or_not(open_house: Any) -> None:
    house = open_house()
    await send(house, scripted(AddHeader(b"X-N", b"a\n\tb\nc\r\n d")))
    assert b"X-N: a\r\n\tb\r\n\tc\r\n d\r\n" in house.store.messages[0].content.header


async def test_a_milter_that_sees_leading_space_brings_its_own(open_house: Any) -> None:
    house = open_house()
    milter = scripted(AddHeader(b"X-N", b"1"), AddHeader(b"X-M", b" 2"))
    milter.options = Options(6, 0x1FF, int(Protocol.LEADING_SPACE))
    await send(house, milter)
    assert "L X-A| one" in milter.lines
    assert house.store.messages[0].content.header.endswith(b"X-N:1\r\nX-M: 2\r\n")


async def test_a_new_body_takes_the_old_ones_place_as_it_comes(open_house: Any) -> None:
    house = open_house()
    await send(house, scripted(ReplaceBody(b"a\nb\r"), ReplaceBody(b"\n.\r\nlast"), AddHeader(b"X-N", b"1")))
    assert body_of(house) == b"a\r\nb\r\n.\r\nlast\r\n"
    assert house.store.aborted == 1
    assert header_of(house)[-1] == "X-N: 1"


async def test_a_body_that_grows_too_large_is_refused(open_house: Any) -> None:
    house = open_house(message_size_limit="2000")
    answer = await send(house, scripted(*[ReplaceBody(b"x" * 1000 + b"\r\n")] * 3))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.status) == (552, "5.3.4")
    assert house.store.messages == []


async def test_recipients_come_and_go(open_house: Any) -> None:
    house = open_house(virtual_alias_maps="inline:{{list@example.com=one@example.net two@example.net}}")
    edits = [
        AddRecipient(b"<list@example.com>"),
        DeleteRecipient(b"<r@example.net>"),
        DeleteRecipient(b"<R2@example.net>"),
    ]
    await send(house, scripted(*edits), "r@example.net", "r2@example.net")
    found = [stored.recipient.address for stored in house.store.messages[0].message.recipients]
    assert found == ["r2@example.net", "one@example.net", "two@example.net"]


async def test_a_recipient_is_deleted_by_the_address_that_the_client_gave(open_house: Any) -> None:
    house = open_house(virtual_alias_maps="inline:{{list@example.com=one@example.net two@example.net}}")
    await send(house, scripted(DeleteRecipient(b"list@example.com")), "list@example.com", "r@example.net")
    assert [s.recipient.address for s in house.store.messages[0].message.recipients] == ["r@example.net"]


async def test_arguments_of_a_recipient_are_read(open_house: Any) -> None:
    house = open_house()
    added = AddRecipient(b"<a@example.net>", b"NOTIFY=NEVER ORCPT=rfc822;o@x BOGUS=1")
    await send(house, scripted(added, AddRecipient(b"<b@example.net>", b"NOTIFY=BAD")))
    new = house.store.messages[0].message.recipients[1].recipient
    assert (new.notify.name, new.orcpt) == ("NEVER", "rfc822;o@x")
    text = 'warning: 0000000001: ignoring ESMTP argument from Milter or header/body_checks: "BOGUS=1"'
    assert text in lines_of(house)
    assert 'warning: unknown DSN NOTIFY command value "BAD" in "BAD"' in lines_of(house)


async def test_a_message_without_recipients_is_accepted_and_gone(open_house: Any) -> None:
    house = open_house()
    assert isinstance(await send(house, scripted(DeleteRecipient(b"<r@example.net>"))), Accepted)
    assert house.store.messages == []
    entry = house.journal.entries[-1]
    assert entry.step == "discarded"
    assert entry.evidence[0].fact == "delete recipient <r@example.net>"


async def test_the_sender_changes(open_house: Any) -> None:
    house = open_house()
    await send(house, scripted(ChangeFrom(b"<new@example.net>", b"RET=HDRS ENVID=e SIZE=1")))
    given = house.store.messages[0].message.envelope
    assert (given.sender, given.ret, given.envid) == ("new@example.net", "HDRS", "e")
    assert 'warning: Ignoring bad ESMTP parameter "SIZE=1" in SMFI_CHGFROM request' in lines_of(house)


async def test_quarantine_is_hold(open_house: Any) -> None:
    house = open_house()
    await send(house, scripted(Quarantine(b"look at this")))
    assert house.store.messages[0].message.state is State.HOLD
    line = "0000000001: milter-hold: END-OF-MESSAGE " + TAIL.format("milter triggers HOLD action")
    assert line in lines_of(house)
    facts = [reason.fact for entry in house.journal.entries for reason in entry.evidence]
    assert "SMFIC_BODYEOB: quarantine: look at this" in facts


@pytest.mark.parametrize(
    ("answer", "reply", "text"),
    [
        (Word.REJECT, (550, "5.7.1", "Command rejected"), "5.7.1 Command rejected"),
        (ReplyCode(b"554 5.7.1 spam"), (554, "5.7.1", "spam"), "5.7.1 spam"),
        (ReplyCode(b"550-a\r\n550 b"), (550, "", "a\nb"), "a??550 b"),
        (Word.SHUTDOWN, (421, "4.7.0", "Server closing connection"), "4.7.0 Server closing connection"),
    ],
)
async def test_a_refusal_is_the_answer(answer: Answer, reply: tuple[int, str, str], text: str, open_house: Any) -> None:
    house = open_house()
    refused = await send(house, scripted(AddHeader(b"X-N", b"1"), answer))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.status, refused.text) == reply
    assert refused.evidence[0].parameter == "smtpd_milters"
    assert f"0000000001: milter-reject: END-OF-MESSAGE {TAIL.format(text)}" in lines_of(house)
    assert house.store.messages == []


async def test_a_discarded_message_is_accepted(open_house: Any) -> None:
    house = open_house()
    assert isinstance(await send(house, scripted(Word.DISCARD)), Accepted)
    assert house.store.messages == []


async def test_what_milters_changed_is_in_the_journal(open_house: Any) -> None:
    house = open_house()
    await send(house, scripted(AddHeader(b"X-N", b"1"), ChangeHeader(1, b"X-B", b""), ReplaceBody(b"new")))
    (queued,) = [entry for entry in house.journal.entries if entry.step == "queued"]
    found = [(reason.restriction, reason.fact) for reason in queued.evidence if reason.parameter == "smtpd_milters"]
    assert found == [
        ("inet:127.0.0.1:1", "add header X-N: 1"),
        ("inet:127.0.0.1:1", "delete header X-B 1"),
        ("inet:127.0.0.1:1", "replace body"),
    ]


@pytest.mark.parametrize(
    ("action", "header", "line"),
    [
        ("REPLACE X-R: y", "X-R: y", "milter-header-replace: header X-N: 1 {}: X-R: y"),
        ("IGNORE", "X-A: three", ""),
        ("PASS", "X-N: 1", "warning: unsupported command in milter_header_checks map: PASS"),
        ("WARN w", "X-N: 1", "milter-header-warning: header X-N: 1 {}: w"),
    ],
)
async def test_added_fields_pass_checks_of_their_own(
    action: str, header: str, line: str, open_house: Any, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.write_text(f"/^X-N: 1$/ {action}\n")
    house = open_house(milter_header_checks=f"regexp:{rules}")
    await send(house, scripted(AddHeader(b"X-N", b"1")))
    assert header_of(house)[-1] == header
    origin = TAIL.replace(": {};", ";")
    assert not line or any(found.endswith(line.format(origin)) for found in lines_of(house))


async def test_checks_of_added_fields_refuse_and_redirect(open_house: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("/^X-N: 1$/ REJECT 4.7.1 later\n/^X-M: 1$/ REDIRECT a@example.net\n")
    house = open_house(milter_header_checks=f"regexp:{rules}")
    refused = await send(house, scripted(AddHeader(b"X-N", b"1")))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.text) == (451, "later")
    await send(house, scripted(AddHeader(b"X-M", b"1")))
    assert [s.recipient.address for s in house.store.messages[0].message.recipients] == ["a@example.net"]


async def test_a_message_that_header_checks_refuse_is_shown_to_nobody(open_house: Any) -> None:
    house, milter = open_house(header_checks="static:REJECT"), ScriptedMilter()
    await send(house, milter)
    assert not any(line.startswith("L") for line in milter.lines)


# -- mail that was made on this machine ---------------------------------------------------


def local_house(house: Any, milter: ScriptedMilter, internal: str = "", **settings: str) -> CleanupIntake:
    configuration = Configuration("/nonexistent", {**BASE, **settings})
    log: ProcessLog = house.log
    return CleanupIntake.open(
        configuration,
        Router.open(configuration, log),
        house.store,
        log,
        house.journal,
        internal=internal,
        free_space=lambda: 1 << 40,
        milters=milters_of(milter, configuration, "non_smtpd_milters"),
    )


async def over(milter: ScriptedMilter) -> None:
    await asyncio.gather(*milter.tasks)


async def submit(intake: CleanupIntake, *, give_back: Callable[..., Any] | None = None) -> Accepted | Refused:
    given = Envelope("joe@example.com", (Recipient("a@example.net"), Recipient("bob")), LOCAL_CLIENT)
    transaction = intake.begin()
    await transaction.write(b"Subject: s\r\nMessage-Id: <m@x>\r\nDate: d\r\nFrom: joe@example.com\r\n\r\nbody\r\n")
    received = b"Received: by mail.example.com\r\n"
    return await transaction.commit(given, received, Handling(), give_back=give_back)


async def test_local_mail_is_acted_out(open_house: Any) -> None:
    house, milter = open_house(), scripted(AddHeader(b"X-N", b"1"))
    assert isinstance(await submit(local_house(house, milter)), Accepted)
    await over(milter)
    assert [line for line in milter.lines if line[0] in "DCHMRTAQ" and not line.startswith(("D L", "D N", "D B"))] == [
        "D C j=mail.example.com {daemon_name}=mail.example.com {daemon_addr}=127.0.0.1 v=Postfix 3.7.11 "
        "_=localhost [127.0.0.1]",
        "C localhost 4 0 127.0.0.1",
        "D H ",
        "H localhost",
        "D M i=0000000001 {mail_addr}=joe@example.com",
        "M joe@example.com",
        "D R i=0000000001 {rcpt_addr}=a@example.net",
        "R a@example.net",
        "D R i=0000000001 {rcpt_addr}=bob@example.com",
        "R bob@example.com",
        "D T i=0000000001",
        "T ",
        "D E i=0000000001",
        "Q ",
    ]
    assert header_of(house)[-1] == "X-N: 1"


async def test_a_recipient_of_local_mail_cannot_be_refused(open_house: Any) -> None:
    house, milter = open_house(), ScriptedMilter(script={"R": [b"bob", Word.REJECT]})
    refused = await submit(local_house(house, milter))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.status) == (451, "4.3.5")
    warning = "milter configuration error: can't reject recipient in non-smtpd(8) submission"
    assert f"warning: 0000000001: {warning}" in lines_of(house)


async def test_local_mail_that_is_refused_for_good_goes_back(open_house: Any) -> None:
    house, milter, told = open_house(), scripted(ReplyCode(b"554 5.7.1 spam")), []

    async def give_back(message: Any, content: Any, recipients: Any) -> None:
        told.extend(recipients)

    assert isinstance(await submit(local_house(house, milter), give_back=give_back), Accepted)
    assert [(stored.dsn.status, stored.dsn.reason) for stored in told] == [("5.7.1", "spam")] * 2
    origin = "localhost[127.0.0.1]: 5.7.1 spam; from=<joe@example.com> to=<bob@example.com>"
    assert f"0000000001: milter-reject: END-OF-MESSAGE from {origin}" in lines_of(house)


async def test_local_mail_waits_when_its_milter_is_down(open_house: Any) -> None:
    house, milter = open_house(), ScriptedMilter(drop="C")
    refused = await submit(local_house(house, milter))
    assert isinstance(refused, Refused)
    assert refused.code == 451


@pytest.mark.parametrize(
    ("internal", "classes", "asked"),
    [("", "", True), ("bounce", "", False), ("bounce", "bounce", True), ("forward", "notify", False)],
)
async def test_notices_are_shown_when_their_class_says_so(
    internal: str, classes: str, asked: bool, open_house: Any
) -> None:
    house, milter = open_house(), ScriptedMilter()
    await submit(local_house(house, milter, internal, internal_mail_filter_classes=classes))
    assert bool(milter.sessions) is asked
