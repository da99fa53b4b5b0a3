"""The text of an aliases file: `name: value, value`.

Names and values are scanned as address lists: white space and comments fall into place, what is open is closed.
A name may be quoted and is kept without its quotes; it must be local.

Standards: aliases(5).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from posthouse.address.tokens import Kind, Token, scan
from posthouse.tables.fold import is_utf8
from posthouse.tables.source_text import Entry, logical_lines

_SPACED = frozenset({Kind.ATOM, Kind.QUOTED, Kind.LITERAL, Kind.COMMENT})


def alias_entries(
    lines: Iterable[str], path: str, warn: Callable[[str], None], *, utf8: bool = True
) -> Iterator[Entry]:
    """The rows of an aliases file. A bad line is skipped with Postfix's warning."""
    for line in logical_lines(lines, path, warn):
        where = f"{path}, line {line.number}"
        if utf8 and not is_utf8(line.text):
            warn(f'{where}: non-UTF-8 input "{line.text}" -- ignoring this line')
            continue
        tokens = list(_with_bars(scan(line.text)))
        colon = next((n for n, token in enumerate(tokens) if token.kind is Kind.SPECIAL and token.text == ":"), 0)
        before = {token.text for token in tokens[:colon] if token.kind is Kind.SPECIAL}
        if not colon or colon == len(tokens) - 1 or "," in before:
            warn(f"{where}: need name:value pair")
            continue
        if "@" in before:
            warn(f"{where}: name must be local")
            continue
        yield Entry(_join(tokens[:colon], quoted=False), _join(tokens[colon + 1 :], quoted=True), line.number)


def _with_bars(tokens: Sequence[Token]) -> Iterator[Token]:
    """In aliases | is a token of its own, which takes no blanks beside it."""
    for token in tokens:
        if token.kind is not Kind.ATOM or "|" not in token.text:
            yield token
            continue
        for number, piece in enumerate(token.text.split("|")):
            if number:
                yield Token(Kind.SPECIAL, "|")
            if piece:
                yield Token(Kind.ATOM, piece)


def _join(tokens: Sequence[Token], *, quoted: bool) -> str:
    out: list[str] = []
    before: Token | None = None
    for token in tokens:
        if before is not None and _spaced(before, token):
            out.append(" ")
        out.append(_text(token, quoted))
        if token.kind is Kind.SPECIAL and token.text == ",":
            out.append(" ")
        before = token
    return "".join(out)


def _spaced(left: Token, right: Token) -> bool:
    if left.kind in _SPACED:
        return right.kind in _SPACED or right.text == "<"
    return left.text == ">" and right.kind in _SPACED


def _text(token: Token, quoted: bool) -> str:
    if token.kind is Kind.QUOTED:
        if not quoted:
            return token.text
        return '"' + token.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if token.kind is Kind.LITERAL:
        return f"[{token.text}]"
    return token.text
