"""The SMTP and LMTP client against servers that behave, and servers that do not."""

import asyncio
import dataclasses
import hashlib
import random
import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.dns.mx import MxLookup, MxSettings
from posthouse.dns.resolver import Answer, DnsRetry, Record
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Client, Notify, Recipient
from posthouse.envelope.outcome import Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.content_checks import Decision, Finding
from posthouse.net.stream import Stream
from posthouse.tables.table import Row, TableRetry
from posthouse.testkit.smtp_sink import Script, SmtpSink
from posthouse.transport.smtp.dane import parse_tlsa
from posthouse.transport.smtp.deliver import SmtpAgent, connect_candidate
from posthouse.transport.smtp.hosts import Candidate
from posthouse.transport.smtp.lookups import NO_LOOKUPS, Lookups
from posthouse.transport.smtp.outgoing import Outgoing
from posthouse.transport.smtp.settings import SmtpSettings

VALUES: dict[str, object] = {
    "myhostname": "mail.example.com",
    "smtp_tcp_port": "25",
    "smtp_mx_session_limit": 2,
    "smtp_helo_name": "mail.example.com",
    "smtp_always_send_ehlo": True,
    "smtp_skip_5xx_greeting": True,
    "smtp_skip_quit_response": True,
    "smtp_line_length_limit": 998,
    "smtp_connection_cache_on_demand": True,
    "smtp_connection_cache_time_limit": 2,
    "smtp_connection_reuse_time_limit": 300,
    "smtp_sasl_security_options": ("noanonymous",),
    "smtp_sasl_tls_security_options": ("noanonymous",),
    "smtp_sasl_tls_verified_security_options": ("noanonymous",),
    "smtp_sasl_auth_soft_bounce": True,
    "smtp_tls_protocols": ">=TLSv1",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "smtp_tls_ciphers": "medium",
    "smtp_tls_mandatory_ciphers": "medium",
    "smtp_tls_secure_cert_match": ("nexthop", "dot-nexthop"),
    "smtp_tls_verify_cert_match": ("hostname",),
    "smtp_tls_fingerprint_digest": "sha256",
    "smtp_tls_loglevel": "1",
    "tls_dane_digests": ("sha512", "sha256"),
}


def settings(**changes: object) -> SmtpSettings:
    """Postfix's defaults where they matter, and what a test changes."""
    empty: dict[str, object] = {"str": "", "bool": False, "int": 30, "tuple[str, ...]": ()}
    values = {}
    for field in dataclasses.fields(SmtpSettings):
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "tuple")
        values[field.name] = VALUES.get(field.name, empty.get(kind, ()))
        if field.name.endswith("_limit") and field.name not in VALUES:
            values[field.name] = 0
    return SmtpSettings(**{**values, **changes})  # type: ignore[arg-type]


class FakeResolver:
    """Zones as a dict: (name, type) -> data; MX as (preference, host). None is a server that cannot be asked."""

    def __init__(self, zones: dict[tuple[str, str], list[object] | None]) -> None:
        self.zones = zones
        self.signed = False

    async def query(self, name: str, rtype: str) -> Answer:
        if (name, rtype) in self.zones:
            found = self.zones[name, rtype]
            if found is None:
                raise DnsRetry(
                    f"Host or domain name not found. Name service error for name={name} type={rtype}: "
                    "Host not found, try again"
                )
            records = []
            for data in found:
                preference, text = data if isinstance(data, tuple) else (0, data)
                records.append(Record(name, rtype, 60, str(text), preference))
            return Answer(tuple(records), authenticated=self.signed)
        return Answer((), nxdomain=not any(n == name for n, _ in self.zones))


class FakeMaps:
    def __init__(self, rows: dict[str, str], *, broken: bool = False) -> None:
        self.rows = rows
        self.broken = broken

    async def lookup(self, key: str) -> Row | None:
        if self.broken:
            raise TableRetry("table unavailable")
        value = self.rows.get(key)
        return None if value is None else Row(value, "fake:maps", key)


