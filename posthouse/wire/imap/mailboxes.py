"""Arguments of the commands about mailboxes: SELECT, CREATE, LIST, STATUS.

    select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]
    create = "CREATE" SP mailbox [SP "(" "USE" SP "(" use-attr ")" ")"]
    list   = "LIST" [SP "(" select-opts ")"] SP mailbox SP mbox-or-pat [SP "RETURN" SP "(" return-opts ")"]
    status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"

Standards: RFC 3501 sections 6.3.1 to 6.3.10; RFC 5258 (LIST-EXTENDED); RFC 5819 (LIST-STATUS);
RFC 6154 (USE, SPECIAL-USE); RFC 7162 sections 3.1.8 and 3.2.5 (CONDSTORE, QRESYNC); RFC 8438 (SIZE).
"""

from dataclasses import dataclass

from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.fetch import MODSEQ_LIMIT
from posthouse.wire.imap.sequence import SequenceSet

# Patterns of one LIST, each matched against every name.
PATTERN_LIMIT = 50

SELECT_OPTIONS = ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE")
RETURN_OPTIONS = ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS")
STATUS_ITEMS = (
    "MESSAGES",
    "RECENT",
    "UIDNEXT",
    "UIDVALIDITY",
    "UNSEEN",
    "DELETED",
    "DELETED-STORAGE",
    "SIZE",
    "HIGHESTMODSEQ",
    "MAILBOXID",
    "APPENDLIMIT",
)


@dataclass(frozen=True, slots=True)
class Resync:
    """RFC 7162 section 3.2.5: what the client knows."""

    uid_validity: int
    modseq: int
    known_uids: SequenceSet | None = None
    sequence_numbers: SequenceSet | None = None
    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class SelectRequest:
    """SELECT, EXAMINE."""

    mailbox: str
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """LIST, LSUB."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    extended: bool = False
    """Whether RFC 5258's grammar was used."""


def parse_mailbox(cursor: Cursor) -> str:
    """One mailbox name. Raises ImapSyntaxError."""
    cursor.space()
    name = cursor.mailbox()
    cursor.end()
    return name


def parse_select(cursor: Cursor) -> SelectRequest:
    """Arguments of SELECT and EXAMINE. Raises ImapSyntaxError."""
    cursor.space()
    name = cursor.mailbox()
    condstore, resync = False, None
    if not cursor.at_end() and cursor.peek() == b" ":
        cursor.space()
        if not cursor.at_end():
            cursor.expect(b"(")
            while True:
                word = cursor.word("select parameter")
                if word == "CONDSTORE":
                    condstore = True
                elif word == "QRESYNC":
                    cursor.space()
                    resync = _resync(cursor)
                else:
                    raise ImapSyntaxError(f"Unknown select parameter {word[:40]}")
                if cursor.take(b")"):
                    break
                cursor.space()
    cursor.end()
    return SelectRequest(name, condstore, resync)


def _resync(cursor: Cursor) -> Resync:
    cursor.expect(b"(")
    uid_validity = cursor.number("uidvalidity")
    cursor.space()
    modseq = cursor.number("modseq", MODSEQ_LIMIT)
    known = sequence_numbers = uids = None
    if cursor.take(b" ") and cursor.peek() != b"(":
        known = cursor.sequence_set()
        cursor.take(b" ")
    if cursor.take(b"("):
        sequence_numbers = cursor.sequence_set()
        cursor.space()
        uids = cursor.sequence_set()
        cursor.expect(b")")
    cursor.expect(b")")
    return Resync(uid_validity, modseq, known, sequence_numbers, uids)


def parse_create(cursor: Cursor) -> tuple[str, tuple[str, ...]]:
    """Name and special uses. Raises ImapSyntaxError."""
    cursor.space()
    name = cursor.mailbox()
    uses: list[str] = []
    if cursor.take(b" ("):
        if cursor.word("create parameter") != "USE":
            raise ImapSyntaxError("Unknown create parameter")
        cursor.space()
        uses += sorted(cursor.flag_list())
        cursor.expect(b")")
    cursor.end()
    return name, tuple(uses)


def parse_rename(cursor: Cursor) -> tuple[str, str]:
    """Old and new name. Raises ImapSyntaxError."""
    cursor.space()
    name = cursor.mailbox()
    cursor.space()
    new_name = cursor.mailbox()
    cursor.end()
    return name, new_name


def parse_list(cursor: Cursor) -> ListRequest:
    """Arguments of LIST. Raises ImapSyntaxError."""
    cursor.space()
    selection: set[str] = set()
    extended = False
    if cursor.take(b"("):
        extended = True
        while not cursor.take(b")"):
            if selection:
                cursor.space()
            word = cursor.word("list selection option")
            if word not in SELECT_OPTIONS:
                raise ImapSyntaxError(f"Unknown list selection option {word[:40]}")
            selection.add(word)
        cursor.space()
        if selection and not selection - {"RECURSIVEMATCH", "REMOTE"} and "RECURSIVEMATCH" in selection:
            raise ImapSyntaxError("RECURSIVEMATCH needs another selection option")
    reference = cursor.list_reference()
    cursor.space()
    patterns: list[str] = []
    if cursor.take(b"("):
        extended = True
        while not cursor.take(b")"):
            if patterns:
                cursor.space()
            patterns.append(cursor.list_mailbox())
            if len(patterns) > PATTERN_LIMIT:
                raise ImapSyntaxError("Too many mailbox patterns")
    else:
        patterns.append(cursor.list_mailbox())
    returns: set[str] = set()
    status: tuple[str, ...] = ()
    if cursor.take(b" RETURN "):
        extended = True
        cursor.expect(b"(")
        while not cursor.take(b")"):
            if returns:
                cursor.space()
            word = cursor.word("list return option")
            if word not in RETURN_OPTIONS:
                raise ImapSyntaxError(f"Unknown list return option {word[:40]}")
            if word == "STATUS":
                cursor.space()
                status = _status_items(cursor)
            returns.add(word)
    cursor.end()
    return ListRequest(reference, tuple(patterns), frozenset(selection), frozenset(returns), status, extended)


def parse_status(cursor: Cursor) -> tuple[str, tuple[str, ...]]:
    """Name and items. Raises ImapSyntaxError."""
    cursor.space()
    name = cursor.mailbox()
    cursor.space()
    items = _status_items(cursor)
    cursor.end()
    return name, items


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect(b"(")
    items: dict[str, None] = {}
    while not cursor.take(b")"):
        if items:
            cursor.space()
        word = cursor.word("status item")
        if word not in STATUS_ITEMS:
            raise ImapSyntaxError(f"Unknown status item {word[:40]}")
        items[word] = None
    if not items:
        raise ImapSyntaxError("Missing status item")
    return tuple(items)
