"""SEARCH's program as a tree.

    search-key = "ALL" / "ANSWERED" / "BCC" SP astring / … / "OR" SP search-key SP search-key /
                 "NOT" SP search-key / sequence-set / "(" search-key *(SP search-key) ")"

Text is decoded here by the command's charset; who evaluates compares str.

Standards: RFC 3501 section 6.4.4; RFC 4731 (RETURN); RFC 5182 (SAVE, "$"); RFC 5032 (OLDER, YOUNGER);
RFC 7162 section 3.1.5 (MODSEQ); RFC 8474 section 5 (EMAILID); RFC 8514 (SAVEDATE).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.dates import parse_date
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.fetch import MODSEQ_LIMIT
from posthouse.wire.imap.sequence import SequenceSet

# Keys of one program, and how deep they nest: what clients write has some dozens.
KEY_LIMIT = 1000
DEPTH_LIMIT = 50

CHARSETS = ("US-ASCII", "UTF-8")


class BadCharset(Exception):
    """RFC 3501 section 7.1: NO [BADCHARSET …]."""


@dataclass(frozen=True, slots=True)
class And:
    """All of them; none: every message."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of two."""

    left: "Key"
    right: "Key"


@dataclass(frozen=True, slots=True)
class Not:
    """The others."""

    key: "Key"


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag, "\\\\Recent" or a keyword, in lower case."""

    flag: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """A message set."""

    numbers: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER, SMALLER."""

    larger: bool
    octets: int


@dataclass(frozen=True, slots=True)
class Day:
    """BEFORE, ON, SINCE and those of other dates."""

    of: Literal["internal", "sent", "saved"]
    relation: Literal["before", "on", "since"]
    day: date


@dataclass(frozen=True, slots=True)
class Age:
    """OLDER, YOUNGER: seconds."""

    younger: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class HeaderText:
    """FROM, SUBJECT, HEADER …: the field's name in lower case; "" text: the field is there."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class BodyText:
    """BODY, TEXT."""

    text: str
    with_header: bool


@dataclass(frozen=True, slots=True)
class ModseqAtLeast:
    """MODSEQ."""

    modseq: int


@dataclass(frozen=True, slots=True)
class EmailId:
    """EMAILID."""

    email_id: str


Key = And | Or | Not | HasFlag | Numbers | Size | Day | Age | HeaderText | BodyText | ModseqAtLeast | EmailId


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One SEARCH."""

    key: Key
    options: frozenset[str] | None = None
    """RETURN's words (MIN, MAX, ALL, COUNT, SAVE); None without RETURN: the old answer."""
    modseq: bool = False
    """Whether MODSEQ was asked for: the answer tells the highest."""


_FLAGS: dict[str, Key] = {
    "ALL": And(()),
    "ANSWERED": HasFlag("\\answered"),
    "DELETED": HasFlag("\\deleted"),
    "DRAFT": HasFlag("\\draft"),
    "FLAGGED": HasFlag("\\flagged"),
    "NEW": And((HasFlag("\\recent"), Not(HasFlag("\\seen")))),
    "OLD": Not(HasFlag("\\recent")),
    "RECENT": HasFlag("\\recent"),
    "SEEN": HasFlag("\\seen"),
    "UNANSWERED": Not(HasFlag("\\answered")),
    "UNDELETED": Not(HasFlag("\\deleted")),
    "UNDRAFT": Not(HasFlag("\\draft")),
    "UNFLAGGED": Not(HasFlag("\\flagged")),
    "UNSEEN": Not(HasFlag("\\seen")),
    "SAVEDATESUPPORTED": And(()),
}
_DAYS: dict[str, tuple[Literal["internal", "sent", "saved"], Literal["before", "on", "since"]]] = {
    "BEFORE": ("internal", "before"),
    "ON": ("internal", "on"),
    "SINCE": ("internal", "since"),
    "SENTBEFORE": ("sent", "before"),
    "SENTON": ("sent", "on"),
    "SENTSINCE": ("sent", "since"),
    "SAVEDBEFORE": ("saved", "before"),
    "SAVEDON": ("saved", "on"),
    "SAVEDSINCE": ("saved", "since"),
}
_FIELDS = ("BCC", "CC", "FROM", "SUBJECT", "TO")
RETURN_OPTIONS = ("MIN", "MAX", "ALL", "COUNT", "SAVE")