class Net:
    """Connects host addresses of a test to the ports where sinks listen; other addresses refuse."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.asked: list[str] = []

    async def __call__(self, candidate: Candidate, timeout: float, local: str | None) -> Stream:
        self.asked.append(candidate.relay)
        if candidate.unix:
            return await connect_candidate(candidate, timeout, local)
        port = self.ports.get(candidate.address)
        if port is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return await connect_candidate(Candidate("", "127.0.0.1", port), timeout, local)


class Everywhere:
    """smtp_connection_cache_destinations = static:all"""

    async def matches(self, name: str) -> str | None:
        return "static:all"


class House:
    """An agent and its log, with sinks at made-up addresses."""

    def __init__(self, lines: MemorySink, agent: SmtpAgent, net: Net) -> None:
        self.sink = lines
        self.agent = agent
        self.net = net

    @property
    def log(self) -> list[str]:
        return self.sink.lines


def house(
    ports: dict[str, int],
    zones: dict[tuple[str, str], list[object] | None] | None = None,
    *,
    lmtp: bool = False,
    own: tuple[str, ...] = (),
    policy: FakeMaps | None = None,
    passwords: FakeMaps | None = None,
    outgoing: Outgoing | None = None,
    lookups: Lookups = NO_LOOKUPS,
    signed: bool = False,
    **changes: object,
) -> House:
    lines = MemorySink()
    net = Net(ports)
    resolver = FakeResolver(zones or {})
    resolver.signed = signed
    lookup = MxLookup(
        MxSettings(inet_protocols=("ipv4",)),
        resolver,
        own_addresses=own,
        rng=random.Random(1),
    )
    agent = SmtpAgent(
        settings(**changes),
        lookup,
        ProcessLog(lines, "postfix/smtp", 1),
        lmtp=lmtp,
        resolver=resolver,
        policy_maps=policy,
        password_maps=passwords,
        lookups=lookups,
        outgoing=outgoing,
        connect=net,
        read_file=lambda path: Path(path).read_bytes(),
    )
    return House(lines, agent, net)


def request(
    *addresses: str,
    nexthop: str = "[192.0.2.1]",
    text: bytes = b"body\r\n",
    header: bytes = b"Subject: x\r\n",
    sender: str = "ann@example.com",
    **more: object,
) -> DeliveryRequest:
    recipients = tuple(
        QueuedRecipient(n, a if isinstance(a, Recipient) else Recipient(a, a)) for n, a in enumerate(addresses)
    )
    values: dict[str, object] = {
        "queue_id": "4E2F623E293",
        "arrival_time": 1.0,
        "sender": sender,
        "recipients": recipients,
        "transport": "smtp",
        "nexthop": nexthop,
        "content": Content(header, MemoryBody(text)),
        "client": LOCAL_CLIENT,
    }
    return DeliveryRequest(**{**values, **more})  # type: ignore[arg-type]


async def deliver(house: House, request: DeliveryRequest) -> dict[int, Outcome]:
    outcomes = await house.agent.deliver(request)
    assert sorted(o.index for o in outcomes) == [q.index for q in request.recipients]
    await house.agent.close()
    return {o.index: o for o in outcomes}


@pytest.fixture
async def sink():
    sink = await SmtpSink().start()
    yield sink
    await sink.stop()


async def started(script: Script, sinks: list[SmtpSink]) -> SmtpSink:
    sink = await SmtpSink(script).start()
    sinks.append(sink)
    return sink


@pytest.fixture
async def sinks():
    running: list[SmtpSink] = []
    yield running
    for sink in running:
        await sink.stop()


async def test_a_message_is_sent_in_one_flight_and_the_reply_is_the_reason(sink):
    h = house({"192.0.2.1": sink.port})
    outcome = (await deliver(h, request("bob@far.example")))[0]
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DELIVERED, "250 2.0.0 Ok: queued as 000001")
    assert outcome.relay == "192.0.2.1[192.0.2.1]:25"
    assert outcome.dsn.diagnostic_type == "smtp"
    assert outcome.dsn.remote_mta == "192.0.2.1"
    assert outcome.connection_uses == 1
    taken = sink.taken[0]
    assert taken.content == b"Subject: x\r\n\r\nbody\r\n"
    assert taken.mail == "MAIL FROM:<ann@example.com> SIZE=20"
    assert taken.rcpts == ("RCPT TO:<bob@far.example> ORCPT=rfc822;bob@far.example",)
    await sink.idle()
    assert sink.lines == ["EHLO mail.example.com", taken.mail, taken.rcpts[0], "DATA", "QUIT"]


async def test_each_recipient_gets_what_the_server_said_to_it(sink):
    h = house({"192.0.2.1": sink.port})
    outcomes = await deliver(h, request("bob@far.example", "550@far.example", "451@far.example"))
    assert outcomes[0].fate is Fate.DELIVERED
    assert outcomes[1].fate is Fate.BOUNCED
    assert outcomes[1].dsn.reason == (
        "host 192.0.2.1[192.0.2.1] said: 550 5.1.1 <550@far.example>: said on purpose (in reply to RCPT TO command)"
    )
    assert outcomes[1].dsn.diagnostic == "550 5.1.1 <550@far.example>: said on purpose"
    assert outcomes[2].fate is Fate.DEFERRED
    assert outcomes[2].dsn.status == "4.1.1"
    assert not outcomes[2].destination_failed
    assert sink.taken[0].recipients == ("bob@far.example",)


async def test_without_pipelining_and_with_every_recipient_refused_no_data_is_sent(sinks):
    sink = await started(Script(keywords=("SIZE",)), sinks)
    h = house({"192.0.2.1": sink.port})
    outcomes = await deliver(h, request("550@far.example", "551@far.example"))
    assert {o.fate for o in outcomes.values()} == {Fate.BOUNCED}
    assert "DATA" not in sink.lines


async def test_data_accepted_for_nobody_gets_an_empty_message(sinks):
    sink = await started(Script(replies={"DATA": ["354 go"]}), sinks)
    sink.script.replies["RCPT"] = ["550 no"]
    sink.script.replies["."] = ["554 nobody"]
    h = house({"192.0.2.1": sink.port})
    outcome = (await deliver(h, request("bob@far.example")))[0]
    assert outcome.dsn.reason == "host 192.0.2.1[192.0.2.1] said: 550 no (in reply to RCPT TO command)"
    assert outcome.dsn.status == "5.0.0"


async def test_a_reply_of_two_lines_after_the_dot_is_said_as_postfix_says_it(sinks):
    sink = await started(Script(replies={".": ["552-5.3.4 too big\n552 5.3.4 really"]}), sinks)
    h = house({"192.0.2.1": sink.port})
    outcomes = await deliver(h, request("a@far.example", "b@far.example"))
    for outcome in outcomes.values():
        assert outcome.fate is Fate.BOUNCED
        assert outcome.dsn.status == "5.3.4"
        assert outcome.dsn.reason == (
            "host 192.0.2.1[192.0.2.1] said: 552-5.3.4 too big 552 5.3.4 really (in reply to end of DATA command)"
        )
        assert outcome.dsn.diagnostic == "552-5.3.4 too big 552 5.3.4 really"


async def test_a_server_without_ehlo_gets_helo(sinks):
    sink = await started(Script(replies={"EHLO": ["502 what?"]}), sinks)
    h = house({"192.0.2.1": sink.port})
    assert (await deliver(h, request("bob@far.example")))[0].fate is Fate.DELIVERED
    assert sink.lines[:3] == ["EHLO mail.example.com", "HELO mail.example.com", "MAIL FROM:<ann@example.com>"]


MX = {
    ("far.example", "MX"): [(10, "mx1.far.example"), (20, "mx2.far.example")],
    ("mx1.far.example", "A"): ["192.0.2.1"],
    ("mx2.far.example", "A"): ["192.0.2.2"],
}


async def test_the_next_host_is_tried_when_the_first_is_down(sink):
    h = house({"192.0.2.2": sink.port}, MX)
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert outcome.fate is Fate.DELIVERED
    assert outcome.relay == "mx2.far.example[192.0.2.2]:25"
    assert h.log == ["postfix/smtp: connect to mx1.far.example[192.0.2.1]:25: Connection refused"]


@pytest.mark.parametrize("greeting", ["421 4.3.2 busy", "554 5.7.1 go away"])
async def test_the_next_host_is_tried_when_the_first_does_not_want_to_talk(sink, sinks, greeting):
    first = await started(Script(greeting=greeting), sinks)
    h = house({"192.0.2.1": first.port, "192.0.2.2": sink.port}, MX)
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert outcome.fate is Fate.DELIVERED


async def test_a_5xx_greeting_bounces_when_it_is_not_to_be_skipped(sinks):
    first = await started(Script(greeting="554 5.7.1 go away"), sinks)
    h = house({"192.0.2.1": first.port}, smtp_skip_5xx_greeting=False)
    outcome = (await deliver(h, request("bob@far.example")))[0]
    assert outcome.fate is Fate.BOUNCED
    assert outcome.dsn.reason == "host 192.0.2.1[192.0.2.1] refused to talk to me: 554 5.7.1 go away"


async def test_what_one_host_defers_the_next_may_take(sink, sinks):
    first = await started(Script(replies={"RCPT b@far.example": ["451 4.2.0 later"]}), sinks)
    h = house({"192.0.2.1": first.port, "192.0.2.2": sink.port}, MX)
    outcomes = await deliver(h, request("a@far.example", "b@far.example", nexthop="far.example"))
    assert [outcomes[n].relay for n in (0, 1)] == ["mx1.far.example[192.0.2.1]:25", "mx2.far.example[192.0.2.2]:25"]
    assert h.log == [
        "postfix/smtp: 4E2F623E293: host mx1.far.example[192.0.2.1] said: 451 4.2.0 later (in reply to RCPT TO command)"
    ]


async def test_nobody_answering_defers_with_the_last_reason_and_no_relay():
    h = house({}, MX)
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert (outcome.fate, outcome.relay, outcome.destination_failed) == (Fate.DEFERRED, "none", True)
    assert outcome.dsn.status == "4.4.1"
    assert outcome.dsn.reason == "connect to mx2.far.example[192.0.2.2]:25: Connection refused"


async def test_a_domain_without_mx_is_its_own_host(sink):
    h = house({"192.0.2.9": sink.port}, {("far.example", "A"): ["192.0.2.9"]})
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert outcome.relay == "far.example[192.0.2.9]:25"


async def test_a_domain_that_does_not_exist_bounces():
    outcome = (await deliver(house({}), request("bob@nowhere.example", nexthop="nowhere.example")))[0]
    assert outcome.fate is Fate.BOUNCED
    assert outcome.dsn.status == "5.4.4"
    assert outcome.dsn.reason.startswith("Host or domain name not found. Name service error for name=nowhere.example")


async def test_a_relayhost_that_does_not_exist_defers():
    h = house({}, relayhost="[nowhere.example]")
    outcome = (await deliver(h, request("bob@far.example", nexthop="[nowhere.example]")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.3.5")
    assert "postfix/smtp: warning: relayhost configuration problem" in h.log


async def test_dns_that_cannot_be_asked_defers():
    h = house({}, {("far.example", "MX"): None})
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.4.3")


async def test_an_mx_that_is_ourselves_loops():
    h = house({}, MX, own=("192.0.2.1",))
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert outcome.fate is Fate.BOUNCED
    assert (outcome.dsn.status, outcome.dsn.reason) == ("5.4.6", "mail for far.example loops back to myself")


async def test_a_server_with_our_own_name_loops(sinks):
    sink = await started(Script(name="mail.example.com"), sinks)
    h = house({"192.0.2.1": sink.port}, MX)
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.BOUNCED, "5.4.6")
    assert (
        "postfix/smtp: warning: host mx1.far.example[192.0.2.1]:25 greeted me with my own hostname mail.example.com"
        in h.log
    )


async def test_the_fallback_relay_takes_what_cannot_be_delivered(sink):
    h = house({"192.0.2.7": sink.port}, MX, smtp_fallback_relay=("[192.0.2.7]",))
    outcome = (await deliver(h, request("bob@far.example", nexthop="far.example")))[0]
    assert outcome.relay == "192.0.2.7[192.0.2.7]:25"


async def test_several_nexthops_are_tried_in_order(sink):
    h = house({"192.0.2.8": sink.port})
    outcome = (await deliver(h, request("bob@far.example", nexthop="[192.0.2.7]:26, [192.0.2.8]:27")))[0]
    assert outcome.relay == "192.0.2.8[192.0.2.8]:27"


async def test_dsn_parameters_go_on_to_a_server_that_knows_them(sink):
    h = house({"192.0.2.1": sink.port})
    recipient = Recipient("b@far.example", "b@far.example", Notify.SUCCESS | Notify.DELAY, "rfc822;joe+2Btag@x")
    outcome = (await deliver(h, request(recipient, ret="HDRS", envid="QQ+2B1", body="8BITMIME")))[0]
    assert sink.taken[0].mail == "MAIL FROM:<ann@example.com> SIZE=20 BODY=8BITMIME ENVID=QQ+2B1 RET=HDRS"
    assert sink.taken[0].rcpts == ("RCPT TO:<b@far.example> ORCPT=rfc822;joe+2Btag@x NOTIFY=SUCCESS,DELAY",)
    assert outcome.dsn.action == "passed-on"


async def test_a_message_too_big_for_the_server_is_not_sent(sinks):
    sink = await started(Script(keywords=("SIZE 10",)), sinks)
    outcome = (await deliver(house({"192.0.2.1": sink.port}), request("b@far.example")))[0]
    assert outcome.dsn.reason == "message size 20 exceeds size limit 10 of server 192.0.2.1[192.0.2.1]"
    assert (outcome.fate, outcome.dsn.status) == (Fate.BOUNCED, "5.3.4")


async def test_smtputf8_is_required_only_where_something_needs_it(sinks):
    sink = await started(Script(keywords=("8BITMIME",)), sinks)
    outcome = (await deliver(house({"192.0.2.1": sink.port}), request("dömi@far.example", smtputf8=True)))[0]
    assert (outcome.dsn.status, outcome.dsn.reason) == (
        "5.6.7",
        "SMTPUTF8 is required, but was not offered by host 192.0.2.1[192.0.2.1]",
    )
    outcome = (await deliver(house({"192.0.2.1": sink.port}), request("b@far.example", smtputf8=True)))[0]
    assert outcome.fate is Fate.DELIVERED


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({"EHLO": [""]}, "lost connection with 192.0.2.1[192.0.2.1] while performing the EHLO handshake"),
        ({"MAIL": [""]}, "lost connection with 192.0.2.1[192.0.2.1] while sending MAIL FROM"),
        ({"RCPT": [""]}, "lost connection with 192.0.2.1[192.0.2.1] while sending RCPT TO"),
        (
            {".": [""]},
            "lost connection with 192.0.2.1[192.0.2.1] while sending end of data -- message may be sent more than once",
        ),
    ],
)
async def test_a_connection_that_breaks_defers(sinks, replies, reason):
    sink = await started(Script(replies=replies), sinks)
    outcome = (await deliver(house({"192.0.2.1": sink.port}), request("b@far.example")))[0]
    assert (outcome.fate, outcome.dsn.status, outcome.dsn.reason) == (Fate.DEFERRED, "4.4.2", reason)
    assert outcome.destination_failed


async def test_a_server_that_does_not_answer_times_out(sink):
    h = house({"192.0.2.1": sink.port}, smtp_rcpt_timeout=0.05)
    outcome = (await deliver(h, request("timeout@far.example")))[0]
    assert outcome.dsn.reason == "conversation with 192.0.2.1[192.0.2.1] timed out while sending RCPT TO"


async def test_a_refusal_stands_when_the_connection_breaks_later(sinks):
    sink = await started(Script(replies={".": [""]}), sinks)
    outcomes = await deliver(house({"192.0.2.1": sink.port}), request("550@far.example", "b@far.example"))
    assert [outcomes[n].fate for n in (0, 1)] == [Fate.BOUNCED, Fate.DEFERRED]


async def test_connections_are_used_again_while_there_is_more_mail(sink):
    h = house({"192.0.2.1": sink.port})
    gate = asyncio.Semaphore(4)

    async def one(number: int) -> int:
        async with gate:
            outcomes = await h.agent.deliver(request(f"u{number}@far.example"))
            return outcomes[0].connection_uses

    uses = await asyncio.gather(*(one(n) for n in range(40)))
    await h.agent.close()
    assert len(sink.taken) == 40
    assert sink.connections <= 8
    assert max(uses) > 2


async def test_a_lone_message_keeps_no_connection(sink):
    h = house({"192.0.2.1": sink.port})
    for number in range(2):
        await h.agent.deliver(request(f"u{number}@far.example"))
    await h.agent.close()
    assert sink.connections == 2
    await sink.idle()
    assert sink.lines.count("QUIT") == 2


async def test_the_reuse_count_limit_holds(sink):
    h = house({"192.0.2.1": sink.port}, smtp_connection_reuse_count_limit=2)
    for number in range(8):
        await h.agent.deliver(request(f"u{number}@far.example"))
    await h.agent.close()
    assert sink.connections == 4  # two alone, then each is used twice again


async def test_a_kept_connection_that_the_server_closed_costs_nothing(sinks):
    sink = await started(Script(), sinks)
    h = house({"192.0.2.1": sink.port}, lookups=Lookups(kept=Everywhere()))
    assert (await h.agent.deliver(request("a@far.example")))[0].fate is Fate.DELIVERED
    sink.script.replies["MAIL"] = ["421 4.4.2 timed out", "250 2.1.0 Ok"]
    outcome = (await h.agent.deliver(request("b@far.example")))[0]
    await h.agent.close()
    assert (outcome.fate, outcome.connection_uses) == (Fate.DELIVERED, 1)
    assert sink.connections == 2


async def test_a_transaction_left_open_is_reset_before_the_next(sinks):
    sink = await started(Script(), sinks)
    h = house({"192.0.2.1": sink.port}, lookups=Lookups(kept=Everywhere()))
    await h.agent.deliver(request("550@far.example"))
    outcome = (await h.agent.deliver(request("b@far.example")))[0]
    await h.agent.close()
    assert (outcome.fate, outcome.connection_uses) == (Fate.DELIVERED, 2)
    assert "RSET" in sink.lines


async def test_a_probe_asks_and_does_not_deliver(sink):
    h = house({"192.0.2.1": sink.port})
    outcomes = await deliver(h, request("a@far.example", "550@far.example", trace_only=True))
    assert [outcomes[n].fate for n in (0, 1)] == [Fate.DELIVERED, Fate.BOUNCED]
    assert outcomes[0].dsn.reason == "250 2.1.5 Ok"
    await sink.idle()
    assert sink.lines[-2:] == ["RSET", "QUIT"]
    assert not sink.taken


async def test_lmtp_gives_each_recipient_its_own_fate(sinks, tmp_path):
    path = str(tmp_path / "lmtp")
    sink = SmtpSink(Script(lmtp=True))
    sinks.append(await sink.start(path=path))
    h = house({}, lmtp=True, queue_directory=str(tmp_path))
    outcomes = await deliver(h, request("a@x", "552-data@x", "450-data@x", nexthop="unix:lmtp"))
    assert [outcomes[n].fate for n in (0, 1, 2)] == [Fate.DELIVERED, Fate.BOUNCED, Fate.DEFERRED]
    assert outcomes[0].relay == "mail.example.com[lmtp]"
    assert sink.lines[0] == "LHLO mail.example.com"
    assert sink.taken[0].recipients == ("a@x",)


async def test_lmtp_without_its_socket_defers(tmp_path):
    h = house({}, lmtp=True, queue_directory=str(tmp_path))
    outcome = (await deliver(h, request("a@x", nexthop="unix:private/dovecot-lmtp")))[0]
    assert outcome.dsn.reason == "connect to mail.example.com[private/dovecot-lmtp]: No such file or directory"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"])
async def test_logging_in_by_every_mechanism(sinks, mechanism):
    sink = await started(Script(keywords=("PIPELINING", f"AUTH {mechanism}"), logins={"user": "sec:ret"}), sinks)
    h = house(
        {"192.0.2.1": sink.port}, passwords=FakeMaps({"[192.0.2.1]:25": "user:sec:ret"}), smtp_sasl_auth_enable=True
    )
    assert (await deliver(h, request("b@far.example", nexthop="[192.0.2.1]:25")))[0].fate is Fate.DELIVERED
    assert sink.lines[1].startswith(f"AUTH {mechanism}")


async def test_a_refused_login_defers_as_postfix_says_it(sinks):
    sink = await started(Script(keywords=("AUTH PLAIN LOGIN",), replies={"AUTH": ["535 5.7.8 bad credentials"]}), sinks)
    h = house(
        {"192.0.2.1": sink.port},
        passwords=FakeMaps({"[192.0.2.1]": "user:secret"}),
        smtp_sasl_auth_enable=True,
        smtp_sasl_mechanism_filter=("plain",),
    )
    outcome = (await deliver(h, request("b@far.example")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.7.8")
    assert outcome.dsn.reason == (
        "SASL authentication failed; server 192.0.2.1[192.0.2.1] said: 535 5.7.8 bad credentials"
    )
    assert outcome.relay == "192.0.2.1[192.0.2.1]:25"
    await sink.idle()
    assert sink.lines == ["EHLO mail.example.com", "AUTH PLAIN AHVzZXIAc2VjcmV0", "QUIT"]


async def test_the_password_table_may_part_login_and_password_otherwise(sinks):
    sink = await started(Script(keywords=("AUTH PLAIN",), logins={"a:b": "secret"}), sinks)
    h = house(
        {"192.0.2.1": sink.port},
        passwords=FakeMaps({"192.0.2.1": "a:b|secret"}),
        smtp_sasl_auth_enable=True,
        smtp_sasl_password_result_delimiter="|",
    )
    assert (await deliver(h, request("b@far.example")))[0].fate is Fate.DELIVERED


async def test_a_refused_login_is_not_tried_again_for_a_while(sinks):
    sink = await started(Script(keywords=("AUTH PLAIN",), logins={"joe": "other"}), sinks)
    h = house(
        {"192.0.2.1": sink.port},
        passwords=FakeMaps({"192.0.2.1": "joe:secret"}),
        smtp_sasl_auth_enable=True,
        smtp_sasl_auth_cache_name="proxy:btree:/x",
        smtp_sasl_auth_cache_time=100,
    )
    outcomes = [(await h.agent.deliver(request("b@far.example")))[0] for _ in range(2)]
    reason = "authentication failed; server 192.0.2.1 said: 535 5.7.8 Error: authentication failed"
    assert [outcome.dsn.status for outcome in outcomes] == ["4.7.8", "4.7.8"]
    assert outcomes[1].dsn.reason == f"SASL [CACHED] {reason}"
    assert sum(line.startswith("AUTH") for line in sink.lines) == 1


async def test_no_plaintext_login_without_leave(sinks):
    sink = await started(Script(keywords=("AUTH PLAIN LOGIN",), logins={"user": "secret"}), sinks)
    h = house(
        {"192.0.2.1": sink.port},
        passwords=FakeMaps({"192.0.2.1": "user:secret"}),
        smtp_sasl_auth_enable=True,
        smtp_sasl_security_options=("noplaintext", "noanonymous"),
    )
    outcome = (await deliver(h, request("b@far.example")))[0]
    assert outcome.dsn.reason == (
        "SASL authentication failed; cannot authenticate to server 192.0.2.1[192.0.2.1]: no mechanism available"
    )
    assert not any(line.startswith("AUTH") for line in sink.lines)


async def test_a_broken_password_table_defers(sink):
    h = house({"192.0.2.1": sink.port}, passwords=FakeMaps({}, broken=True), smtp_sasl_auth_enable=True)
    outcome = (await deliver(h, request("b@far.example")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.3.0")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx1.far.example").configure_cert(context)
    return context


def test_no_unknown_tls_level_starts():
    with pytest.raises(ConfigError, match='invalid TLS security level: "tight"'):
        house({}, smtp_tls_security_level="tight")


async def test_opportunistic_tls_encrypts(sinks, server_context):
    sink = await started(Script(tls=server_context), sinks)
    h = house({"192.0.2.1": sink.port}, smtp_tls_security_level="may")
    assert (await deliver(h, request("b@far.example")))[0].fate is Fate.DELIVERED
    assert sink.lines[:3] == ["EHLO mail.example.com", "STARTTLS", "EHLO mail.example.com"]
    assert h.log[0].startswith(
        "postfix/smtp: Untrusted TLS connection established to 192.0.2.1[192.0.2.1]:25: TLSv1.3 with cipher "
    )


async def test_opportunistic_tls_that_fails_goes_in_plain_text(sinks, server_context):
    sink = await started(Script(tls=server_context, replies={"STARTTLS": ["220 go", "220 go"]}), sinks)
    h = house(
        {"192.0.2.1": sink.port}, smtp_tls_security_level="may", smtp_starttls_timeout=0.2, minimal_backoff_time=300
    )
    assert (await deliver(h, request("b@far.example", active_time=301.0)))[0].fate is Fate.DELIVERED
    assert sink.connections == 2


async def test_opportunistic_tls_that_fails_is_tried_again_at_first(sinks, server_context):
    sink = await started(Script(tls=server_context, replies={"STARTTLS": ["220 go"]}), sinks)
    changes = {"smtp_tls_security_level": "may", "smtp_starttls_timeout": 0.2, "minimal_backoff_time": 300}
    h = house({"192.0.2.1": sink.port}, **changes)
    outcome = (await deliver(h, request("b@far.example", active_time=300.0)))[0]
    assert (outcome.fate, outcome.dsn.reason) == (Fate.DEFERRED, "Cannot start TLS: handshake failure")
    assert sink.connections == 1


async def test_mandatory_tls_that_is_not_offered_defers(sink):
    h = house({"192.0.2.1": sink.port}, smtp_tls_security_level="encrypt")
    outcome = (await deliver(h, request("b@far.example")))[0]
    assert (outcome.dsn.status, outcome.dsn.reason) == (
        "4.7.4",
        "TLS is required, but was not offered by host 192.0.2.1[192.0.2.1]",
    )


@pytest.mark.parametrize(
    ("policy", "fate", "reason"),
    [
        ("verify", Fate.DELIVERED, "250 2.0.0 Ok: queued as 000001"),
        ("secure match=.far.example", Fate.DELIVERED, "250 2.0.0 Ok: queued as 000001"),
        ("secure match=nexthop", Fate.DEFERRED, "Server certificate not verified"),
        ("verify match=other.example", Fate.DEFERRED, "Server certificate not verified"),
        ("nonsense", Fate.DEFERRED, "client TLS configuration problem"),
    ],
)
async def test_the_policy_table_says_whose_certificate_will_do(
    sinks, server_context, authority, tmp_path: Path, policy, fate, reason
):
    anchor = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(anchor))
    sink = await started(Script(tls=server_context), sinks)
    zones = {**MX, ("far.example", "MX"): [(10, "mx1.far.example")]}
    h = house(
        {"192.0.2.1": sink.port},
        zones,
        policy=FakeMaps({"far.example": policy}),
        smtp_tls_CAfile=str(anchor),
        smtp_tls_security_level="may",
    )
    outcome = (await deliver(h, request("b@far.example", nexthop="far.example")))[0]
    assert (outcome.fate, outcome.dsn.reason) == (fate, reason)


async def test_a_certificate_without_trust_is_no_verified_one(sinks, server_context):
    sink = await started(Script(tls=server_context), sinks)
    h = house({"192.0.2.1": sink.port}, MX, smtp_tls_security_level="verify")
    outcome = (await deliver(h, request("b@far.example", nexthop="[mx1.far.example]")))[0]
    assert outcome.dsn.reason == "Server certificate not trusted"


async def test_tls_from_the_first_byte(sinks, server_context):
    sink = await started(Script(tls=server_context, wrapper=True), sinks)
    h = house({"192.0.2.1": sink.port}, smtp_tls_security_level="encrypt", smtp_tls_wrappermode=True)
    assert (await deliver(h, request("b@far.example")))[0].fate is Fate.DELIVERED
    assert sink.lines[0] == "EHLO mail.example.com"


async def test_xforward_tells_where_the_mail_came_from(sinks):
    sink = await started(Script(keywords=("XFORWARD NAME ADDR PROTO HELO",)), sinks)
    h = house({"192.0.2.1": sink.port}, smtp_send_xforward_command=True)
    client = Client("peer.example", "192.0.2.77", "1025", helo="hi there", protocol="ESMTP")
    await deliver(h, request("b@far.example", client=client))
    assert sink.lines[1:3] == ["XFORWARD NAME=peer.example ADDR=192.0.2.77", "XFORWARD PROTO=ESMTP HELO=hi+20there"]


class FileBody:
    """A body in chunks, as from a content file; `fails` raises in the middle."""

    def __init__(self, chunks: list[bytes], *, fails: bool = False) -> None:
        self._chunks = chunks
        self._fails = fails

    @property
    def size(self) -> int:
        return sum(map(len, self._chunks))

    async def chunks(self):
        for chunk in self._chunks:
            yield chunk
            if self._fails:
                raise OSError(5, "Input/output error")

    async def read(self) -> bytes:
        return b"".join(self._chunks)


async def test_a_large_body_goes_in_chunks_and_its_dots_survive(sink):
    h = house({"192.0.2.1": sink.port})
    chunks = [b".first\r\n..sec", b"ond\r", b"\n.third\r\n", b"." + b"x" * 5000 + b"\r\n"] + [b"line\r\n" * 10_000] * 4
    content = Content(b"Subject: x\r\n", FileBody(chunks))
    outcome = (await deliver(h, request("b@far.example", content=content)))[0]
    assert outcome.fate is Fate.DELIVERED
    assert sink.taken[0].content.replace(b"\r\n ", b"") == b"Subject: x\r\n\r\n" + b"".join(chunks)


async def test_a_body_that_cannot_be_read_never_ends_in_a_dot(sink):
    h = house({"192.0.2.1": sink.port})
    content = Content(b"Subject: x\r\n", FileBody([b"half\r\n"], fails=True))
    outcome = (await deliver(h, request("b@far.example", content=content)))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.3.0")
    assert not sink.taken


async def test_a_nexthop_that_makes_no_sense_defers():
    outcome = (await deliver(house({}), request("b@far.example", nexthop="[192.0.2.1")))[0]
    assert (outcome.fate, outcome.dsn.status) == (Fate.DEFERRED, "4.3.5")


EIGHT_BIT = (
    b"Subject: x\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=q\r\n",
    b"--q\r\ncontent-transfer-encoding: 8bit\r\nX: y\r\n\r\nb=\xc3\xa9 abc   \r\n"
    b"--q\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\n\xc3\xa9\r\n--q--\r\n",
)


async def test_a_message_that_says_8bit_is_sent_as_such(sink):
    await deliver(house({"192.0.2.1": sink.port}), request("b@x", header=EIGHT_BIT[0], text=EIGHT_BIT[1]))
    assert " BODY=8BITMIME" in sink.taken[0].mail
    assert sink.taken[0].content == b"\r\n".join(EIGHT_BIT)


async def test_a_server_without_8bitmime_gets_quoted_printable(sinks):
    sink = await started(Script(keywords=("PIPELINING",)), sinks)
    await deliver(house({"192.0.2.1": sink.port}), request("b@x", header=EIGHT_BIT[0], text=EIGHT_BIT[1]))
    assert sink.taken[0].mail == "MAIL FROM:<ann@example.com>"
    assert sink.taken[0].content == (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"--q\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nb=3D=C3=A9 abc  =20\r\n"
        b"--q\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--q--\r\n"
    )


async def test_conversion_can_be_switched_off(sinks):
    sink = await started(Script(keywords=("PIPELINING",)), sinks)
    h = house({"192.0.2.1": sink.port}, disable_mime_output_conversion=True)
    await deliver(h, request("b@x", header=EIGHT_BIT[0], text=EIGHT_BIT[1]))
    assert sink.taken[0].content == b"\r\n".join(EIGHT_BIT)


class FakeGeneric:
    async def address(self, address: str) -> str:
        if address == "broken@example.com":
            raise TableRetry("generic table unavailable")
        return {"ann@example.com": "ann@out.example", "bob@far.example": "bob+x@far.example"}.get(address, address)


class FakeChecks:
    """Fields to changes, as ContentChecks gives them."""

    async def check(self, text: str, decision: Decision) -> Finding:
        if text.startswith("Subject:"):
            decision.lines.append((f"replace: header {text}", "Subject: new"))
            return Finding(keep=False, instead="Subject: new")
        if text.startswith("X-Secret:"):
            return Finding(keep=False)
        return Finding(before="X-Before: 1") if text.startswith("To:") else Finding()


async def test_addresses_and_fields_change_on_the_way_out(sink):
    lines = MemorySink()
    log = ProcessLog(lines, "postfix/smtp", 1)
    outgoing = Outgoing(log, FakeGeneric(), FakeChecks())  # type: ignore[arg-type]
    h = house({"192.0.2.1": sink.port}, outgoing=outgoing)
    header = (
        b"Subject: old\r\nX-Secret: 1\r\nFrom: Ann <ann@example.com>\r\n"
        b"To: a@b, bob@far.example\r\nX-Other: ann@example.com\r\n"
    )
    outcome = (await deliver(h, request("bob@far.example", header=header)))[0]
    assert outcome.fate is Fate.DELIVERED
    assert sink.taken[0].sender == "ann@out.example"
    assert sink.taken[0].recipients == ("bob+x@far.example",)
    assert sink.taken[0].content.split(b"\r\n\r\n")[0].split(b"\r\n") == [
        b"Subject: new",
        b"From: Ann <ann@out.example>",
        b"X-Before: 1",
        b"To: a@b, bob+x@far.example",
        b"X-Other: ann@example.com",
    ]
    assert lines.lines == ["postfix/smtp: 4E2F623E293: replace: header Subject: old: Subject: new"]


async def test_a_broken_generic_table_defers(sink):
    outgoing = Outgoing(ProcessLog(MemorySink(), "postfix/smtp", 1), FakeGeneric(), None)  # type: ignore[arg-type]
    h = house({"192.0.2.1": sink.port}, outgoing=outgoing)
    outcome = (await deliver(h, request("b@x", sender="broken@example.com")))[0]
    assert (outcome.fate, outcome.dsn.status, outcome.dsn.reason) == (
        Fate.DEFERRED,
        "4.3.0",
        "generic table unavailable",
    )


DANE_MX = {("far.example", "MX"): [(10, "mx1.far.example")], ("mx1.far.example", "A"): ["192.0.2.1"]}
TLSA_NAME = ("_25._tcp.mx1.far.example", "TLSA")


def leaf(context: ssl.SSLContext, authority: trustme.CA) -> bytes:
    """The certificate that a context shows, by a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname = False
    plain.verify_mode = ssl.CERT_NONE
    client = plain.wrap_bio(to_client, to_server)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return der


