"""One milter's connection during one SMTP session: its dialogue, and what it decided so far.

Each command is sent with its macros and answered before the next one, except where the milter agreed
not to see it or not to answer it. A milter that cannot be reached, breaks off, is too slow or talks
nonsense is asked no more in this session, and its default action holds; so does a decision about the
whole connection. Nothing here lasts longer than the timeouts of its endpoint.

Standards: none; libmilter's protocol as Postfix 3.7 speaks it (MILTER_README).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from enum import Enum
from typing import Protocol as Shape

from posthouse.config.error import ConfigError
from posthouse.dns.resolver import DnsRetry
from posthouse.envelope.verdict import Evidence
from posthouse.net.stream import StreamTimeout
from posthouse.policy.milter.decision import Decision, Kind, well_formed
from posthouse.policy.milter.dialogue import Dialogue, MilterFailed, reason
from posthouse.policy.milter.edits import Edits, rechunked
from posthouse.policy.milter.endpoint import Endpoint
from posthouse.policy.milter.macros import MacroNames, Value
from posthouse.policy.reach import Reach
from posthouse.wire.milter import command
from posthouse.wire.milter.answer import Edit, Quarantine, ReplyCode, Word, parse_answer
from posthouse.wire.milter.command import NAMES as EVENTS
from posthouse.wire.milter.flags import ACTIONS_6, SKIPS, VERSIONS, Protocol
from posthouse.wire.milter.packet import MilterProtocolError, packet

REJECTED = "550 5.7.1 Command rejected"
UNAVAILABLE = "451 4.7.1 Service unavailable - try again later"
UNAVAILABLE_FOR_GOOD = "550 5.5.0 Service unavailable"
MISCONFIGURED = "451 4.3.5 Server configuration problem - try again later"

Apply = Callable[[Edit, "MilterConnection"], Awaitable[Decision | None]]
"""Makes a change to the message; a decision when that cannot be done."""


class State(Enum):
    """Where a connection stands."""

    NEW = "new"
    OPEN = "open"
    PASSED = "passed"
    """The milter has seen enough of this message."""
    OVER = "over"
    """It is asked no more in this session: it decided about the connection, or failed."""


class Inspected(Shape):
    """A message as the milters before have left it."""

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Name and value of each field, the value with the blank behind the colon; our own Received left out."""

    def body(self) -> AsyncIterator[bytes]:
        """The body in pieces."""


