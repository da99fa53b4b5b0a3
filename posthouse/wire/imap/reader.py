"""The server's reader: bytes in, whole commands out, literals in their place.

receive() takes bytes however they are cut; next_event() gives what they amount to:

    Command        a whole command; the cursor stands behind its verb
    Continue       a literal was announced: the client waits for "+ "
    MessageLiteral a message of APPEND is coming: accept_message() and take_message(), or refuse_message()
    MessagesEnd    the line after the last message is over
    Broken         no command; answer BAD with its text
    None           more bytes are needed

next_line() takes one line that is no command (AUTHENTICATE's answers, DONE).

Limits hold however the bytes are cut, and no refusal leaves a literal's octets to be read as
commands: those of a non-synchronising literal are passed over.

Standards: RFC 3501 sections 2.2.1, 4.3 and 7.5; RFC 7888.
"""

import re
from dataclasses import dataclass

from posthouse.wire.imap.append import MessageLiteral, append_literal, message_literal
from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.error import ImapNameError, ImapSyntaxError

# Octets of a refused non-synchronising literal that are passed over; beyond that the connection must end.
SKIP_LIMIT = 1 << 30
# Octets that a tag may have; clients use some five.
TAG_LIMIT = 100
# Of an overlong line this much is kept, to see its tag and its literal.
KEPT = 256

