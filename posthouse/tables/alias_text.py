"""The text of an aliases file: `name: value, value`.

Names and values are scanned as address lists: white space and comments fall into place, what is open is closed.
A name may be quoted and is kept without its quotes; it must be local.

Standards: aliases(5).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from posthouse.address.tokens import Kind, Token, scan
from posthouse.tables.source_text import Entry, logical_lines

_SPACED = frozenset({Kind.ATOM, Kind.QUOTED, Kind.LITERAL, Kind.COMMENT})


def alias_entries(
    lines: Iterable[str], path: str, warn: Callable[[str], None], *, utf8: bool = True
) -> Iterator[Entry]:
    """The rows of an aliases file. A bad line is skipped with Postfix's warning."""
    for line in logical_lines(lines, path, warn):
        where = f"{path}, line {line.number}"
        if utf8 and not line.utf8:
            warn(f'{where}: non-UTF-8 input "{line.text}" -- ignoring this line')
            continue
        tokens = scan(line.text)
        colon = next((n for n, token in enumerate(tokens) if token.kind is Kind.SPECIAL and token.text == ":"), 0)
        before = {token.text for token in tokens[:colon] if token.kind is Kind.SPECIAL}
        if not colon or colon == len(tokens) - 1 or "," in before:
            warn(f"{where}: need name:value pair")
            continue
        if "@" in before:
            warn(f"{where}: name must be local")
            continue
        yield Entry(_join(tokens[:colon], quoted=False), _join(tokens[colon + 1 :], quoted=True), line.number)


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
        # |"command with blanks" is one word to local(8), so nothing comes between.
        return (right.kind in _SPACED and left.text != "|") or right.text == "<"
    return left.text == ">" and right.kind in _SPACED


def _text(token: Token, quoted: bool) -> str:
    if token.kind is Kind.QUOTED:
        if not quoted:
            return token.text
        return '"' + token.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if token.kind is Kind.LITERAL:
        return f"[{token.text}]"
    return token.text
