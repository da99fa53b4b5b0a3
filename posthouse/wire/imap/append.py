"""APPEND up to each of its messages, which stream and are never collected.

    append   = "APPEND" SP mailbox 1*(SP message)
    message  = ["(" flags ")" SP] [date-time SP] literal

Standards: RFC 3501 section 6.3.11; RFC 3502 (MULTIAPPEND); RFC 7888 (LITERAL+).
"""

import re
from dataclasses import dataclass

from posthouse.wire.imap.cursor import Cursor, message_flags
from posthouse.wire.imap.dates import parse_date_time
from posthouse.wire.imap.error import ImapSyntaxError

_LITERAL = re.compile(rb"~?\{([0-9]{1,10})([+-]?)\}\r?\n\Z")


@dataclass(frozen=True, slots=True)
class MessageLiteral:
    """A message is about to come."""

    mailbox: str
    """"" for those after the first."""
    flags: frozenset[str]
    internal_date: float | None
    size: int
    synchronising: bool
    """Whether the client waits for our "+"."""


def append_literal(cursor: Cursor) -> MessageLiteral | None:
    """The command after "APPEND", which ends with a literal's "{n}" and its line end; None when that is the mailbox
    name's, not yet a message's. Raises ImapSyntaxError."""
    cursor.space()
    if _LITERAL.match(cursor.data, cursor.at):
        return None
    mailbox = cursor.mailbox()
    return message_literal(cursor, mailbox)


def message_literal(cursor: Cursor, mailbox: str = "") -> MessageLiteral:
    """From the space before a message's flags on. Raises ImapSyntaxError."""
    cursor.space()
    flags: frozenset[str] = frozenset()
    date = None
    if cursor.peek() == b"(":
        flags = message_flags(cursor.flag_list())
        cursor.space()
    if cursor.peek() == b'"':
        date = parse_date_time(cursor.string("internal date"))
        cursor.space()
    match = _LITERAL.match(cursor.data, cursor.at)
    if match is None:
        raise ImapSyntaxError("Invalid arguments")
    return MessageLiteral(mailbox, flags, date, int(match[1]), not match[2])
