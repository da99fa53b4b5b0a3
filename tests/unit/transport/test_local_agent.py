"""local(8) as the mail worker sees it: aliases, owners, forwards, users, loops."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Client, Envelope, Notify, Recipient
from posthouse.envelope.handling import Handling
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Accepted, Refused
from posthouse.tables.maps import Maps
from posthouse.tables.table import Row, TableRetry
from posthouse.transport.hands import Errand, Report, bounced, deferred, done
from posthouse.transport.local.agent import LocalAgent
from posthouse.transport.local.people import Person
from posthouse.transport.local.settings import LocalSettings

SETTINGS = LocalSettings(
    alias_maps="",
    recipient_delimiter="+",
    expand_owner_alias=False,
    owner_request_special=True,
    reset_owner_alias=False,
    propagate_unmatched_extensions=("canonical", "virtual"),
    mailbox_transport="",
    mailbox_transport_maps="",
    fallback_transport="",
    fallback_transport_maps="",
    luser_relay="",
    local_recipient_maps="",
    mydomain="tony.test",
    myhostname="mail.tony.test",
    mail_name="Postfix",
    myorigin="tony.test",
    prepend_delivered_header=("command", "file", "forward"),
    mailbox_command="",
    home_mailbox="",
    mail_spool_directory="/var/mail",
    mailbox_size_limit=0,
    message_size_limit=0,
)


class Rows:
    """A table in a dict; the key "broken" cannot be looked up."""

    name = "fake:aliases"
    whole_key = False

    def __init__(self, rows: dict[str, str]) -> None:
        self._rows = rows

    async def lookup(self, key: str) -> Row | None:
        if key == "broken":
            raise TableRetry("no answer")
        value = self._rows.get(key.lower())
        return None if value is None else Row(value, self.name, key.lower())

    def close(self) -> None:
        pass


class Letters:
    """An intake that keeps what it is given."""

    def __init__(self, refuse: Refused | None = None) -> None:
        self.taken: list[tuple[Envelope, bytes]] = []
        self.refuse = refuse

    def begin(self) -> "Letter":
        return Letter(self)


class Letter:
    queue_id = "F0RWARD"

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._content = b""

    async def write(self, chunk: bytes) -> None:
        self._content += chunk

    async def commit(self, envelope: Envelope, received: bytes, handling: Handling) -> Accepted | Refused:
        if self._letters.refuse is not None:
            return self._letters.refuse
        self._letters.taken.append((envelope, received + self._content))
        return Accepted(self.queue_id)

    def abort(self) -> None:
        self._content = b""


class Handy:
    """Hands that write down their errands; `reports` by operation and name."""

    def __init__(self, report: Report | None = None, reports: dict[tuple[str, str], Report] | None = None) -> None:
        self.errands: list[Errand] = []
        self._report = report or done("delivered to mailbox")
        self._reports = reports or {}

    async def run(self, errand: Errand, content: Content) -> Report:
        self.errands.append(errand)
        return self._reports.get((errand.operation, errand.names[0]), self._report)

    def done(self) -> list[tuple[str, str, str, str]]:
        """What was asked of them: operation, name, current address, sender."""
        return [(e.operation, e.names[0], e.recipient, e.sender) for e in self.errands]


class Crowd:
    def find(self, login: str) -> Person | None:
        return Person(login, 1000, 1000, f"/home/{login}") if login in {"tony", "alice"} else None


async def at_home(address: str) -> bool:
    return address.endswith(("@tony.test", "@localhost"))


def agent(rows: dict[str, str], hands: Handy, letters: Letters, settings: LocalSettings = SETTINGS) -> LocalAgent:
    empty = Maps("maps", [])
    return LocalAgent(
        settings,
        "local",
        alias_maps=Maps("alias_maps", [Rows(rows)]),
        mailbox_transport_maps=empty,
        fallback_transport_maps=empty,
        people=Crowd(),
        hands=hands,
        intake=letters,
        agents={},
        qualify=lambda address: address if "@" in address else f"{address}@tony.test",
        is_here=at_home,
        log=ProcessLog(MemorySink(), "postfix/local"),
        received=lambda queue_id: b"Received: by mail.tony.test id %b\r\n" % queue_id.encode(),
    )


def request(address: str, header: bytes = b"Subject: x\r\n", *, trace_only: bool = False) -> DeliveryRequest:
    return DeliveryRequest(
        queue_id="ABC",
        arrival_time=0.0,
        sender="s@x.test",
        recipients=(QueuedRecipient(4, Recipient(address, "first@x.test")),),
        transport="local",
        nexthop="tony.test",
        content=Content(header, MemoryBody(b"body\r\n")),
        client=Client(),
        trace_only=trace_only,
    )


async def deliver(
    address: str,
    rows: dict[str, str],
    *,
    settings: LocalSettings = SETTINGS,
    header: bytes = b"Subject: x\r\n",
    reports: dict[tuple[str, str], Report] | None = None,
) -> tuple[Outcome, Handy, Letters]:
    hands, letters = Handy(reports=reports), Letters()
    outcomes: Sequence[Outcome] = await agent(rows, hands, letters, settings).deliver(request(address, header))
    (outcome,) = outcomes
    assert outcome.index == 4
    return outcome, hands, letters


def said(outcome: Outcome) -> list[tuple[str, str, str]]:
    """The log's lines, short."""
    return [(p.fate.value, p.log_recipient, p.dsn.reason) for p in outcome.parts or (outcome,)]