@pytest.mark.parametrize(
    ("records", "signed", "level", "fate", "reason"),
    [
        ("match", True, "dane", Fate.DELIVERED, ""),
        ("match", True, "dane-only", Fate.DELIVERED, ""),
        ("other", True, "dane", Fate.DEFERRED, "Server certificate not verified"),
        ("other", False, "dane", Fate.DELIVERED, ""),
        ("match", False, "dane-only", Fate.DEFERRED, "non DNSSEC destination"),
        ("none", True, "dane", Fate.DELIVERED, ""),
        ("none", True, "dane-only", Fate.DEFERRED, "no TLSA records found"),
        ("retry", True, "dane", Fate.DEFERRED, "TLSA lookup error for mx1.far.example:25"),
        ("unusable", True, "dane", Fate.DELIVERED, ""),
    ],
)
async def test_dane(sinks, server_context, authority, records, signed, level, fate, reason):
    sink = await started(Script(tls=server_context), sinks)
    zones: dict[tuple[str, str], list[object] | None] = {**DANE_MX}
    digest = hashlib.sha256(leaf(server_context, authority)).hexdigest()
    if records == "retry":
        zones[TLSA_NAME] = None
    elif records != "none":
        zones[TLSA_NAME] = [
            {"match": f"3 0 1 {digest}", "other": f"3 0 1 {'0' * 64}", "unusable": f"1 0 1 {digest}"}[records]
        ]
    h = house({"192.0.2.1": sink.port}, zones, signed=signed, smtp_tls_security_level=level)
    outcome = (await deliver(h, request("b@far.example", nexthop="far.example")))[0]
    assert outcome.fate is fate
    if reason:
        assert (outcome.dsn.status, outcome.dsn.reason) == ("4.7.5", reason)


async def test_a_host_that_promises_tls_by_unusable_records_must_keep_it(sink):
    zones = {**DANE_MX, TLSA_NAME: ["1 0 1 " + "0" * 64]}
    h = house({"192.0.2.1": sink.port}, zones, signed=True, smtp_tls_security_level="dane")
    outcome = (await deliver(h, request("b@far.example", nexthop="far.example")))[0]
    assert outcome.dsn.status == "4.7.4"


@given(st.text(max_size=60))
def test_any_text_is_a_tlsa_record_or_none(text):
    parse_tlsa(text)
    parse_tlsa("3 1 1 " + text)
