"""The right-hand side of aliases(5) and of .forward files.

    expansion = item *("," item)
    item      = address / "|" command / "/" path / ":include:" path / "\\" name

An item that holds blanks, commas or other special characters stands in double quotes. In a
.forward and an include file a line end separates too, and a line whose first non-blank is "#"
is a comment.
"""

import re
from dataclasses import dataclass
from enum import Enum

from posthouse.address.address_list import addresses


class Kind(Enum):
    """What an item asks for."""

    ADDRESS = "address"
    COMMAND = "command"
    FILE = "file"
    INCLUDE = "include"
    MAILBOX = "mailbox"
    """"\\name": the mailbox of that user, without another look at aliases and .forward."""


@dataclass(frozen=True, slots=True)
class Item:
    """One destination. value: the address (internal form), command line, path or name without its mark."""

    kind: Kind
    value: str


INCLUDE = ":include:"
MARKS = ("|", "/", ":", "\\")
"""An item that starts with one of them is no address."""

_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|\\.|[^\s"])+""", re.DOTALL)
"""Up to a blank outside of quotes."""


def _pieces(text: str) -> list[str]:
    """Split at commas outside of quotes; an unclosed quote runs to the end."""
    pieces: list[str] = []
    start = position = 0
    quoted = False
    comment = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"' and not comment:
            quoted = not quoted
        elif not quoted and character == "(":
            comment += 1
        elif not quoted and character == ")" and comment:
            comment -= 1
        elif character == "," and not quoted and not comment:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def _unquoted(piece: str) -> str:
    """A wholly quoted item without its quotes; anything else as it is."""
    if len(piece) < 2 or not piece.startswith('"') or not piece.endswith('"'):
        return piece
    out: list[str] = []
    position = 1
    while position < len(piece) - 1:
        if piece[position] == "\\" and position + 1 < len(piece) - 1:
            position += 1
        elif piece[position] == '"':
            return piece  # "a" b "c": an address with several quoted parts
        out.append(piece[position])
        position += 1
    return "".join(out)


def _items(piece: str) -> list[Item]:
    """What stands between two commas: one item, or several (words without a comma between them are two)."""
    words = _WORD.findall(piece)
    if not any(_unquoted(word).startswith(MARKS) for word in words):
        return [Item(Kind.ADDRESS, address) for address in addresses(piece) if address]
    items: list[Item] = []
    mark = ""
    for word in words:
        bare = mark + _unquoted(word)
        mark = ""
        if (bare == "|" and len(words) > 1) or bare.lower() == INCLUDE:
            mark = bare
        elif bare.startswith("|"):
            items.append(Item(Kind.COMMAND, _unquoted(bare[1:])))
        elif bare.startswith("/"):
            items.append(Item(Kind.FILE, bare))
        elif bare.lower().startswith(INCLUDE):
            items.append(Item(Kind.INCLUDE, _unquoted(bare[len(INCLUDE) :].strip())))
        elif bare.startswith("\\") and len(bare) > 1:
            items.append(Item(Kind.MAILBOX, bare[1:]))
        else:
            items += [Item(Kind.ADDRESS, address) for address in addresses(word) if address]
    return items


def parse_expansion(text: str) -> list[Item]:
    """The items of one alias value or one line."""
    return [item for piece in _pieces(text) for item in _items(piece)]


def parse_lines(text: str) -> list[Item]:
    """The items of a .forward or include file."""
    items: list[Item] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            items += parse_expansion(stripped)
    return items