async def test_a_user_is_an_errand_for_his_hands() -> None:
    outcome, hands, _ = await deliver("tony@tony.test", {})
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DELIVERED, "delivered to mailbox")
    assert [(errand.operation, errand.names) for errand in hands.errands] == [("user", ("tony",))]


async def test_an_extension_is_no_part_of_the_login() -> None:
    _, hands, _ = await deliver("tony+lists@tony.test", {})
    assert [(errand.names, errand.extension) for errand in hands.errands] == [(("tony",), "lists")]


async def test_users_of_an_alias_get_it_at_once_and_others_as_one_new_message() -> None:
    outcome, hands, letters = await deliver("group@tony.test", {"group": "tony, y@else.test, alice, z@else.test"})
    assert hands.done() == [
        ("user", "tony", "tony@tony.test", "s@x.test"),
        ("user", "alice", "alice@tony.test", "s@x.test"),
    ]
    assert {errand.delivered_to for errand in hands.errands} == {"group@tony.test"}
    ((envelope, content),) = letters.taken
    assert [r.address for r in envelope.recipients] == ["y@else.test", "z@else.test"]
    assert {"first@x.test"} == {r.original for r in envelope.recipients}
    assert content.startswith(
        b"Received: by mail.tony.test id F0RWARD\r\nDelivered-To: group@tony.test\r\nSubject: x\r\n\r\n"
    )
    assert said(outcome) == [
        ("sent", "tony@tony.test", "delivered to mailbox"),
        ("sent", "alice@tony.test", "delivered to mailbox"),
        ("sent", "group@tony.test", "forwarded as F0RWARD"),
    ]


async def test_members_that_meet_again_get_one_copy() -> None:
    rows = {"multi": "more, tony, z@else.test, TONY@localhost", "more": "tony, Z@else.test, z@else.test"}
    _, hands, letters = await deliver("multi@tony.test", rows)
    assert [errand.names for errand in hands.errands] == [("tony",)]
    assert [r.address for envelope, _ in letters.taken for r in envelope.recipients] == ["Z@else.test"]


async def test_an_alias_that_names_itself_through_another_is_a_loop() -> None:
    outcome, _, _ = await deliver("one@tony.test", {"one": "two", "two": "one"})
    assert said(outcome) == [("bounced", "two@tony.test", "alias database loop for two")]


