"""Milters: what they are told, and what becomes of what they say or fail to say."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.policy.milter.chain import Chain
from posthouse.policy.milter.connection import MilterConnection
from posthouse.policy.milter.decision import Decision, Kind
from posthouse.policy.milter.edits import rechunked
from posthouse.policy.milter.macros import parse_defaults
from posthouse.policy.milter.milters import Milters, open_local_milters, open_milters, open_smtpd_milters
from posthouse.testkit.milter import EVERYTHING, ScriptedMilter
from posthouse.wire.milter.answer import AddHeader, Edit, Quarantine, ReplaceBody, ReplyCode, Word
from posthouse.wire.milter.command import BODY_CHUNK, Options, Peer
from posthouse.wire.milter.flags import Protocol

CLIENT = Peer(b"c.example", b"4", 4000, b"192.0.2.1")
DEFER = "451 4.7.1 Service unavailable - try again later"
BROKEN = "451 4.3.5 Server configuration problem - try again later"


def configuration(**values: str) -> Configuration:
    return Configuration("/nonexistent", {"myhostname": "mail.example.com", **values})


def milters_of(milter: ScriptedMilter, value: str = "inet:127.0.0.1:1", **values: str) -> Milters:
    found = open_milters(configuration(**values), value, "smtpd_milters", open_stream=milter.connect)
    assert found is not None
    return found


class Letter:
    """A message in memory."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.edits: list[Edit] = []
        self.problem: Decision | None = None

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        return [(b"Subject", b" hi"), (b"X-Tab", b"\tfolded\n more")]

    async def body(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def apply(self, edit: Edit, milter: MilterConnection) -> Decision | None:
        self.edits.append(edit)
        return self.problem

    async def done(self, connection: MilterConnection) -> Decision | None:
        return None


class Session:
    """A chain whose macros are plain, and what it warned of."""

    def __init__(self, milters: Milters) -> None:
        self.warnings: list[str] = []
        self.chain: Chain = milters.begin(self.value, self.warnings.append)

    async def value(self, name: str) -> str | None:
        return {"i": "ABC", "j": "mail.example.com"}.get(name)

    async def show(self, letter: Letter) -> Decision | None:
        return await self.chain.message(letter, self.value, self.warnings.append)


async def settled(milter: ScriptedMilter) -> None:
    await asyncio.gather(*milter.tasks)


async def test_each_command_goes_with_its_macros_and_aborts_end_a_message() -> None:
    milter = ScriptedMilter()
    session = Session(milters_of(milter, milter_rcpt_macros="i, {no}", milter_macro_defaults="no=default"))
    chain = session.chain
    assert await chain.connect(CLIENT) is None
    assert await chain.helo("c") is None
    assert await chain.mail(("<a@x>", "SIZE=3")) is None
    assert await chain.rcpt(("<b@y>",)) is None
    assert await chain.data() is None
    assert await session.show(Letter(b"hello\r\n")) is None
    chain.abort()
    chain.quit()
    await settled(milter)
    assert milter.lines == [
        "O 6 0x1ff 0x1fffff",
        "D C j=mail.example.com",
        "C c.example 4 4000 192.0.2.1",
        "D H ",
        "H c",
        "D M i=ABC",
        "M <a@x>|SIZE=3",
        "D R i=ABC {no}=default",
        "R <b@y>",
        "D T i=ABC",
        "T ",
        "D L i=ABC",
        "L Subject|hi",
        "D L i=ABC",
        "L X-Tab|\\tfolded\\n more",
        "D N i=ABC",
        "N ",
        "D B i=ABC",
        "B 7 hello\\r\\n",
        "D E i=ABC",
        "E ",
        "A ",
        "Q ",
        "closed",
    ]


async def test_a_milter_is_spared_what_it_does_not_want() -> None:
    unwanted = Protocol.NO_CONNECT | Protocol.NO_HEADERS | Protocol.NO_BODY | Protocol.NR_MAIL
    milter = ScriptedMilter(options=Options(6, 0x1FF, int(unwanted)))
    session = Session(milters_of(milter))
    await session.chain.connect(CLIENT)
    await session.chain.mail(("<>",))
    await session.show(Letter(b"x"))
    session.chain.quit()
    await settled(milter)
    letters = [line.split(" ")[0] for line in milter.lines if not line.startswith("D")]
    assert letters == ["O", "M", "N", "E", "Q", "closed"]


async def test_a_milter_names_its_own_macros() -> None:
    milter = ScriptedMilter(options=Options(6, 0x1FF, 0, ((2, b"j"),)))
    session = Session(milters_of(milter))
    await session.chain.connect(CLIENT)
    await session.chain.mail(("<>",))
    assert "D M j=mail.example.com" in milter.lines


@pytest.mark.parametrize(
    ("answer", "kind", "line"),
    [
        (Word.REJECT, Kind.REPLY, "550 5.7.1 Command rejected"),
        (Word.TEMPFAIL, Kind.REPLY, DEFER),
        (Word.DISCARD, Kind.DISCARD, ""),
        (Word.SHUTDOWN, Kind.SHUTDOWN, "421 4.7.0 Server closing connection"),
        (ReplyCode(b"571 5.7.9 100%% no"), Kind.REPLY, "571 5.7.9 100% no"),
        (ReplyCode(b"250 2.0.0 ok"), Kind.REPLY, BROKEN),
        (ReplyCode(b"550 4.7.1 mixed"), Kind.REPLY, BROKEN),
        (Quarantine(b"why"), Kind.HOLD, ""),
    ],
)
async def test_what_a_milter_decides_of_a_sender(answer: Word | ReplyCode | Quarantine, kind: Kind, line: str) -> None:
    milter = ScriptedMilter(script={"M": [answer]})
    session = Session(milters_of(milter))
    await session.chain.connect(CLIENT)
    decision = await session.chain.mail(("<a@x>",))
    assert decision is not None
    assert (decision.kind, decision.line) == (kind, line)
    assert decision.evidence.restriction == "inet:127.0.0.1:1"
    assert decision.evidence.parameter == "smtpd_milters"


async def test_a_decision_at_connect_holds_for_the_session() -> None:
    milter = ScriptedMilter(script={"C": [Word.REJECT]})
    chain = Session(milters_of(milter)).chain
    first = await chain.connect(CLIENT)
    assert first is not None
    assert await chain.helo("c") == first == await chain.mail(("<>",))
    await settled(milter)
    assert not any(line.startswith("H") for line in milter.lines)


async def test_accept_lets_one_message_pass() -> None:
    milter = ScriptedMilter(script={"M": [Word.ACCEPT], "R": [Word.REJECT]})
    chain = Session(milters_of(milter)).chain
    await chain.connect(CLIENT)
    await chain.mail(("<>",))
    assert await chain.rcpt(("<b@y>",)) is None
    chain.abort()
    milter.script = {"R": [Word.REJECT]}
    await chain.mail(("<>",))
    assert await chain.rcpt(("<b@y>",)) is not None


async def test_skip_ends_a_run_of_commands() -> None:
    milter = ScriptedMilter(script={"L": [Word.SKIP], "B": [Word.SKIP]})
    session = Session(milters_of(milter))
    await session.chain.connect(CLIENT)
    await session.show(Letter(b"x" * 200_000))
    shown = [line.split(" ")[0] for line in milter.lines if line[0] in "LNBE"]
    assert shown == ["L", "N", "B", "E"]


@pytest.mark.parametrize(
    ("action", "line"),
    [
        ("tempfail", DEFER),
        ("reject", "550 5.5.0 Service unavailable"),
        ("nonsense", BROKEN),
        ("accept", None),
        ("quarantine", ""),
    ],
)
@pytest.mark.parametrize("letter", ["O", "C", "M", "E"])
async def test_a_milter_that_breaks_off_is_replaced_by_its_default_action(
    letter: str, action: str, line: str | None
) -> None:
    milter = ScriptedMilter(drop=letter)
    session = Session(milters_of(milter, milter_default_action=action))
    decisions = [await session.chain.connect(CLIENT), await session.chain.mail(("<>",)), await session.show(Letter())]
    found = [decision for decision in decisions if decision is not None]
    if line is None:
        assert found == []
    else:
        assert found[-1].line == line
        assert f"milter_default_action = {action}" in found[-1].evidence.fact
    assert session.warnings[0].startswith("milter inet:127.0.0.1:1: can't read SMFIC_")
    assert session.warnings[0].endswith("reply packet header: Application error")


async def test_a_milter_that_is_not_there_is_named() -> None:
    async def refuse(endpoint: str, timeout: float) -> None:
        raise ConnectionRefusedError(111, "refused")

    milters = open_milters(configuration(), "inet:127.0.0.1:1", "smtpd_milters", open_stream=refuse)  # type: ignore[arg-type] # never a stream
    assert milters is not None
    session = Session(milters)
    decision = await session.chain.connect(CLIENT)
    assert decision is not None
    assert decision.line == DEFER
    assert session.warnings == ["connect to Milter service inet:127.0.0.1:1: Connection refused"]


async def test_a_silent_milter_has_its_deadline() -> None:
    milter = ScriptedMilter(mute="M")
    session = Session(milters_of(milter, "{ inet:127.0.0.1:1, command_timeout = 1s, default_action = accept }"))
    await session.chain.connect(CLIENT)
    connection = session.chain.connections[0]
    connection.endpoint = replace(connection.endpoint, command_timeout=0)
    assert await session.chain.mail(("<>",)) is None
    assert session.warnings == [
        "milter inet:127.0.0.1:1: can't read SMFIC_MAIL reply packet header: Connection timed out"
    ]


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (Options(9, 0x1FF, 0), "protocol version 9 conflict with MTA protocol version 6"),
        (Options(6, 0xFFFF, 0), "request mask 0xffff conflict with MTA request mask 0x1ff"),
    ],
)
async def test_a_milter_that_wants_too_much_is_not_used(options: Options, warning: str) -> None:
    milter = ScriptedMilter(raw={"O": bytes(options)})
    session = Session(milters_of(milter))
    assert await session.chain.connect(CLIENT) is not None
    assert session.warnings == [f"milter inet:127.0.0.1:1: {warning}"]


