"""A cursor over one whole command, its literals in place.

    astring = 1*ASTRING-CHAR / string        string = quoted / literal
    quoted  = DQUOTE *( any CHAR but CR, LF, DQUOTE, "\\" / "\\" char ) DQUOTE
    literal = "{" number ["+"] "}" CRLF *CHAR8

Each method takes what it names and moves on, or raises ImapSyntaxError. Octets above ASCII are
let in where text may stand: clients send them, and the receiver decides what they are.

Standards: RFC 3501 section 9; RFC 7888 (literals with "+"); RFC 3516 section 4.4 ("~").
"""

import re

from posthouse.wire.imap.error import ImapNameError, ImapSyntaxError
from posthouse.wire.imap.sequence import NUMBER_LIMIT, SequenceSet, parse_sequence_set
from posthouse.wire.imap.utf7 import decode_pattern, parse_name

# Flags of one command: more than a mailbox can hold keywords is nonsense.
FLAG_LIMIT = 1000

SETTABLE_FLAGS = frozenset(("\\seen", "\\answered", "\\flagged", "\\deleted", "\\draft"))

# ATOM-CHAR = any CHAR except ( ) { SP CTL % * DQUOTE \ ]
_ATOM = re.compile(rb'[^\x00-\x20\x7f(){%*"\\\]]+')
# ASTRING-CHAR = ATOM-CHAR / "]"
_ASTRING = re.compile(rb'[^\x00-\x20\x7f(){%*"\\]+')
# list-char = ATOM-CHAR / list-wildcards / resp-specials
_LIST = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')
_QUOTED = re.compile(rb'"((?:[^"\\\r\n]|\\[^\r\n])*)"')
_LITERAL = re.compile(rb"~?\{([0-9]{1,10})[+-]?\}\r?\n")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SET = re.compile(rb"[0-9:,*]+|\$")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class Cursor:
    """Bytes of one command without its line end, and where we are."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def peek(self) -> bytes:
        """The next octet, or b"" at the end."""
        return self.data[self.at : self.at + 1]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.data)

    def take(self, text: bytes) -> bool:
        """Pass text, if it is next (letters in any case)."""
        end = self.at + len(text)
        if self.data[self.at : end].upper() != text:
            return False
        self.at = end
        return True

    def expect(self, text: bytes) -> None:
        """Pass text that must be next."""
        if not self.take(text):
            raise ImapSyntaxError("Unexpected end of command" if self.at_end() else "Invalid arguments")

    def space(self) -> None:
        """One space; more are forgiven, as Dovecot and others do."""
        self.expect(b" ")
        while self.peek() == b" ":
            self.at += 1

    def end(self) -> None:
        """Nothing may be left but blanks."""
        if self.data[self.at :].strip(b" "):
            raise ImapSyntaxError("Unexpected arguments")

    def _match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        match = pattern.match(self.data, self.at)
        if match is None:
            raise ImapSyntaxError(f"Missing {what}" if self.at_end() else f"Invalid {what}")
        self.at = match.end()
        return match[0]

    def atom(self, what: str = "argument") -> bytes:
        """An atom as it is."""
        return self._match(_ATOM, what)

    def word(self, what: str = "argument") -> str:
        """An atom in upper case."""
        return self._match(_ATOM, what).decode("latin-1").upper()

    def number(self, what: str = "number", limit: int = NUMBER_LIMIT) -> int:
        """A number of at most 32 bits, or of the limit."""
        value = int(self._match(_NUMBER, what))
        if value > limit:
            raise ImapSyntaxError(f"{what.capitalize()} is too large")
        return value

    def sequence_set(self) -> SequenceSet:
        """A sequence-set."""
        return parse_sequence_set(self._match(_SET, "message set"))

    def string(self, what: str = "string") -> bytes:
        """A quoted string or a literal."""
        if self.peek() == b'"':
            match = _QUOTED.match(self.data, self.at)
            if match is None:
                raise ImapSyntaxError("Missing '\"'")
            self.at = match.end()
            text = match[1]
            return _ESCAPE.sub(rb"\1", text) if b"\\" in text else text
        match = _LITERAL.match(self.data, self.at)
        if match is None:
            raise ImapSyntaxError(f"Missing {what}" if self.at_end() else f"Invalid {what}")
        start = match.end()
        end = start + int(match[1])
        if end > len(self.data):
            raise ImapSyntaxError("Unexpected end of command")
        self.at = end
        return self.data[start:end]

    def astring(self, what: str = "argument") -> bytes:
        """An atom or a string."""
        if self.peek() in (b'"', b"{", b"~"):
            match = None if self.peek() == b"~" else b""
            if match is not None or _LITERAL.match(self.data, self.at):
                return self.string(what)
        return self._match(_ASTRING, what)

    def text(self, what: str = "argument") -> str:
        """An astring as UTF-8 text."""
        raw = self.astring(what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ImapSyntaxError(f"Invalid characters in {what}") from None

    def nstring(self, what: str = "string") -> bytes | None:
        """A string, or None for NIL."""
        if self.peek() not in (b'"', b"{") and self.take(b"NIL"):
            return None
        return self.string(what)

    def mailbox(self) -> str:
        """A mailbox name. Raises ImapNameError for what is none."""
        name = parse_name(self.astring("mailbox name"))
        if name is None:
            raise ImapNameError("Mailbox name is not valid modified UTF-7")
        return "INBOX" if name.upper() == "INBOX" else name

    def list_reference(self) -> str:
        """What stands before LIST's patterns; it need not be a name."""
        return decode_pattern(self.astring("reference"))

    def list_mailbox(self) -> str:
        """A pattern of LIST."""
        if self.peek() in (b'"', b"{"):
            return decode_pattern(self.string("mailbox pattern"))
        return decode_pattern(self._match(_LIST, "mailbox pattern"))

    def flag(self) -> str:
        """One flag: a keyword or "\\\\Word"."""
        return self._match(_FLAG, "flag").decode("ascii")

    def flag_list(self) -> frozenset[str]:
        """Flags in parentheses."""
        self.expect(b"(")
        flags: set[str] = set()
        while not self.take(b")"):
            if flags:
                self.space()
            elif self.peek() == b" ":
                self.space()
                continue
            if self.take(b")"):
                break
            flags.add(self.flag())
            if len(flags) > FLAG_LIMIT:
                raise ImapSyntaxError("Too many flags")
        return frozenset(flags)


def message_flags(flags: frozenset[str]) -> frozenset[str]:
    """Flags that a client gives a message. RFC 3501 section 2.3.2: those with "\\" are five, and \\Recent is not the
    client's. Raises ImapSyntaxError, as Dovecot refuses them."""
    for flag in flags:
        if flag.startswith("\\") and flag.lower() not in SETTABLE_FLAGS:
            raise ImapSyntaxError(f"Invalid system flag {flag[:40]}")
    return flags