async def test_aliases_are_followed_as_deep_as_postfix_does() -> None:
    rows = {f"a{number}": f"a{number + 1}" for number in range(30)}
    assert (await deliver("a7@tony.test", {**rows, "a30": "tony"}))[0].dsn.reason == "delivered to mailbox"
    outcome, _, _ = await deliver("a0@tony.test", rows)
    assert said(outcome) == [("bounced", "a25@tony.test", "alias database loop for a25")]


async def test_owner_takes_the_bounces_of_a_list_and_its_members_are_recipients_of_their_own() -> None:
    rows = {"list": 'tony, "|cat", sub', "owner-list": "alice", "sub": "alice"}
    _, hands, letters = await deliver("list@tony.test", rows)
    ((envelope, _),) = letters.taken
    assert envelope.sender == "owner-list@tony.test"
    assert [(r.address, r.original) for r in envelope.recipients] == [("tony@tony.test", ""), ("alice@tony.test", "")]
    assert hands.done() == [("alias", "list", "list@tony.test", "owner-list@tony.test")]


async def test_each_owner_sends_a_message_of_his_own() -> None:
    rows = {"all": "list, z@else.test", "list": "y@else.test", "owner-list": "alice"}
    _, _, letters = await deliver("all@tony.test", rows)
    assert [(e.sender, [r.address for r in e.recipients]) for e, _ in letters.taken] == [
        ("owner-list@tony.test", ["y@else.test"]),
        ("s@x.test", ["z@else.test"]),
    ]


async def test_commands_of_an_alias_are_an_errand_and_its_addresses_a_forward() -> None:
    outcome, hands, letters = await deliver("both@tony.test", {"both": '"|cat", z@else.test'})
    assert [errand.operation for errand in hands.errands] == ["alias"]
    assert len(letters.taken) == 1
    assert [part.dsn.reason for part in outcome.parts] == ["delivered to mailbox", "forwarded as F0RWARD"]


async def test_nothing_is_sent_on_while_a_command_fails() -> None:
    reports = {("alias", "both"): deferred("4.3.0", "temporary failure")}
    outcome, hands, letters = await deliver("both@tony.test", {"both": '"|x", tony, z@else.test'}, reports=reports)
    assert (outcome.fate, letters.taken, len(hands.errands)) == (Fate.DEFERRED, [], 2)


async def test_a_member_that_fails_for_now_is_sent_on_by_himself() -> None:
    reports = {("user", "alice"): deferred("4.2.0", "cannot lock")}
    outcome, _, letters = await deliver("two@tony.test", {"two": "tony, alice"}, reports=reports)
    assert [r.address for envelope, _ in letters.taken for r in envelope.recipients] == ["alice@tony.test"]
    assert said(outcome) == [
        ("sent", "tony@tony.test", "delivered to mailbox"),
        ("sent", "two@tony.test", "forwarded as F0RWARD"),
    ]


async def test_when_every_member_fails_for_now_the_alias_waits() -> None:
    reports = {("user", "alice"): deferred("4.2.0", "cannot lock")}
    outcome, _, letters = await deliver("one@tony.test", {"one": "alice"}, reports=reports)
    assert (outcome.fate, outcome.dsn.reason, letters.taken) == (Fate.DEFERRED, "cannot lock", [])


FORWARDED = Report(forwards=("\\tony", "tony+box", "alice", "group", "z@else.test"), forwarded=True)


async def test_a_forward_leads_to_his_own_mailbox_and_sends_everything_else_on() -> None:
    rows = {"group": "alice, gone"}
    outcome, hands, letters = await deliver("tony@tony.test", rows, reports={("user", "tony"): FORWARDED})
    assert [(e.operation, e.recipient) for e in hands.errands] == [
        ("user", "tony@tony.test"),
        ("mailbox", "tony@tony.test"),
        ("mailbox", "tony+box@tony.test"),
    ]
    ((envelope, _),) = letters.taken
    assert [r.address for r in envelope.recipients] == ["alice@tony.test", "gone@tony.test", "z@else.test"]
    assert outcome.fate is Fate.DELIVERED