@pytest.mark.parametrize(
    ("protocol", "offered"),
    [
        ("2", "O 2 0x1ff 0x7f"),
        ("3", "O 3 0x1ff 0x17f"),
        ("4", "O 4 0x1ff 0x37f"),
        ("2 no_header_reply", "O 2 0x1ff 0xff"),
    ],
)
async def test_the_version_says_what_is_offered(protocol: str, offered: str) -> None:
    milter = ScriptedMilter()
    await Session(milters_of(milter, milter_protocol=protocol)).chain.connect(CLIENT)
    assert milter.lines[0] == offered


@pytest.mark.parametrize("protocol", ["5", "six", "", "2 6", "no_header_reply"])
async def test_a_version_that_nobody_speaks_is_an_error(protocol: str) -> None:
    session = Session(milters_of(ScriptedMilter(), milter_protocol=protocol or " "))
    decision = await session.chain.connect(CLIENT)
    assert decision is not None
    assert decision.line == BROKEN


async def test_changes_are_made_in_their_order_and_a_problem_is_the_answer() -> None:
    edits = [AddHeader(b"X-A", b"1"), ReplaceBody(b"new"), Quarantine(b"look")]
    session = Session(milters_of(ScriptedMilter(script={"E": edits})))
    await session.chain.connect(CLIENT)
    letter = Letter(b"old")
    decision = await session.show(letter)
    assert decision is not None
    assert decision.kind is Kind.HOLD
    assert letter.edits == edits[:2]
    letter.problem = Decision(Kind.REPLY, "552 5.3.4 Too big")
    assert await session.show(letter) == letter.problem


