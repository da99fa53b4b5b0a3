"""The words of an address list: atoms, quoted strings, domain literals, comments, specials.

Lenient as Postfix is: any text gives tokens, nothing is lost but white space, and what is
open at the end of the text is closed there.

Standards: RFC 5322 sections 3.2.1 to 3.2.4 and 3.4.
"""

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a token is."""

    ATOM = "atom"
    QUOTED = "quoted string"
    LITERAL = "domain literal"
    COMMENT = "comment"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Token:
    """One word. Text is unquoted for ATOM, QUOTED and LITERAL, as written, with its parentheses, for COMMENT."""

    kind: Kind
    text: str

    @property
    def is_word(self) -> bool:
        """Whether it can be part of a local part, a domain or a phrase."""
        return self.kind in _WORDS


_WORDS = frozenset({Kind.ATOM, Kind.QUOTED, Kind.LITERAL})
_SPACE = " \t\r\n"
_TO_QUOTE = re.compile(r'[()<>@,;:".\[\]!%|\\\x00-\x20\x7f]')
# One alternative per kind; inside a quoted string, a literal and a comment RFC 5322's quoted-pair counts.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)"""
    r"""|(?P<atom>(?:[^\\()<>@,;:".\[\]!%| \t\r\n]|\\(?:.|$))+)"""
    r"""|"(?P<quoted>(?:[^"\\]|\\.)*)\\?(?:"|$)"""
    r"""|\[(?P<literal>(?:[^\]\\]|\\.)*)\\?(?:\]|$)"""
    r"""|(?P<comment>\()"""
    r"""|(?P<special>[),.:;<>@\]!%|])""",
    re.DOTALL,
)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_WHITE = re.compile(r"[\t\r\n]")
_COMMENT_STEP = re.compile(r"\\.|[()]", re.DOTALL)


def scan(text: str) -> list[Token]:
    """The tokens of a text. As in Postfix !, % and | are specials: they stand between the parts of an address."""
    text = text.replace("\r\n", "\n")
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # every character starts one of the alternatives
        position = match.end()
        kind = match.lastgroup
        if kind == "space":
            continue
        if kind == "comment":
            end = _comment_end(text, position)
            tokens.append(Token(Kind.COMMENT, text[position - 1 : end]))
            position = end
        elif kind == "atom":
            plain = match.group("atom")
            if "\\" in plain:
                plain = _unpair(plain.removesuffix("\\") if plain.count("\\") % 2 else plain)
            tokens.append(Token(Kind.QUOTED if _TO_QUOTE.search(plain) else Kind.ATOM, plain))
        elif kind == "quoted":
            tokens.append(Token(Kind.QUOTED, _unpair(match.group("quoted"))))
        elif kind == "literal":
            tokens.append(Token(Kind.LITERAL, _unpair(match.group("literal"))))
        else:
            tokens.append(Token(Kind.SPECIAL, match.group()))
    return tokens


def _unpair(text: str) -> str:
    """Quoted pairs undone, line breaks and tabs as blanks."""
    return _WHITE.sub(" ", _PAIR.sub(r"\1", text))


def _comment_end(text: str, position: int) -> int:
    """Just after the parenthesis that closes the comment whose inside starts here, or the end of the text."""
    depth = 1
    while match := _COMMENT_STEP.search(text, position):
        position = match.end()
        if match.group() == "(":
            depth += 1
        elif match.group() == ")":
            depth -= 1
            if not depth:
                return position
    return len(text)
