"""POP3 commands: lines in, verbs and arguments out, and which verb may come when.

    reader.receive(data)
    while (line := reader.next_line()) is not None: …

Standards: RFC 1939 sections 3 to 7; RFC 2449 sections 4 and 5 (line length, CAPA); RFC 2595 section 4 (STLS);
RFC 5034 section 4 (AUTH).
"""

from dataclasses import dataclass
from enum import Enum

MAX_NUMBER_DIGITS = 9
"""Of a message number or a line count: no mailbox has a thousand million messages."""


class State(Enum):
    """RFC 1939 section 3. UPDATE has no commands: it is what QUIT does."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"


# RFC 1939 sections 4 to 7, RFC 2449 section 5, RFC 2595 section 4, RFC 5034 section 4. A verb missing here is refused.
VERBS: dict[State, frozenset[str]] = {
    State.AUTHORIZATION: frozenset({"USER", "PASS", "APOP", "AUTH", "STLS", "CAPA", "QUIT"}),
    State.TRANSACTION: frozenset({"STAT", "LIST", "UIDL", "RETR", "DELE", "TOP", "RSET", "NOOP", "CAPA", "QUIT"}),
}
KNOWN = frozenset.union(*VERBS.values())


@dataclass(frozen=True, slots=True)
class Command:
    """One line."""

    verb: str
    """In upper case; "" for an empty line."""
    text: str
    """What follows the one space after the verb: PASS takes it whole, spaces and all."""

    @property
    def arguments(self) -> list[str]:
        """The words of the text."""
        return self.text.split(" ") if self.text else []


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line beyond the limit; it was thrown away to its end."""


class LineReader:
    """Lines out of bytes, however they are cut. CRLF ends a line; a bare LF too, as servers always took it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Octets of a line without its end."""
        self._buffer = bytearray()
        self._skipping = False

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        self._buffer += data

    def next_line(self) -> bytes | TooLong | None:
        """The next line without its end; None when more bytes are needed."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > self.limit + 1:
                self._skipping = True
                self._buffer.clear()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if self._skipping:
            self._skipping = False
            return TooLong()
        line = line.removesuffix(b"\r")
        return TooLong() if len(line) > self.limit else line

    @property
    def pending(self) -> bool:
        """Whether a whole line waits: its reply can leave with this one's (PIPELINING)."""
        return b"\n" in self._buffer

    def discard(self) -> int:
        """Forget what was read ahead (STLS); gives how many octets."""
        count = len(self._buffer)
        self._buffer.clear()
        self._skipping = False
        return count


def parse_command(line: bytes) -> Command:
    """Any line is a command; whether anyone knows it is another question."""
    verb, _, text = line.decode("utf-8", "surrogateescape").partition(" ")
    return Command(verb.upper() if verb.isascii() else verb, text)


def parse_number(text: str) -> int | None:
    """A message number or a count: decimal digits. None for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS:
        return int(text)
    return None