async def test_a_change_before_the_end_of_the_message_is_no_answer() -> None:
    session = Session(milters_of(ScriptedMilter(script={"L": [AddHeader(b"X-A", b"1")]})))
    await session.chain.connect(CLIENT)
    decision = await session.show(Letter())
    assert decision is not None
    assert decision.line == DEFER
    assert session.warnings == [
        "milter inet:127.0.0.1:1: unexpected filter response SMFIR_ADDHEADER after event SMFIC_HEADER"
    ]


async def test_a_body_in_two_runs_is_refused() -> None:
    edits = [ReplaceBody(b"a"), AddHeader(b"X", b"y"), ReplaceBody(b"b")]
    session = Session(milters_of(ScriptedMilter(script={"E": edits})))
    await session.chain.connect(CLIENT)
    decision = await session.show(Letter())
    assert decision is not None
    assert decision.line == BROKEN


async def test_half_a_body_is_never_accepted() -> None:
    milter = ScriptedMilter(raw={"E": bytes(ReplaceBody(b"half")) + b"\0\0\0\x01Z"})
    session = Session(milters_of(milter, milter_default_action="accept"))
    await session.chain.connect(CLIENT)
    decision = await session.show(Letter(b"whole"))
    assert decision is not None
    assert decision.line == DEFER


