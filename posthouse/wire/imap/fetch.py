"""What FETCH asks for.

    fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
                "BODY" ["STRUCTURE"] / "UID" / "BODY" [".PEEK"] section ["<" number "." nz-number ">"]
    section   = "[" [section-msgtext / (section-part ["." (section-msgtext / "MIME")])] "]"

Standards: RFC 3501 sections 6.4.5 and 9; RFC 7162 section 3.1.4 (CHANGEDSINCE, MODSEQ); RFC 8474 (ids); RFC 8514.
"""

from dataclasses import dataclass

from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.response import astring

# What one FETCH may ask for. Clients ask for some ten.
ATTRIBUTE_LIMIT = 200
# Numbers of a section: deeper than any structure we make (message/mime.py).
SECTION_DEPTH = 200
FIELD_LIMIT = 1000

MODSEQ_LIMIT = (1 << 63) - 1

ALL = ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE")
MACROS = {"ALL": ALL, "FAST": ALL[:3], "FULL": (*ALL, "BODY")}

# Attributes that are one word and one value.
PLAIN = frozenset((*ALL, "BODY", "BODYSTRUCTURE", "UID", "MODSEQ", "EMAILID", "THREADID", "SAVEDATE"))


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a message."""

    numbers: tuple[int, ...] = ()
    specifier: str = ""
    """"", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME."""
    fields: tuple[bytes, ...] = ()
    """In lower case."""
    peek: bool = False
    partial: tuple[int, int] | None = None
    """First octet, and how many."""
    label: bytes = b""
    """What the response calls it: `BODY[1.MIME]<0>`, `RFC822.HEADER`."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Attributes in the order asked for, each once."""

    plain: tuple[str, ...]
    sections: tuple[Section, ...]
    changed_since: int | None = None
    vanished: bool = False

    @property
    def sees(self) -> bool:
        """Whether it sets \\Seen."""
        return any(not section.peek for section in self.sections)


def parse_fetch(cursor: Cursor, *, uid: bool) -> FetchRequest:
    """The attributes and modifiers of FETCH, after the message set and its space. Raises ImapSyntaxError."""
    plain: dict[str, None] = {}
    sections: dict[bytes, Section] = {}
    if uid:
        plain["UID"] = None
    if cursor.take(b"("):
        while True:
            _attribute(cursor, plain, sections)
            if len(plain) + len(sections) > ATTRIBUTE_LIMIT:
                raise ImapSyntaxError("Too many fetch attributes")
            while cursor.take(b" "):
                pass
            if cursor.take(b")"):
                break
    else:
        _attribute(cursor, plain, sections)
    changed_since, vanished = _modifiers(cursor)
    cursor.end()
    if changed_since is not None:
        plain["MODSEQ"] = None
    return FetchRequest(tuple(plain), tuple(sections.values()), changed_since, vanished)


def _modifiers(cursor: Cursor) -> tuple[int | None, bool]:
    """RFC 4466 section 2.4: fetch-modifiers."""
    changed_since: int | None = None
    vanished = False
    if cursor.take(b" (") or (cursor.take(b"  ") and cursor.take(b"(")):
        while True:
            word = cursor.word("fetch modifier")
            if word == "CHANGEDSINCE":
                cursor.space()
                changed_since = cursor.number("modseq", MODSEQ_LIMIT)
            elif word == "VANISHED":
                vanished = True
            else:
                raise ImapSyntaxError(f"Unknown fetch modifier {word}")
            if cursor.take(b")"):
                break
            cursor.space()
    if vanished and changed_since is None:
        raise ImapSyntaxError("VANISHED needs CHANGEDSINCE")
    return changed_since, vanished


def _attribute(cursor: Cursor, plain: dict[str, None], sections: dict[bytes, Section]) -> None:
    start = cursor.at
    # "[" is an ATOM-CHAR: the word ends before it
    bracket = cursor.data.find(b"[", start)
    word = cursor.word("fetch attribute")
    if start < bracket < cursor.at:
        cursor.at = bracket
        word = cursor.data[start:bracket].decode("latin-1").upper()
    if word in MACROS:
        plain.update(dict.fromkeys(MACROS[word]))
    elif word in ("BODY", "BODY.PEEK") and cursor.peek() == b"[":
        section = _section(cursor, peek=word == "BODY.PEEK")
        known = sections.get(section.label)
        if known is None or known.peek:
            sections[section.label] = section
    elif word in PLAIN and cursor.peek() != b"[":
        plain[word] = None
    elif word in ("RFC822", "RFC822.PEEK"):  # .PEEK: IMAP2bis, which Outlook still speaks
        sections.setdefault(b"RFC822", Section(peek=word != "RFC822", label=b"RFC822"))
    elif word == "RFC822.HEADER":
        sections.setdefault(b"RFC822.HEADER", Section((), "HEADER", peek=True, label=b"RFC822.HEADER"))
    elif word in ("RFC822.TEXT", "RFC822.TEXT.PEEK"):
        sections.setdefault(b"RFC822.TEXT", Section((), "TEXT", peek=word != "RFC822.TEXT", label=b"RFC822.TEXT"))
    else:
        raise ImapSyntaxError(f"Unknown fetch attribute {word[:40]}")


def _section(cursor: Cursor, *, peek: bool) -> Section:
    cursor.expect(b"[")
    numbers: list[int] = []
    specifier = ""
    fields: list[bytes] = []
    while b"0" <= cursor.peek() <= b"9":
        number = cursor.number("section")
        if not number or len(numbers) >= SECTION_DEPTH:
            raise ImapSyntaxError("Invalid section")
        numbers.append(number)
        if not cursor.take(b"."):
            break
    else:
        # at the beginning, or behind a dot
        if numbers or cursor.peek() != b"]":
            specifier = _specifier(cursor, bool(numbers))
    if specifier.startswith("HEADER.FIELDS"):
        fields = _field_names(cursor)
    cursor.expect(b"]")
    label = b".".join([b"%d" % number for number in numbers] + ([specifier.encode()] if specifier else []))
    if fields:
        label += b" (" + b" ".join(astring(name) for name in fields) + b")"
    label = b"BODY[" + label + b"]"
    partial = None
    if cursor.take(b"<"):
        start = cursor.number("partial range", MODSEQ_LIMIT)
        cursor.expect(b".")
        count = cursor.number("partial range", MODSEQ_LIMIT)
        cursor.expect(b">")
        if not count:
            raise ImapSyntaxError("Invalid partial range")
        partial = (start, count)
        label += b"<%d>" % start
    lowered = tuple(name.lower() for name in fields)
    return Section(tuple(numbers), specifier, lowered, peek, partial, label)


def _specifier(cursor: Cursor, in_part: bool) -> str:
    word = cursor.word("section")
    if word in ("HEADER", "TEXT", "HEADER.FIELDS", "HEADER.FIELDS.NOT") or (word == "MIME" and in_part):
        return word
    raise ImapSyntaxError("Invalid section")


def _field_names(cursor: Cursor) -> list[bytes]:
    cursor.space()
    cursor.expect(b"(")
    names: list[bytes] = []
    while not cursor.take(b")"):
        if names:
            cursor.space()
            if cursor.take(b")"):
                break
        names.append(cursor.astring("field name"))
        if len(names) > FIELD_LIMIT:
            raise ImapSyntaxError("Too many field names")
    if not names:
        raise ImapSyntaxError("Missing field name")
    return names
