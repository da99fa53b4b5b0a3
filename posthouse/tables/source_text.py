"""The text that tables are made from: logical lines, key and value.

A line whose first non-blank character is # is a comment, wherever it stands; blank lines mean nothing; a line
that begins with white space continues the one before. Joined lines keep their white space. A key may hold
white space inside double quotes; the quotes stay in the key (Postfix 3.2 and later).

Standards: postmap(1), TABLE FORMAT.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from posthouse.tables.fold import is_utf8, key_bytes, key_text
from posthouse.tables.table import TableError
from posthouse.tables.words import split_words, strip_braces

BLANKS = " \t\n\v\f\r"
"""C's isspace(), which is what Postfix skips."""
BLANKS_AND_NOTHING = (*BLANKS, "")
ORPHAN_SHOWN = 30
"""Octets that a warning repeats of a line that continues nothing."""


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One entry: its text without the last line end, up to a NUL, and the number of its first line."""

    text: str
    number: int


def logical_lines(lines: Iterable[str], path: str, warn: Callable[[str], None]) -> Iterator[LogicalLine]:
    """Physical lines, with or without their ends, joined into logical ones. The path is for a warning."""
    parts: list[str] = []
    first = 0

    def joined() -> Iterator[LogicalLine]:
        text = "".join(parts)
        shown = text.partition("\0")[0]
        if text[:1] in BLANKS_AND_NOTHING:
            if text:
                start = key_text(key_bytes(shown)[:ORPHAN_SHOWN])
                more = "..." if start != shown else ""
                warn(f'{path}: logical line must not start with whitespace: "{start}{more}"')
        else:
            yield LogicalLine(shown, first)

    for number, line in enumerate(lines, 1):
        bare = line[:-1] if line.endswith("\n") else line
        stripped = bare.lstrip(BLANKS)
        if not stripped or stripped[0] == "#":
            continue
        if bare[0] in BLANKS:
            parts.append(bare)
            continue
        yield from joined()
        parts, first = [bare], number
    yield from joined()


def read_lines(path: str) -> list[str]:
    """A file's physical lines, undecodable bytes kept. Raises OSError."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return file.readlines()


def rule_lines(source: str, title: str) -> list[str]:
    """The lines of a cidr, regexp or pcre table: those of a file, or { {rule} {rule} … } itself (Postfix 3.7).

    Raises OSError, TableError.
    """
    if not source.startswith("{"):
        return read_lines(source)
    inside = strip_braces(source)
    if inside is None:
        raise TableError(f"{title}: missing '}}' in \"{source}\"")
    lines: list[str] = []
    for word in split_words(inside):
        rule = strip_braces(word)
        if rule is None:
            raise TableError(f"{title}: no '{{' at start of text in \"{word}\"")
        lines.append(rule.strip(BLANKS) + "\n")
    return lines


def split_entry(text: str) -> tuple[str, str] | None:
    """Key and value of `key white-space value`; None when a double quote is not closed.

    Either may come out empty: the caller says what it expected.
    """
    end = word_end(text, BLANKS)
    return None if end is None else (text[:end], text[end:].strip(BLANKS))


def word_end(text: str, stops: str) -> int | None:
    """Where the first of these characters stands that is not quoted; None when a double quote is not closed."""
    quoted = False
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character in stops and not quoted:
            break
        position += 1
    return None if quoted else min(position, len(text))


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a source file."""

    key: str
    value: str
    line: int


def entries(
    lines: Iterable[str],
    path: str,
    warn: Callable[[str], None],
    *,
    utf8: bool = True,
    ignoring: str = "",
) -> Iterator[Entry]:
    """The rows of a source file in postmap's format. A bad line is skipped with Postfix's warning.

    utf8: lines that are not UTF-8 are skipped. ignoring: what is said after a bad format.
    """
    for line in logical_lines(lines, path, warn):
        where = f"{path}, line {line.number}"
        text = line.text
        if utf8 and not is_utf8(text):
            warn(f'{where}: non-UTF-8 input "{text}" -- ignoring this line')
            continue
        split = split_entry(text)
        if split is None:
            warn(f"{where}: unbalanced '\"' in '{text}' -- ignoring this line")
            continue
        key, value = split
        if not key or not value:
            warn(f"{where}: expected format: key whitespace value{ignoring}")
            continue
        if key.endswith(":"):
            warn(f'{where}: record is in "key: value" format; is this an alias file?')
        yield Entry(key, value, line.number)
