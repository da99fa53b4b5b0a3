"""Values of MIME header fields: a word, then parameters; tokens, quoted strings, comments.

Forgiving and linear: one regular expression per piece, each piece read once, numbers bounded.
Bytes above ASCII come out as latin-1 str, so that they can be written back as found.

    value      = word [ "/" word ] *( ";" parameter )
    parameter  = name "=" ( token / quoted-string )

Standards: RFC 2045 section 5.1; RFC 2231 sections 3 and 4; RFC 5322 section 3.2.
"""

import re

# Parameters of one field. Real ones have five; RFC 2231 pieces some dozens.
PARAMETER_LIMIT = 200
# Octets of one field's value that are looked at.
VALUE_LIMIT = 65_536
# Depth of nested comments.
COMMENT_DEPTH = 20

# RFC 2045 section 5.1: any CHAR except SPACE, CTLs and tspecials; octets above ASCII are let in, as mail has them.
_TOKEN = re.compile(rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")
# What an unquoted parameter value may hold in practice: anything up to white space or ";".
_LOOSE = re.compile(rb"[^\x00-\x20\x7f;\"]+")
# quoted-string = DQUOTE *( qtext / "\" CHAR ) [ DQUOTE ]: one that is not closed ends with the value
_QUOTED = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]+")
_COMMENT_MARK = re.compile(rb"[()\\]")
_FOLD = re.compile(rb"\r?\n([ \t])")
# RFC 2231 section 3: name "*" number [ "*" ]
_PIECE = re.compile(r"\A([^*]+)\*(0|[1-9][0-9]{0,2})(\*?)\Z")


class FieldValue:
    """A cursor over one value."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data[:VALUE_LIMIT]
        self.position = 0

    def skip(self) -> None:
        """Pass white space and comments."""
        while True:
            match = _SPACE.match(self.data, self.position)
            if match is not None:
                self.position = match.end()
            if self.data[self.position : self.position + 1] != b"(":
                return
            self._comment()

    def _comment(self) -> None:
        depth = 1
        self.position += 1
        while depth:
            match = _COMMENT_MARK.search(self.data, self.position)
            if match is None:
                self.position = len(self.data)
                return
            self.position = match.end()
            if match[0] == b"\\":
                self.position += 1
            elif match[0] == b")":
                depth -= 1
            elif depth < COMMENT_DEPTH:
                depth += 1

    def take(self, octet: bytes) -> bool:
        """Pass one octet, if it is next."""
        self.skip()
        if self.data[self.position : self.position + 1] == octet:
            self.position += 1
            return True
        return False

    def token(self) -> str:
        """A token, or ""."""
        self.skip()
        match = _TOKEN.match(self.data, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0].decode("latin-1")

    def word(self) -> str:
        """A token in lower case, or ""."""
        return self.token().lower()

    def parameter_value(self) -> str:
        """A quoted string's content, or a token as loosely as mail has them."""
        self.skip()
        match = _QUOTED.match(self.data, self.position)
        if match is not None:
            self.position = match.end()
            return re.sub(rb"\\(.)", rb"\1", _FOLD.sub(rb"\1", match[1]), flags=re.DOTALL).decode("latin-1")
        match = _LOOSE.match(self.data, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0].decode("latin-1")

    def next_parameter(self) -> bool:
        """Go behind the next ";"."""
        self.skip()
        found = self.data.find(b";", self.position)
        if found < 0:
            return False
        self.position = found + 1
        return True

    def text(self) -> str:
        """The whole value unfolded, without white space around it."""
        return _FOLD.sub(rb"\1", self.data).strip().decode("latin-1")


def parse_type(value: bytes) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
    """Content-Type: type, subtype, parameters; None when it is none (RFC 2045 section 5.2: text/plain then)."""
    cursor = FieldValue(value)
    main = cursor.word()
    if not main or not cursor.take(b"/"):
        return None
    sub = cursor.word()
    return (main, sub, parse_parameters(cursor)) if sub else None


def parse_parameters(cursor: FieldValue) -> tuple[tuple[str, str], ...]:
    """What follows the word: names in lower case, the first of a name counts, RFC 2231 pieces joined in order.

    A joined value is still percent-encoded when any piece was: its name then ends in "*".
    """
    found: dict[str, str] = {}
    for _ in range(PARAMETER_LIMIT):
        if not cursor.next_parameter():
            break
        name = cursor.word()
        if not name or not cursor.take(b"="):
            continue
        found.setdefault(name, cursor.parameter_value())
    return tuple(_join_pieces(found).items()) if any("*" in name for name in found) else tuple(found.items())


def _join_pieces(found: dict[str, str]) -> dict[str, str]:
    """RFC 2231 section 3. Pieces after a gap in the numbers are left out."""
    joined: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, value in found.items():
        match = _PIECE.match(name)
        if match is None:
            joined[name] = value
        else:
            pieces.setdefault(match[1], {}).setdefault(int(match[2]), (match[3] == "*", value))
    for name, numbered in pieces.items():
        encoded = any(is_encoded for is_encoded, _ in numbered.values())
        texts = []
        for number in range(len(numbered)):
            if number not in numbered:
                break
            is_encoded, text = numbered[number]
            texts.append(text if is_encoded or not encoded else text.replace("%", "%25"))
        if texts:
            joined.setdefault(name + "*" * encoded, "".join(texts))
    return joined


def languages(value: bytes) -> tuple[str, ...]:
    """Content-Language, RFC 3282: tags between commas."""
    cursor = FieldValue(value)
    found = []
    for _ in range(PARAMETER_LIMIT):
        tag = cursor.token()
        if tag:
            found.append(tag)
        if not cursor.take(b","):
            break
    return tuple(found)