class _Program:
    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.encoding = "utf-8"  # without CHARSET: US-ASCII by the rules, UTF-8 as some clients send it
        self.count = 0
        self.modseq = False

    def keys(self, depth: int, *, closing: bool) -> Key:
        """Keys up to ")" or the end."""
        found = [self.key(depth)]
        while True:
            while self.cursor.take(b" "):
                pass
            if closing and self.cursor.take(b")"):
                break
            if not closing and self.cursor.at_end():
                break
            found.append(self.key(depth))
        return found[0] if len(found) == 1 else And(tuple(found))

    def key(self, depth: int) -> Key:
        self.count += 1
        if self.count > KEY_LIMIT or depth > DEPTH_LIMIT:
            raise ImapSyntaxError("Search program is too complex")
        cursor = self.cursor
        if cursor.take(b"("):
            return self.keys(depth + 1, closing=True)
        if cursor.peek() and cursor.peek() in b"0123456789*$":
            return Numbers(cursor.sequence_set(), uid=False)
        word = cursor.word("search key")
        if (known := _FLAGS.get(word)) is not None:
            return known
        if word == "NOT":
            cursor.space()
            return Not(self.key(depth + 1))
        if word == "OR":
            cursor.space()
            left = self.key(depth + 1)
            cursor.space()
            return Or(left, self.key(depth + 1))
        take = _ARGUMENTS.get(word)
        if take is not None:
            cursor.space()
            return take(self)
        if word in _DAYS:
            cursor.space()
            of, relation = _DAYS[word]
            return Day(of, relation, parse_date(cursor.astring("date")))
        if word in _FIELDS:
            cursor.space()
            return HeaderText(word.lower(), self.text())
        raise ImapSyntaxError(f"Unknown search key {word[:40]}")

    def text(self) -> str:
        raw = self.cursor.astring("search text")
        try:
            return raw.decode(self.encoding)
        except UnicodeDecodeError:
            raise ImapSyntaxError("Search text is not in its charset") from None

    def header(self) -> Key:
        name = self.cursor.astring("field name").decode("latin-1").lower()
        self.cursor.space()
        return HeaderText(name, self.text())

    def at_least(self) -> Key:
        """[entry-name entry-type] modseq: the entry narrows to one flag's modseq; ours is the message's."""
        cursor = self.cursor
        if cursor.peek() == b'"':
            cursor.string()
            cursor.space()
            if cursor.word("entry type") not in ("PRIV", "SHARED", "ALL"):
                raise ImapSyntaxError("Invalid entry type")
            cursor.space()
        self.modseq = True
        return ModseqAtLeast(cursor.number("modseq", MODSEQ_LIMIT))

    def thread(self) -> Key:
        """RFC 8474 section 6: where THREADID is NIL no message matches."""
        self.cursor.atom("id")
        return Not(And(()))

    def interval(self, younger: bool) -> Key:
        seconds = self.cursor.number("interval")
        if not seconds:
            raise ImapSyntaxError("Invalid interval")
        return Age(younger, seconds)


_ARGUMENTS: dict[str, Callable[[_Program], Key]] = {
    "UID": lambda program: Numbers(program.cursor.sequence_set(), uid=True),
    "KEYWORD": lambda program: HasFlag(program.cursor.flag().lower()),
    "UNKEYWORD": lambda program: Not(HasFlag(program.cursor.flag().lower())),
    "LARGER": lambda program: Size(True, program.cursor.number(limit=MODSEQ_LIMIT)),
    "SMALLER": lambda program: Size(False, program.cursor.number(limit=MODSEQ_LIMIT)),
    "HEADER": _Program.header,
    "BODY": lambda program: BodyText(program.text(), with_header=False),
    "TEXT": lambda program: BodyText(program.text(), with_header=True),
    "MODSEQ": _Program.at_least,
    "OLDER": lambda program: program.interval(False),
    "YOUNGER": lambda program: program.interval(True),
    "THREADID": _Program.thread,
    "EMAILID": lambda program: EmailId(program.cursor.atom("id").decode("latin-1")),
}


def parse_search(cursor: Cursor) -> SearchRequest:
    """The command after "SEARCH". Raises ImapSyntaxError, BadCharset."""
    cursor.space()
    options: frozenset[str] | None = None
    if cursor.take(b"RETURN "):
        options = _return_options(cursor)
        cursor.space()
    program = _Program(cursor)
    if cursor.take(b"CHARSET "):
        charset = cursor.astring("charset").decode("latin-1").upper()
        if charset not in CHARSETS:
            raise BadCharset(charset)
        program.encoding = charset
        cursor.space()
    key = program.keys(0, closing=False)
    return SearchRequest(key, options, program.modseq)


def _return_options(cursor: Cursor) -> frozenset[str]:
    cursor.expect(b"(")
    options: set[str] = set()
    while not cursor.take(b")"):
        if options:
            cursor.space()
        word = cursor.word("return option")
        if word not in RETURN_OPTIONS:
            raise ImapSyntaxError(f"Unknown return option {word[:40]}")
        options.add(word)
    return frozenset(options or {"ALL"})  # RFC 4731 section 3.1: () is (ALL)