class MilterConnection:
    """One milter, from connect to quit."""

    __slots__ = (
        "_announced",
        "_dialogue",
        "_macros",
        "_open",
        "_protocol",
        "_skipped",
        "_torn",
        "_warn",
        "endpoint",
        "settled",
        "state",
    )

    def __init__(self, endpoint: Endpoint, macros: MacroNames, open_stream: Reach, warn: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self.state = State.NEW
        self.settled: Decision | None = None
        """What every further command gets: the default action after a failure, a decision about the connection."""
        self._torn = False
        """Whether a new body has begun to come, and its end is not there yet."""
        self._macros = macros
        self._open = open_stream
        self._warn = warn
        self._dialogue: Dialogue | None = None
        self._announced = self._protocol = Protocol(0)
        self._skipped = b""

    # -- the beginning and the end --------------------------------------------------------

    async def connect(self, peer: command.Peer, value: Value) -> Decision | None:
        """A client connected: connect to the milter, agree on the protocol, tell it."""
        await self._begin()
        if self.state is not State.OPEN:
            return self.settled
        return await self.ask(command.CONNECT, bytes(peer), value)

    async def _begin(self) -> None:
        endpoint = self.endpoint
        offered = self._offer()
        if offered is None:
            return
        version, events = offered
        try:
            stream = await self._open(endpoint.name, float(endpoint.connect_timeout))
        except ConfigError as error:
            self._misconfigured(f"invalid transport name: {error} in Milter service: {endpoint.name}")
            return
        except (OSError, StreamTimeout, DnsRetry) as error:
            self._fail(f"connect to Milter service {endpoint.name}: {reason(error)}", name=False)
            return
        self.state = State.OPEN
        dialogue = self._dialogue = Dialogue(endpoint, stream)
        dialogue.say(bytes(command.Options(version, int(ACTIONS_6), int(events))))
        try:
            letter, data = await dialogue.answer(command.OPTIONS)
            if letter != command.OPTIONS:
                shown = letter.decode("latin-1")
                self._fail(f'unexpected reply "{shown}" in initial handshake')
                return
            chosen = command.parse_options(data)
        except (MilterFailed, MilterProtocolError) as error:
            self._fail(str(error))
            self._warn(f"milter {endpoint.name}: read error in initial handshake")
            return
        if chosen.version > version:
            self._fail(f"protocol version {chosen.version} conflict with MTA protocol version {version}")
            return
        if chosen.actions & ~int(ACTIONS_6):
            self._fail(f"request mask {chosen.actions:#x} conflict with MTA request mask {int(ACTIONS_6):#x}")
            return
        if chosen.version not in VERSIONS:
            self._warn(f"milter {endpoint.name}: unexpected protocol version {chosen.version}")
        self._protocol = Protocol(chosen.protocol & 0x1FFFFF)
        self._macros = self._macros.chosen(chosen.macros)

    def _offer(self) -> tuple[int, Protocol] | None:
        """Version and protocol bits from milter_protocol; None when it makes no sense."""
        version, events, unanswered = 0, Protocol(0), Protocol(0)
        for word in self.endpoint.protocol.replace(",", " ").split():
            if not version and word.isascii() and word.isdigit() and int(word) in VERSIONS:
                version = int(word)
                events = VERSIONS[version]
            elif word == "no_header_reply":
                unanswered = Protocol.NR_HEADERS
            else:
                self._misconfigured(f"milter {self.endpoint.name}: bad protocol information: {word}")
                return None
        if not version:
            self._misconfigured(f"milter {self.endpoint.name}: no protocol version information")
            return None
        self._announced = events
        return version, events | unanswered

    @property
    def leading_space(self) -> bool:
        """Whether header values come and go with the blank behind the colon."""
        return bool(self._protocol & Protocol.LEADING_SPACE)

    def abort(self) -> None:
        """The transaction is over: RSET, EHLO, the end of a message. Not answered."""
        if self.state in (State.OPEN, State.PASSED) and self._dialogue is not None:
            self.state = State.OPEN
            self._skipped = b""
            self._dialogue.say(packet(command.ABORT))
            self._dialogue.flush()

    def quit(self) -> None:
        """The session is over."""
        if self._dialogue is not None:
            self._dialogue.say(packet(command.QUIT))
            self._dialogue.flush()
        self._leave()

    # -- commands -------------------------------------------------------------------------

    async def ask(
        self, letter: bytes, data: bytes, value: Value, apply: Apply | None = None, rejected: bool = False
    ) -> Decision | None:
        """Send a command, whole as a packet, and hear what the milter says. `rejected`: a recipient that was refused
        already, which only some milters want to see."""
        dialogue = self._dialogue
        if self.state is not State.OPEN or self.settled is not None or dialogue is None:
            return self.settled
        unwanted, unanswered = SKIPS[letter]
        if rejected and not self._protocol & Protocol.RCPT_REJECTED:
            return self.settled
        if (unwanted and not unwanted & self._announced) or letter == self._skipped:
            return self.settled  # the version does not have it, or the milter has seen enough of these
        self._skipped = b""
        unseen = bool(unwanted & self._protocol)
        if unseen and letter in command.CONTENT:
            return self.settled
        # Macros of an envelope's command go out even when the command itself does not.
        dialogue.say(command.macros(letter, await self._macros.values(letter, value)))
        if unseen:
            return self.settled
        dialogue.say(data)
        try:
            if not unanswered & self._protocol:
                return await self._answer(dialogue, letter, apply)
            if dialogue.full:
                await dialogue.drain(letter)
        except MilterFailed as error:
            self._fail(str(error))
        except MilterProtocolError as error:
            self._fail(f"{error} after event {EVENTS[letter]}" if "filter response" in str(error) else str(error))
        return self.settled

    async def message(self, message: Inspected, value: Value, apply: Apply) -> Decision | None:
        """Show the milter a whole message and make the changes it wants."""
        if self.state is not State.OPEN:
            return self.settled
        self.settled = None  # a wish to hold the message is kept by who heard it
        decision = await self._show(message, value, apply)
        if self._dialogue is not None:
            self.settled = None  # it was about this message
        return decision

    async def _show(self, message: Inspected, value: Value, apply: Apply) -> Decision | None:
        for name, text in message.fields():
            if not self.leading_space and text.startswith(b" "):
                text = text[1:]
            decision = await self.ask(command.HEADER, command.strings(command.HEADER, name, text), value)
            if decision is not None or self.state is not State.OPEN:
                return decision
        decision = await self.ask(command.END_OF_HEADERS, packet(command.END_OF_HEADERS), value)
        if decision is not None or self.state is not State.OPEN:
            return decision
        if not self._protocol & Protocol.NO_BODY:
            async for chunk in rechunked(message.body()):
                decision = await self.ask(command.BODY, packet(command.BODY, chunk), value)
                if decision is not None or self.state is not State.OPEN:
                    return decision
                if self._skipped == command.BODY:
                    break
        decision = await self.ask(command.END_OF_BODY, packet(command.END_OF_BODY), value, apply)
        if self._torn and self._dialogue is None and decision is None:
            # Whatever milter_default_action says: half a body is nobody's message.
            decision = Decision(Kind.REPLY, UNAVAILABLE, self.evidence("broke off while it replaced the body"))
        self._torn = False
        return decision

    async def _answer(self, dialogue: Dialogue, letter: bytes, apply: Apply | None) -> Decision | None:
        edits = Edits(None if apply is None else lambda edit: apply(edit, self))
        while True:
            answer = parse_answer(*await dialogue.answer(letter))
            match answer:
                case Word.PROGRESS:
                    continue
                case Word.CONTINUE:
                    return edits.failed or self.settled
                case Word.ACCEPT:
                    if letter in (command.CONNECT, command.HELO):
                        self._leave()
                    else:
                        self.state = State.PASSED
                    return edits.failed or self.settled
                case Word.DISCARD:
                    if letter in (command.CONNECT, command.HELO):
                        self._warn(f"milter {self.endpoint.name}: DISCARD action is not allowed for connect or helo")
                        return self.settled
                    self.state = State.PASSED
                    return self._decision(Kind.DISCARD, "", letter)
                case Word.REJECT:
                    return self._reply(letter, REJECTED)
                case Word.TEMPFAIL:
                    return self._reply(letter, UNAVAILABLE)
                case Word.SHUTDOWN:
                    self.settled = self._decision(Kind.SHUTDOWN, "421 4.7.0 Server closing connection", letter)
                    self._leave()
                    return self.settled
                case Word.SKIP:
                    self._skipped = letter
                    return self.settled
                case ReplyCode(line):
                    text = line.replace(b"%%", b"%").decode("utf-8", "surrogateescape")
                    if not well_formed(text):
                        self._misconfigured(f"milter {self.endpoint.name}: malformed reply: {text}")
                        return self.settled
                    return self._reply(letter, text)
                case Quarantine(why):
                    shown = why.decode("utf-8", "replace")
                    self.settled = self._decision(Kind.HOLD, "", letter, f"quarantine: {shown}")
                case Word.CONNECTION_FAILURE:
                    raise MilterFailed(f"unexpected filter response SMFIR_CONN_FAIL after event {EVENTS[letter]}")
                case Word():
                    raise AssertionError(answer)
                case _:
                    if not edits.allowed:
                        raise MilterFailed(
                            f"unexpected filter response {edits.name(answer)} after event {EVENTS[letter]}"
                        )
                    problem = await edits.make(answer)
                    self._torn = edits.torn
                    if problem:
                        self._misconfigured(f"milter {self.endpoint.name}: {problem}")
                        return self.settled

    def _reply(self, letter: bytes, line: str) -> Decision:
        decision = self._decision(Kind.REPLY, line, letter)
        if letter in (command.CONNECT, command.HELO):
            self.settled = decision
            self._leave()
        return decision

    def _decision(self, kind: Kind, line: str, letter: bytes, fact: str = "") -> Decision:
        said = fact or line or kind.value.removeprefix("milter-")
        return Decision(kind, line, self.evidence(f"{EVENTS[letter]}: {said}"))

    def evidence(self, fact: str) -> Evidence:
        """A reason of this milter's, for the journal."""
        return Evidence(self.endpoint.parameter, self.endpoint.origin, self.endpoint.name, fact)

    # -- failures -------------------------------------------------------------------------

    def _leave(self) -> None:
        """The connection to the milter is of no more use."""
        self.state = State.OVER
        if self._dialogue is not None:
            self._dialogue.close()
            self._dialogue = None

    def _fail(self, why: str, *, name: bool = True) -> None:
        """It cannot be asked any more: milter_default_action holds for the rest of the session."""
        self._warn(f"milter {self.endpoint.name}: {why}" if name else why)
        self._leave()
        action = self.endpoint.default_action
        match action.lower():
            case "accept":
                self.settled = None
            case "reject":
                self.settled = Decision(Kind.REPLY, UNAVAILABLE_FOR_GOOD, self._default(why))
            case "tempfail":
                self.settled = Decision(Kind.REPLY, UNAVAILABLE, self._default(why))
            case "quarantine":
                self.settled = Decision(Kind.HOLD, "", self._default(why))
            case _:
                self._warn(f"milter {self.endpoint.name}: unrecognized default action: {action}")
                self.settled = Decision(Kind.REPLY, MISCONFIGURED, self._default(why))

    def _default(self, why: str) -> Evidence:
        return self.evidence(f"{why}: milter_default_action = {self.endpoint.default_action}")

    def _misconfigured(self, why: str) -> None:
        """It was set up in a way that cannot work, or asks for what cannot be done."""
        self._warn(why)
        self._leave()
        match self.endpoint.default_action.lower():
            case "accept":
                self.settled = None
            case "quarantine":
                self.settled = Decision(Kind.HOLD, "", self._default(why))
            case _:
                self.settled = Decision(Kind.REPLY, MISCONFIGURED, self._default(why))
