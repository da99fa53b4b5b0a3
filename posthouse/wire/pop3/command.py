"""POP3 commands: one line to a verb and its arguments, and back.

    command  = keyword *(SP argument) CRLF          ; RFC 1939 section 3, RFC 2449 section 4
    keyword  = 3*4 printable characters, any case

Arguments are split at single spaces; PASS and USER take the rest of the line as it is, for a
password may hold spaces (RFC 1939 section 7). Numbers of messages are decimal.

Standards: RFC 1939 sections 3, 5, 6, 7; RFC 2449 section 5; RFC 2595 section 4; RFC 5034 section 4.
"""

from dataclasses import dataclass

NUMBER_DIGITS = 10
"""Digits of a message number or count of lines: more than any maildrop has, and no long arithmetic."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many arguments a verb takes."""

    least: int = 0
    most: int = 0
    numeric: bool = False
    """Whether all arguments are decimal numbers."""
    verbatim: bool = False
    """Whether the rest of the line is the one argument, spaces and all."""


SHAPES: dict[str, Shape] = {
    "CAPA": Shape(),
    "STLS": Shape(),
    "USER": Shape(1, 1, verbatim=True),
    "PASS": Shape(1, 1, verbatim=True),
    "APOP": Shape(2, 2),
    "AUTH": Shape(0, 2),
    "STAT": Shape(),
    "LIST": Shape(0, 1, numeric=True),
    "UIDL": Shape(0, 1, numeric=True),
    "RETR": Shape(1, 1, numeric=True),
    "DELE": Shape(1, 1, numeric=True),
    "TOP": Shape(2, 2, numeric=True),
    "RSET": Shape(),
    "NOOP": Shape(),
    "QUIT": Shape(),
}


@dataclass(frozen=True, slots=True)
class Command:
    """A verb we know, with arguments that have its shape."""

    verb: str
    """In upper case."""
    arguments: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    """The arguments as numbers, of a verb that takes numbers."""

    def __bytes__(self) -> bytes:
        words = (self.verb, *self.arguments)
        return " ".join(words).encode("utf-8", "surrogateescape") + b"\r\n"


@dataclass(frozen=True, slots=True)
class BadCommand:
    """A line that is no command."""

    verb: str
    """The verb when it is one of ours, else ""."""
    text: str
    """What to tell the client."""


def parse_command(line: bytes) -> Command | BadCommand:
    """One line without its end."""
    text = line.decode("utf-8", "surrogateescape")
    word, _, rest = text.partition(" ")
    verb = word.upper()
    shape = SHAPES.get(verb) if word.isascii() else None
    if shape is None:
        return BadCommand("", "Unknown command")
    arguments: tuple[str, ...]
    if shape.verbatim:
        arguments = (rest,) if rest else ()
    else:
        rest = rest.rstrip(" ")  # some clients end "LIST " with a space
        arguments = tuple(rest.split(" ")) if rest else ()
    if not shape.least <= len(arguments) <= shape.most or "" in arguments or "\0" in rest:
        return BadCommand(verb, f"Syntax: {SYNTAX[verb]}")
    if not shape.numeric:
        return Command(verb, arguments)
    if not all(word.isascii() and word.isdigit() and len(word) <= NUMBER_DIGITS for word in arguments):
        return BadCommand(verb, f"Syntax: {SYNTAX[verb]}")
    return Command(verb, arguments, tuple(map(int, arguments)))


SYNTAX: dict[str, str] = {
    "CAPA": "CAPA",
    "STLS": "STLS",
    "USER": "USER name",
    "PASS": "PASS password",
    "APOP": "APOP name digest",
    "AUTH": "AUTH mechanism [initial-response]",
    "STAT": "STAT",
    "LIST": "LIST [number]",
    "UIDL": "UIDL [number]",
    "RETR": "RETR number",
    "DELE": "DELE number",
    "TOP": "TOP number lines",
    "RSET": "RSET",
    "NOOP": "NOOP",
    "QUIT": "QUIT",
}
"""Told to a client that had it wrong."""
