"""Dovecot's authentication protocol, client side, without I/O.

    client: VERSION, CPID          server: VERSION, MECH…, SPID, CUID, COOKIE, DONE
    client: AUTH id mechanism service=… parameters [resp=base64]
    server: CONT id base64     client: CONT id base64
    server: OK id user=…       server: FAIL id [user=…] [reason=…] [temp | code=temp_fail]

Lines end with LF, their words are parted by TAB, and what a word may not hold is escaped with the
byte 1. A mechanism is run by the server: we hand its challenges to the client and the responses
back, in base64 as they come. Unknown lines and words are ignored, as the protocol asks.

Standards: Dovecot's auth-protocol.txt, version 1.1 (sections "Handshake" and "Client <-> Server").
"""

import re
from dataclasses import dataclass, field

from posthouse.wire.sasl import is_base64

MAJOR = 1
"""The protocol's major version: another one is not understood."""
MINOR = 1
"""What we speak: CANCEL came with it."""
LINE_LIMIT = 1 << 16
"""Bytes of a line: a challenge of 8 KiB in base64 and room to spare. More is no answer."""
MECHANISM_LIMIT = 100
"""Mechanisms that a server may tell."""

_ESCAPED = {"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"}
_PLAIN = {escape[1]: character for character, escape in _ESCAPED.items()}
_ESCAPE = re.compile("[\0\x01\t\r\n]")
_ESCAPE_PAIR = re.compile("\x01(.)", re.DOTALL)
# RFC 4422 section 3.1: sasl-mech = 1*20mech-char
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")


class DovecotProtocolError(Exception):
    """The server does not speak this protocol; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism that the server runs."""

    name: str
    flags: frozenset[str] = frozenset()
    """plaintext, dictionary, active, anonymous (weaknesses); mutual-auth, forward-secrecy (strengths); private."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """The handshake is done."""

    mechanisms: tuple[Mechanism, ...]
    cancels: bool
    """Whether the server knows CANCEL."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The server wants more."""

    number: int
    challenge: str
    """In base64."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The client is who it says."""

    number: int
    login: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Denied:
    """It is not, or nobody can say now."""

    number: int
    login: str = ""
    reason: str = ""
    temporary: bool = False


Event = Greeted | Challenged | Granted | Denied


def escape(text: str) -> str:
    """A word of a line."""
    return _ESCAPE.sub(lambda match: _ESCAPED[match[0]], text)


def unescape(word: str) -> str:
    """What a word says."""
    return _ESCAPE_PAIR.sub(lambda match: _PLAIN.get(match[1], match[1]), word) if "\x01" in word else word


def handshake(client_id: int) -> bytes:
    """What we begin with. The id tells this connection from all others of the server."""
    return b"VERSION\t%d\t%d\nCPID\t%d\n" % (MAJOR, MINOR, client_id)


def auth_line(
    number: int, mechanism: str, parameters: tuple[tuple[str, str | None], ...], initial: str | None
) -> bytes:
    """A request begins. A parameter with None is a word alone; resp= must be the last."""
    words = ["AUTH", str(number), escape(mechanism)]
    words += [name if value is None else f"{name}={escape(value)}" for name, value in parameters]
    if initial is not None:
        assert is_base64(initial)
        words.append(f"resp={initial}")
    return _line(words)


def continue_line(number: int, response: str) -> bytes:
    """The client's response to a challenge."""
    assert is_base64(response)
    return _line(["CONT", str(number), response])


def cancel_line(number: int) -> bytes:
    """The client gave up."""
    return _line(["CANCEL", str(number)])


def _line(words: list[str]) -> bytes:
    return "\t".join(words).encode("utf-8", "surrogateescape") + b"\n"


class DovecotDialogue:
    """The server's lines, in any cut, as events."""

    __slots__ = ("_buffer", "_cancels", "_greeted", "_mechanisms", "_versioned")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._mechanisms: list[Mechanism] = []
        self._versioned = False
        self._greeted = False
        self._cancels = False

    def receive_data(self, data: bytes) -> list[Event]:
        """Bytes from the server. Raises DovecotProtocolError."""
        self._buffer += data
        end = self._buffer.rfind(b"\n")
        rest = len(self._buffer) - end - 1
        if rest > LINE_LIMIT:
            raise DovecotProtocolError("line too long")
        if end < 0:
            return []
        lines = bytes(self._buffer[:end]).split(b"\n")
        del self._buffer[: end + 1]
        events = []
        for line in lines:
            if len(line) > LINE_LIMIT:
                raise DovecotProtocolError("line too long")
            event = self._event(line.decode("utf-8", "surrogateescape").split("\t"))
            if event is not None:
                events.append(event)
        return events

    def _event(self, words: list[str]) -> Event | None:
        match words[0]:
            case "CONT" | "OK" | "FAIL" if self._greeted:
                return _answer(words)
            case _ if self._greeted:
                return None
            case "VERSION":
                self._version(words)
            case "MECH" if len(words) > 1:
                self._mechanism(words[1].upper(), words[2:])
            case "SPID" if not self._mechanisms:
                # auth-master tells no mechanisms: whoever asks it would wait for ever.
                raise DovecotProtocolError("Connected to wrong auth socket (auth-master instead of auth-client)")
            case "DONE":
                if not self._versioned:
                    raise DovecotProtocolError("Protocol version error")
                self._greeted = True
                return Greeted(tuple(self._mechanisms), self._cancels)
        return None

    def _version(self, words: list[str]) -> None:
        numbers = [int(word) for word in words[1:3] if word.isascii() and word.isdigit() and len(word) < 10]
        if len(numbers) != 2:
            raise DovecotProtocolError("Protocol version error")
        if numbers[0] != MAJOR:
            raise DovecotProtocolError(f"Protocol version mismatch ({numbers[0]} vs. {MAJOR})")
        self._versioned = True
        self._cancels = numbers[1] >= MINOR

    def _mechanism(self, name: str, flags: list[str]) -> None:
        if _MECHANISM.fullmatch(name) is None or any(known.name == name for known in self._mechanisms):
            return
        if len(self._mechanisms) < MECHANISM_LIMIT:
            self._mechanisms.append(Mechanism(name, frozenset(flags)))


def _answer(words: list[str]) -> Event:
    word = words[1] if len(words) > 1 else ""
    if not (word.isascii() and word.isdigit() and len(word) < 11):
        raise DovecotProtocolError("Protocol error")
    number = int(word)
    if words[0] == "CONT":
        challenge = words[2] if len(words) > 2 else ""
        if not is_base64(challenge):
            raise DovecotProtocolError("Protocol error")
        return Challenged(number, challenge)
    fields: dict[str, str] = {}
    for text in words[2:]:
        name, _, value = text.partition("=")
        fields.setdefault(name, unescape(value))
    login = fields.get("user", "")
    if words[0] == "OK":
        if not login:
            raise DovecotProtocolError("missing Dovecot server OK username field")
        return Granted(number, login, fields)
    temporary = "temp" in fields or fields.get("code") == "temp_fail"
    return Denied(number, login, fields.get("reason", ""), temporary)