async def test_a_backslash_in_an_alias_is_the_mailbox_without_a_forward() -> None:
    _, hands, _ = await deliver("x@tony.test", {"x": "\\tony"}, reports={("user", "tony"): FORWARDED})
    assert [errand.operation for errand in hands.errands] == ["mailbox"]


async def test_a_mailbox_that_was_served_leaves_the_forward() -> None:
    reports = {("forward", "tony"): Report(forwards=("z@else.test",), forwarded=True)}
    _, hands, letters = await deliver("x@tony.test", {"x": "\\tony, tony"}, reports=reports)
    assert [errand.operation for errand in hands.errands] == ["mailbox", "forward"]
    assert len(letters.taken) == 1


async def test_members_of_an_include_file_are_sent_on() -> None:
    reports = {("include", "list"): Report(forwards=("tony", "z@else.test"))}
    _, _, letters = await deliver("list@tony.test", {"list": ":include:/etc/a"}, reports=reports)
    assert [r.address for e, _ in letters.taken for r in e.recipients] == ["tony@tony.test", "z@else.test"]


async def test_a_forward_back_to_somebody_who_had_it_is_a_loop() -> None:
    reports = {("user", "tony"): Report(forwards=("alice",), forwarded=True)}
    header = b"Delivered-To: alice@tony.test\r\n"
    outcome, _, _ = await deliver("tony@tony.test", {}, reports=reports, header=header)
    assert said(outcome) == [("bounced", "alice@tony.test", "mail forwarding loop for alice@tony.test")]


async def test_the_postmaster_that_nobody_is_bounces_nothing() -> None:
    outcome, _, _ = await deliver("postmaster@tony.test", {})
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DELIVERED, "discarded")


async def test_names_are_folded_and_a_delimiter_at_the_end_is_none() -> None:
    outcome, _, _ = await deliver("Nobody+x@tony.test", {})
    assert outcome.dsn.reason == 'unknown user: "nobody"'
    _, hands, _ = await deliver("TONY+@tony.test", {})
    assert hands.done() == [("user", "tony", "TONY+@tony.test", "s@x.test")]


async def test_each_include_file_of_an_alias_is_an_errand() -> None:
    rows = {"list": ":include:/etc/a, z@else.test, :include:/etc/b"}
    _, hands, letters = await deliver("list@tony.test", rows)
    assert [(e.operation, e.names) for e in hands.errands] == [("include", ("list", "0")), ("include", ("list", "1"))]
    assert len(letters.taken) == 1


async def test_an_include_file_without_recipients_is_delivered_to_nobody() -> None:
    (outcome,) = await agent({"list": ":include:/etc/a"}, Handy(Report()), Letters()).deliver(request("list@tony.test"))
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DELIVERED, "nobody is included")


async def test_an_alias_that_names_its_own_user_reaches_the_mailbox() -> None:
    _, hands, letters = await deliver("tony@tony.test", {"tony": "\\tony, z@else.test"})
    assert [errand.operation for errand in hands.errands] == ["mailbox"]
    assert [r.address for envelope, _ in letters.taken for r in envelope.recipients] == ["z@else.test"]


async def test_an_unknown_user_bounces() -> None:
    outcome, _, _ = await deliver("nobody.here@tony.test", {})
    assert (
        outcome.fate,
        outcome.dsn.status,
        outcome.dsn.reason,
    ) == (Fate.BOUNCED, "5.1.1", 'unknown user: "nobody.here"')


class Other:
    """Another transport, which writes down what it is given."""

    def __init__(self) -> None:
        self.requests: list[DeliveryRequest] = []

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        self.requests.append(request)
        return [Outcome(queued.index, Fate.DELIVERED, Dsn("2.0.0", "ok"), "x") for queued in request.recipients]