async def test_the_first_refusal_counts_and_the_next_milter_is_not_asked() -> None:
    first, second = ScriptedMilter(script={"R": [b"<no@", Word.REJECT]}), ScriptedMilter()
    ways = {"inet:127.0.0.1:1": first, "inet:127.0.0.1:2": second}

    async def connect(endpoint: str, timeout: float) -> object:
        return await ways[endpoint].connect()

    milters = open_milters(configuration(), " ".join(ways), "smtpd_milters", open_stream=connect)  # type: ignore[arg-type] # a TcpStream
    assert milters is not None
    chain = Session(milters).chain
    await chain.connect(CLIENT)
    assert await chain.rcpt(("<no@y>",)) is not None
    assert await chain.rcpt(("<yes@y>",)) is None
    assert [line for line in second.lines if line.startswith("R")] == ["R <yes@y>"]


async def test_what_is_to_be_discarded_is_shown_to_nobody_else() -> None:
    milter = ScriptedMilter(script={"M": [Word.DISCARD]})
    chain = Session(milters_of(milter)).chain
    await chain.connect(CLIENT)
    await chain.mail(("<>",))
    assert chain.discard is not None
    assert await chain.rcpt(("<b@y>",)) is None
    chain.abort()
    assert chain.discard is None


async def test_refused_recipients_are_for_those_who_want_them() -> None:
    for options, lines in ((EVERYTHING, []), (Options(6, 0x1FF, int(Protocol.RCPT_REJECTED)), ["R <no@y>"])):
        milter = ScriptedMilter(options=options)
        chain = Session(milters_of(milter)).chain
        await chain.connect(CLIENT)
        await chain.rcpt(("<no@y>",), rejected=True)
        assert [line for line in milter.lines if line.startswith("R")] == lines


async def test_a_body_goes_in_full_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 20_000

    sizes = [len(chunk) async for chunk in rechunked(pieces())]
    assert sizes == [BODY_CHUNK, BODY_CHUNK, BODY_CHUNK, 200_000 - 3 * BODY_CHUNK]


def test_a_milter_has_settings_of_its_own() -> None:
    text = (
        "{ inet:[::1]:8891, connect_timeout = 1m, command_timeout=5s, protocol = 2, default_action = accept } unix:a/b"
    )
    milters = open_milters(configuration(), text, "smtpd_milters")
    assert milters is not None
    first, second = milters.endpoints
    assert (first.name, first.connect_timeout, first.command_timeout, first.content_timeout) == (
        "inet:[::1]:8891",
        60,
        5,
        300,
    )
    assert (first.protocol, first.default_action) == ("2", "accept")
    assert (second.name, second.default_action) == ("unix:a/b", "tempfail")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{ inet:h:1, foo = bar }", 'unknown option: "foo = bar"'),
        ("{ inet:h:1, command_timeout = xx }", "command_timeout: bad time value or unit: xx"),
        ("{ }", "empty milter service: { }"),
    ],
)
def test_wrong_settings_are_told(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_milters(configuration(), text, "smtpd_milters")
    assert error in str(raised.value)


async def test_a_table_turns_milters_off_for_a_client() -> None:
    found = open_smtpd_milters(
        configuration(
            smtpd_milters="inet:127.0.0.1:1",
            smtpd_milter_maps="inline:{192.0.2.1=DISABLE, {192.0.2.2=inet:127.0.0.1:2 inet:127.0.0.1:3}}",
        )
    )
    assert found is not None
    assert await found.for_client("192.0.2.1") is None
    other = await found.for_client("192.0.2.2")
    assert other is not None
    assert [endpoint.name for endpoint in other.endpoints] == ["inet:127.0.0.1:2", "inet:127.0.0.1:3"]
    assert await found.for_client("192.0.2.3") is found.milters


def test_no_milters_means_none() -> None:
    given = {"smtpd_milters": "inet:h:1", "non_smtpd_milters": "inet:h:1"}
    assert open_smtpd_milters(configuration()) is None
    assert open_local_milters(configuration()) is None
    assert open_smtpd_milters(configuration(**given, receive_override_options="no_milters")) is None
    assert open_local_milters(configuration(**given, receive_override_options="no_milters")) is None


def test_defaults_of_macros_are_pairs() -> None:
    assert parse_defaults("{a}=1, b=2 { c = three words }") == {"a": "1", "b": "2", "c": "three words"}


def test_a_reply_is_told_apart_by_its_status() -> None:
    assert Decision(Kind.REPLY, "550-5.7.1 a\r\n550 5.7.1 b").parts == (550, "5.7.1", "a\nb")
    assert Decision(Kind.REPLY, "550 no status").parts == (550, "", "no status")
    assert Decision(Kind.REPLY, "554 5.7.1").parts == (554, "", "5.7.1")
