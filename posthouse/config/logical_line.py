"""Logical lines, as main.cf, master.cf and the source files of tables have them.

A line whose first non-blank character is "#" is a comment, at any indentation, even between
continuation lines; blank lines do not end a logical line; a line that starts with a blank
continues the one before. CRLF is accepted (a CR inside a logical line is a blank), and so is a last line without
its newline.
"""

from collections.abc import Iterator

BLANKS = " \t\r\n\v\f"
"""What isspace(3) counts: around names and values, and at the start of a line."""

WORD_BREAKS = " \t\r\n"
"""What divides the words of a line. (str.split() would also split at what Unicode counts as blank.)"""

_TO_SPACE = dict.fromkeys(map(ord, WORD_BREAKS), " ")


class LogicalLine:
    """One logical line: its text, without line ends but with the inner blanks, and where it begins and ends.

    (Written by hand, as main.cf's entries are: every command reads main.cf, and a dataclass takes longer to make.)
    """

    __slots__ = ("first", "last", "text")

    def __init__(self, text: str, first: int, last: int) -> None:
        self.text = text
        self.first = first
        self.last = last

    @property
    def is_orphan(self) -> bool:
        """Whether the line starts with a blank, and so continues nothing."""
        return self.text[:1] in BLANKS


def logical_lines(text: str) -> Iterator[LogicalLine]:
    """The logical lines of a file's text; line numbers count from one."""
    parts: list[str] = []
    first = last = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(BLANKS)
        if not stripped or stripped[0] == "#":
            continue
        if line[0] in BLANKS and parts:
            parts.append(line)
            last = number
            continue
        if parts:
            yield LogicalLine("".join(parts), first, last)
        parts, first, last = [line], number, number
    if parts:
        yield LogicalLine("".join(parts), first, last)


def read_text(path: str) -> str:
    """A configuration file's text. Bytes that are no UTF-8 pass through as surrogates."""
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """The text as Postfix's warnings show it: what cannot be printed is "?"."""
    if text.isprintable() and text.isascii():
        return text
    return "".join("?" if byte < 32 or byte > 126 else chr(byte) for byte in text.encode("utf-8", "surrogateescape"))


def orphan_warning(path: str, text: str) -> str:
    """The warning about a line that continues nothing; its text is shown to the thirtieth character."""
    visible = printable(text)
    shown = visible if len(visible) <= SHOWN else visible[:SHOWN] + "..."
    return f'{path}: logical line must not start with whitespace: "{shown}"'


SHOWN = 30


def words_of(text: str) -> list[str]:
    """The words of a line."""
    return [word for word in text.translate(_TO_SPACE).split(" ") if word]
