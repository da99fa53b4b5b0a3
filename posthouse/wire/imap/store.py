"""STORE's arguments.

    store = "STORE" SP sequence-set [SP "(" "UNCHANGEDSINCE" SP mod-sequence ")"] SP
            ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag)))

Standards: RFC 3501 section 6.4.6; RFC 7162 section 3.1.3.
"""

from dataclasses import dataclass
from typing import Literal

from posthouse.wire.imap.cursor import FLAG_LIMIT, Cursor, message_flags
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.fetch import MODSEQ_LIMIT
from posthouse.wire.imap.sequence import SequenceSet

_MODES: dict[str, tuple[Literal["add", "remove", "replace"], bool]] = {
    "FLAGS": ("replace", False),
    "FLAGS.SILENT": ("replace", True),
    "+FLAGS": ("add", False),
    "+FLAGS.SILENT": ("add", True),
    "-FLAGS": ("remove", False),
    "-FLAGS.SILENT": ("remove", True),
}


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """One STORE."""

    numbers: SequenceSet
    mode: Literal["add", "remove", "replace"]
    silent: bool
    flags: frozenset[str]
    unchanged_since: int | None = None


def parse_store(cursor: Cursor) -> StoreRequest:
    """The command after "STORE". Raises ImapSyntaxError."""
    cursor.space()
    numbers = cursor.sequence_set()
    cursor.space()
    unchanged_since = None
    if cursor.take(b"("):
        if cursor.word("store modifier") != "UNCHANGEDSINCE":
            raise ImapSyntaxError("Unknown store modifier")
        cursor.space()
        unchanged_since = cursor.number("modseq", MODSEQ_LIMIT)
        cursor.expect(b")")
        cursor.space()
    found = _MODES.get(cursor.word("store item"))
    if found is None:
        raise ImapSyntaxError("Unknown store item")
    mode, silent = found
    cursor.space()
    if cursor.peek() == b"(":
        flags = cursor.flag_list()
    else:
        listed = {cursor.flag()}
        while cursor.take(b" ") and not cursor.at_end():
            listed.add(cursor.flag())
            if len(listed) > FLAG_LIMIT:
                raise ImapSyntaxError("Too many flags")
        flags = frozenset(listed)
    cursor.end()
    return StoreRequest(numbers, mode, silent, message_flags(flags), unchanged_since)