# tag = 1*<any ASTRING-CHAR except "+">
_TAG = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,100})(?: +|\r?\n?\Z)')
_VERB = re.compile(rb"([A-Za-z][A-Za-z0-9.=_-]{0,30})(?=[ \r\n]|\Z)")
_LITERAL_END = re.compile(rb"(~?)\{([0-9]{1,10})([+-]?)\}\r?\n\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. The cursor stands behind the verb: at a space, or at the end."""

    tag: str
    verb: str
    """In upper case; "UID FETCH" for the commands that UID prefixes."""
    cursor: Cursor

    @property
    def uid(self) -> bool:
        """Whether numbers are uids."""
        return self.verb.startswith("UID ")


@dataclass(frozen=True, slots=True)
class Continue:
    """A literal was announced and will be collected."""


@dataclass(frozen=True, slots=True)
class MessagesEnd:
    """APPEND is over."""


@dataclass(frozen=True, slots=True)
class Broken:
    """What came is no command."""

    tag: str
    """Its tag, or "*" when it has none."""
    text: str
    fatal: bool = False
    """Whether the connection cannot go on."""
    status: str = "BAD"
    """"NO" for an APPEND to what can be no mailbox's name."""


Event = Command | Continue | MessageLiteral | MessagesEnd | Broken


class CommandReader:
    """Reads commands. The limits may be changed between two of them."""

    def __init__(self, line_limit: int, literal_limit: int) -> None:
        self.line_limit = line_limit
        """Octets of a line, and of a command without its literals."""
        self.literal_limit = literal_limit
        """Octets of all literals of a command together (an APPEND's messages are not among them)."""
        self._buffer = bytearray()
        self._seen = 0  # octets of the buffer known to hold no line end
        self._command = bytearray()  # the command so far, literals in place
        self._literals = 0
        self._collect = 0
        self._skip = 0
        self._message = 0  # octets of an APPEND's message still to come
        self._tag = "*"
        self._in_append = False
        self._overlong: bytearray | None = None  # an overlong line's beginning, while its end is sought
        self._broken: Broken | None = None  # told once the line is over

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    @property
    def pending(self) -> bool:
        """Whether bytes wait that may hold another command."""
        return bool(self._buffer)

    @property
    def tag(self) -> str:
        """Of the command being read."""
        return self._tag

    def rest(self) -> bytes:
        """Give away what was not read, for whoever goes on with this connection."""
        data = bytes(self._buffer)
        self._buffer.clear()
        self._seen = 0
        return data

    def next_line(self) -> bytes | None:
        """One line without its end, or None. Raises ImapSyntaxError for one beyond the limit (which is dropped)."""
        while True:
            line = self._take_line()
            if line is None:
                return None
            if self._overlong is not None:
                self._overlong = None
                raise ImapSyntaxError("Line is too long")
            return line.rstrip(b"\r\n")

    def next_event(self) -> Event | None:
        """What came."""
        while True:
            assert not self._message, "the message comes first"
            if self._skip:
                passed = min(self._skip, len(self._buffer))
                del self._buffer[:passed]
                self._seen = 0
                self._skip -= passed
                if self._skip:
                    return None
            if self._collect:
                part = self._buffer[: self._collect]
                del self._buffer[: self._collect]
                self._seen = 0
                self._command += part
                self._collect -= len(part)
                if self._collect:
                    return None
            line = self._take_line()
            if line is None:
                return None
            event = self._line(line)
            if event is not None:
                return event

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._seen)
        if end < 0:
            self._seen = len(self._buffer)
            if self._seen > self.line_limit:
                self._cut()
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._seen = 0
        if self._overlong is not None:
            line = bytes(self._overlong) + line[-KEPT:]
        elif len(line) > self.line_limit + 2:
            self._overlong = bytearray(line[:KEPT])
            line = bytes(self._overlong) + line[-KEPT:]
        return line

    def _cut(self) -> None:
        """The line is too long: keep its beginning and its last octets only."""
        if self._overlong is None:
            self._overlong = self._buffer[:KEPT]
        del self._buffer[:-KEPT]
        self._seen = len(self._buffer)

    def _line(self, line: bytes) -> Event | None:
        first = not self._command and not self._in_append and self._broken is None
        if first:
            match = _TAG.match(line)
            self._tag = match[1].decode("ascii") if match is not None else "*"
            if match is None and self._overlong is None:
                text = "Empty command line" if not line.strip() else "Invalid tag"
                return self._refuse(text, line)
        if self._overlong is not None:
            self._overlong = None
            return self._refuse("Command line is too long", line)
        if self._broken is not None:
            return self._refuse(self._broken.text, line, self._broken.status)
        if len(self._command) - self._literals + len(line) > self.line_limit + 2:
            return self._refuse("Command is too long", line)
        self._command += line
        literal = _LITERAL_END.search(line)
        if literal is None:
            return self._whole()
        return self._literal(int(literal[2]), not literal[3])

    def _refuse(self, text: str, line: bytes, status: str = "BAD") -> Broken | None:
        """The command is no good. What belongs to it is passed over first; then it is told."""
        literal = _LITERAL_END.search(line)
        self._command.clear()
        self._literals = 0
        self._in_append = False
        if literal is not None and literal[3]:
            size = int(literal[2])
            if size > SKIP_LIMIT:
                self._broken = None
                return Broken(self._tag, text, fatal=True)
            self._skip = size
            self._broken = Broken(self._tag, text, status=status)
            return None
        self._broken = None
        return Broken(self._tag, text, status=status)

    def _whole(self) -> Event:
        data = bytes(self._command)
        self._command.clear()
        self._literals = 0
        data = data[:-2] if data.endswith(b"\r\n") else data[:-1]
        if self._in_append:
            self._in_append = False
            if data.strip(b" "):
                return Broken(self._tag, "Invalid arguments")
            return MessagesEnd()
        try:
            return split_command(data)
        except ImapSyntaxError as error:
            return Broken(self._tag, str(error))

    def _literal(self, size: int, synchronising: bool) -> Event | None:
        data = bytes(self._command)
        try:
            if self._in_append:
                return self._begin_message(message_literal(Cursor(data)))
            command = split_command(data)
            if command.verb == "APPEND":
                message = append_literal(command.cursor)
                if message is not None:
                    return self._begin_message(message)
        except ImapNameError as error:
            return self._refuse(str(error), data[-KEPT:], "NO")
        except ImapSyntaxError as error:
            return self._refuse(str(error), data[-KEPT:])
        if self._literals + size > self.literal_limit:
            return self._refuse("Literal is too large", data[-KEPT:])
        self._literals += size
        self._collect = size
        return Continue() if synchronising else None

    def _begin_message(self, message: MessageLiteral) -> MessageLiteral:
        self._command.clear()
        self._literals = 0
        self._in_append = True
        self._message = message.size
        return message

    # -- an APPEND's message --------------------------------------------------------------

    @property
    def message_left(self) -> int:
        """Octets of the message still to be taken."""
        return self._message

    def take_message(self) -> bytes:
        """Octets of the message that have come, b"" when none have."""
        part = bytes(self._buffer[: self._message])
        del self._buffer[: len(part)]
        self._seen = 0
        self._message -= len(part)
        return part

    def refuse_message(self, message: MessageLiteral) -> bool:
        """The rest of the message is not wanted. False: the command is over (its client waited for us and sends
        nothing). True: what comes all the same is passed over; go on to MessagesEnd."""
        if message.synchronising and self._message == message.size:
            self._message = 0
            self._in_append = False
            return False
        self._skip += self._message
        self._message = 0
        return True


def split_command(data: bytes) -> Command:
    """Tag and verb. Raises ImapSyntaxError."""
    match = _TAG.match(data)
    if match is None:
        raise ImapSyntaxError("Invalid tag")
    tag = match[1].decode("ascii")
    cursor = Cursor(data, match.end())
    verb = _verb(cursor)
    if verb == "UID" and cursor.peek() == b" ":
        cursor.space()
        verb = f"UID {_verb(cursor)}"
    return Command(tag, verb, cursor)


def _verb(cursor: Cursor) -> str:
    match = _VERB.match(cursor.data, cursor.at)
    if match is None:
        raise ImapSyntaxError("Missing command" if cursor.at_end() else "Invalid command name")
    cursor.at = match.end()
    return match[1].decode("ascii").upper()