async def test_another_transport_gets_the_address_that_an_alias_led_to() -> None:
    other, hands = Other(), Handy(Report())
    local = agent({"group": "tony, alice"}, hands, Letters(), replace(SETTINGS, mailbox_transport="lmtp:unix:x"))
    local._agents = {"lmtp": other}
    (outcome,) = await local.deliver(request("group@tony.test"))
    given = [(r.recipients[0].recipient.address, r.recipients[0].recipient.original) for r in other.requests]
    assert given == [("tony@tony.test", "first@x.test"), ("alice@tony.test", "first@x.test")]
    assert [part.log_recipient for part in outcome.parts] == ["tony@tony.test", "alice@tony.test"]


async def test_luser_relay_may_be_a_user_of_this_machine_but_not_unknown_itself() -> None:
    outcome, hands, _ = await deliver("gone@tony.test", {}, settings=replace(SETTINGS, luser_relay="tony"))
    assert hands.done() == [("user", "tony", "tony@tony.test", "s@x.test")]
    assert hands.errands[0].delivered_to == "gone@tony.test"
    outcome, _, _ = await deliver("gone@tony.test", {}, settings=replace(SETTINGS, luser_relay="lost"))
    assert said(outcome) == [("bounced", "lost@tony.test", 'unknown user: "lost"')]


async def test_luser_relay_takes_unknown_users() -> None:
    settings = replace(SETTINGS, luser_relay="$user@else.test")
    _, _, letters = await deliver("gone@tony.test", {}, settings=settings)
    assert [r.address for envelope, _ in letters.taken for r in envelope.recipients] == ["gone@else.test"]


async def test_a_table_that_cannot_be_asked_defers() -> None:
    outcome, _, _ = await deliver("broken@tony.test", {})
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.3.0")


async def test_delivered_to_ourselves_already_is_a_loop() -> None:
    outcome, _, _ = await deliver("tony@tony.test", {}, header=b"Delivered-To: Tony@tony.test\r\n")
    assert (outcome.fate, outcome.dsn.status) == (Fate.BOUNCED, "5.4.6")


@pytest.mark.parametrize(("code", "fate"), [(452, Fate.DEFERRED), (554, Fate.BOUNCED)])
async def test_a_forward_that_is_not_taken_is_not_delivered(code: int, fate: Fate) -> None:
    letters = Letters(Refused(code, f"{code // 100}.4.0", "no"))
    (outcome,) = await agent({"group": "z@else.test"}, Handy(), letters).deliver(request("group@tony.test"))
    assert fate is outcome.fate


async def test_a_transport_that_is_not_there_defers() -> None:
    settings = replace(SETTINGS, mailbox_transport="lmtp:unix:private/x")
    reports = {("forward", "tony"): Report()}
    outcome, hands, _ = await deliver("tony@tony.test", {}, settings=settings, reports=reports)
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DEFERRED, "mail transport unavailable")
    assert [errand.operation for errand in hands.errands] == ["forward"]


async def test_a_field_that_only_ends_in_delivered_to_is_no_loop() -> None:
    outcome, _, _ = await deliver("tony@tony.test", {}, header=b"X-Delivered-To: tony@tony.test\r\n")
    assert outcome.fate is Fate.DELIVERED


async def test_an_extension_that_leaves_the_folder_is_no_extension() -> None:
    _, hands, _ = await deliver("tony+/../../alice@tony.test", {})
    assert [(errand.names, errand.extension) for errand in hands.errands] == [(("tony",), "")]


async def test_a_loop_of_an_odd_address_is_found() -> None:
    outcome, _, letters = await deliver("a b@tony.test", {"a b": "z@else.test"})
    assert outcome.fate is Fate.DELIVERED
    assert b'Delivered-To: "a b"@tony.test\r\n' in letters.taken[0][1]
    outcome, _, _ = await deliver("a b@tony.test", {}, header=b'Delivered-To: "a b"@tony.test\r\n')
    assert outcome.dsn.status == "5.4.6"


