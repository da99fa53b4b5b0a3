"""texthash: and inline: tables, held in memory.

texthash reads postmap's source format at start, first entry wins; inline holds its rows in main.cf,
`{ key = value, { key = value with blanks } }`, last entry wins.

Standards: DATABASE_README, "texthash" and "inline".
"""

from collections.abc import Iterator

from posthouse.tables.file_values import BadFiles, ReadValue, as_written
from posthouse.tables.fold import fold_key, is_utf8
from posthouse.tables.source_text import BLANKS, entries, read_lines, word_end
from posthouse.tables.table import Row, TableError
from posthouse.tables.warning import warn
from posthouse.tables.words import brace_fault, split_words, strip_braces


class MemoryTable:
    """Rows in a dict."""

    __slots__ = ("_fold", "_rows", "_unicode", "name", "whole_key")

    def __init__(self, name: str, rows: dict[str, Row], *, fold: bool = True, unicode: bool = True) -> None:
        self.name = name
        self.whole_key = False
        self._rows = rows
        self._fold = fold
        self._unicode = unicode

    async def lookup(self, key: str) -> Row | None:
        """The row for a key, or None."""
        return self._rows.get(fold_key(key, self._unicode) if self._fold else key)

    def items(self) -> Iterator[tuple[str, str]]:
        """Every key and value."""
        for key, row in self._rows.items():
            yield key, row.value

    def close(self) -> None:
        """Nothing is held open."""


def open_texthash(
    name: str, path: str, *, fold: bool = True, unicode: bool = True, read_value: ReadValue = as_written
) -> MemoryTable:
    """Read the file now."""
    try:
        lines = read_lines(path)
    except OSError as error:
        raise TableError(f"open database {path}: {error.strerror}") from error
    rows: dict[str, Row] = {}
    for entry in entries(lines, path, warn, utf8=unicode, ignoring=" -- ignoring this line"):
        try:
            value = read_value(entry.value)
        except BadFiles as bad:
            warn(f"{path}, line {entry.line}: {bad}: skipping this entry")
            continue
        key = fold_key(entry.key, unicode) if fold else entry.key
        if key in rows:
            warn(f'{path}, line {entry.line}: duplicate entry: "{entry.key}"')
            continue
        rows[key] = Row(value, name, key, entry.line)
    return MemoryTable(name, rows, fold=fold, unicode=unicode)


def split_quoted_name(text: str) -> tuple[str | None, bool, str]:
    """Name, whether = follows, and value, of `name = value`; the name may hold blanks and = inside double quotes.

    None for a name whose quote is not closed.
    """
    text = text.lstrip(BLANKS)
    end = word_end(text, BLANKS + "=")
    if end is None:
        return None, False, ""
    rest = text[end:].lstrip(BLANKS)
    return text[:end], rest.startswith("="), rest[1:].strip(BLANKS)


def open_inline(
    name: str, text: str, *, fold: bool = True, unicode: bool = True, read_value: ReadValue = as_written
) -> MemoryTable:
    """Read the rows from the table's own name. Blanks around = need braces around the row."""
    need = f'"{name}"; need "inline:{{name=value...}}"'
    if unicode and not is_utf8(name):
        raise TableError(f"bad UTF-8 syntax: {need}")
    inside = strip_braces(text)
    if not inside:
        raise TableError(f"bad syntax: {need}")
    if read_value is not as_written:
        need = need.replace("name=value...", "name=filename...")
    rows: dict[str, Row] = {}
    for word in split_words(inside):
        row = strip_braces(word) if word.startswith("{") else word
        if row is None:
            raise TableError(f"{brace_fault(word)}: {need}")
        key, equals, value = split_quoted_name(row)
        fault = "" if equals else "missing '=' after attribute name"
        if key is None:
            fault = "unbalanced '\"'"
        if fault or key is None:
            raise TableError(f"{fault}: {need}")
        folded = fold_key(key, unicode) if fold else key
        try:
            rows[folded] = Row(read_value(value), name, folded)
        except BadFiles as bad:
            raise TableError(f"{bad}: {need}") from bad
    return MemoryTable(name, rows, fold=fold, unicode=unicode)