async def probe(address: str, rows: dict[str, str], settings: LocalSettings = SETTINGS) -> list[tuple[str, str, str]]:
    hands, letters = Handy(), Letters()
    (outcome,) = await agent(rows, hands, letters, settings).deliver(request(address, trace_only=True))
    assert (hands.errands, letters.taken) == ([], [])
    return [(part.fate.value, part.log_recipient, part.dsn.reason) for part in outcome.parts or (outcome,)]


async def test_a_probe_of_a_user_says_where_his_mail_would_go() -> None:
    assert await probe("tony@tony.test", {}) == [("sent", "", "delivers to mailbox")]
    maildir = replace(SETTINGS, home_mailbox="Maildir/")
    assert await probe("tony@tony.test", {}, maildir) == [("sent", "", "delivers to maildir")]
    command = replace(maildir, mailbox_command="procmail")
    assert await probe("tony@tony.test", {}, command) == [("sent", "", "delivers to command: procmail")]
    assert await probe("gone@tony.test", {}) == [("bounced", "", 'unknown user: "gone"')]


async def test_a_probe_follows_an_alias_part_by_part() -> None:
    rows = {"list": 'tony, more, gone, "|cat", /tmp/x, z@else.test, :include:/etc/y', "more": "alice, broken, list"}
    assert await probe("list@tony.test", rows) == [
        ("sent", "tony@tony.test", "delivers to mailbox"),
        ("sent", "alice@tony.test", "delivers to mailbox"),
        ("deferred", "broken@tony.test", "alias database unavailable"),
        ("bounced", "more@tony.test", "alias database loop for more"),
        ("bounced", "gone@tony.test", 'unknown user: "gone"'),
        ("sent", "list@tony.test", "delivers to command: cat"),
        ("sent", "list@tony.test", "delivers to file: /tmp/x"),
        ("sent", "z@else.test", "forwards to z@else.test"),
        ("sent", "list@tony.test", "includes: /etc/y"),
    ]


async def test_a_probe_of_a_user_whose_alias_names_himself_ends() -> None:
    assert await probe("tony@tony.test", {"tony": "\\tony, tony"}) == [("sent", "", "delivers to mailbox")]


async def test_a_server_that_verifies_an_alias_hears_of_the_alias() -> None:
    asked = replace(request("list@tony.test", trace_only=True), verification=True)
    (outcome,) = await agent({"list": "tony, gone"}, Handy(), Letters()).deliver(asked)
    assert (outcome.fate, outcome.dsn.reason, outcome.log_recipient) == (Fate.DELIVERED, "aliased to tony, gone", "")


@pytest.mark.parametrize(
    ("wished", "left"),
    [
        (Notify.SUCCESS, Notify.NEVER),
        (Notify.SUCCESS | Notify.FAILURE, Notify.FAILURE),
        (Notify.NEVER, Notify.NEVER),
        (Notify.NONE, Notify.NONE),
    ],
)
async def test_who_is_told_that_an_alias_was_expanded_hears_of_no_delivery(wished: Notify, left: Notify) -> None:
    asked = request("list@tony.test")
    (queued,) = asked.recipients
    asked = replace(asked, recipients=(replace(queued, recipient=replace(queued.recipient, notify=wished)),))
    letters = Letters()
    (outcome,) = await agent({"list": "z@else.test"}, Handy(), letters).deliver(asked)
    assert outcome.expanded == "expanded"
    assert [r.notify for envelope, _ in letters.taken for r in envelope.recipients] == [left]


async def test_what_fails_of_a_list_is_its_owners_to_know() -> None:
    rows = {"list": '"|false"', "owner-list": "tony"}
    outcome, _, _ = await deliver("list@tony.test", rows, reports={("alias", "list"): bounced("5.3.0", "no")})
    assert (outcome.owner, outcome.expanded) == ("owner-list@tony.test", "delivered")
