"""Configuration as postconf prints it: one blank between words, and folded lines when asked for."""

from posthouse.config.logical_line import BLANKS, words_of

LINE_LIMIT = 80
"""Columns of a folded line; a longer word stands alone on its line."""

INDENT = "    "

COLUMNS = (0, 11, 17, 25, 33, 41, 49, 57)
"""Where the eight fields of a master.cf line begin, if the ones before leave room."""


def print_words(text: str, *, fold: bool) -> str:
    """A line of main.cf: runs of blanks become one, and the line is folded between words."""
    words = words_of(text)
    if not fold:
        return " ".join(words)
    lines: list[str] = []
    line = ""
    for word in words:
        if not line:
            line = word if not lines else INDENT + word
        elif len(line) + 1 + len(word) > LINE_LIMIT:
            lines.append(line)
            line = INDENT + word
        else:
            line += f" {word}"
    return "\n".join([*lines, line])


def braced(word: str) -> str:
    """A word of master.cf, in braces when it holds blanks."""
    return f"{{{word}}}" if any(c in BLANKS for c in word) else word


class _Lines:
    """A line being filled, and folded when full."""

    def __init__(self, start: str, fold: bool) -> None:
        self.done = ""
        self.line = start
        self.fold = fold
        self.full = False

    def wrap(self) -> None:
        """Whatever comes next begins a new line."""
        self.full = True

    def add(self, text: str, *, apart: bool = False) -> None:
        """One more piece, kept whole; `apart`: whatever stands before it."""
        # Postfix takes a line no longer than the indent for one that holds nothing: -Fh shows "smtp -v" as "smtp-v".
        holds = apart or len(self.line) > len(INDENT)
        if (
            self.fold
            and self.line != INDENT
            and (self.full or (holds and len(self.line) + 1 + len(text) >= LINE_LIMIT))
        ):
            self.done += self.line + "\n"
            self.line = INDENT + text
        else:
            self.line += f" {text}" if holds else text
        self.full = False


def print_fields(fields: tuple[str, ...], command: str) -> str:
    """The eight fields in their columns."""
    line = ""
    for goal, field in zip(COLUMNS, (*fields, command), strict=True):
        if line:
            line = f"{line} ".ljust(goal)
        line += field
    return line


def print_service(fields: tuple[str, ...], words: tuple[str, ...], *, fold: bool) -> str:
    """A whole master.cf entry: fields, then the daemon's options, each setting on a line of its own when folded."""
    lines = _Lines(print_fields(fields, braced(words[0])), fold)
    _add_arguments(lines, words[1:], indented=True)
    return lines.done + lines.line


def print_command(start: str, words: tuple[str, ...], *, fold: bool) -> str:
    """The command field with its arguments after `start`, as -F shows it."""
    lines = _Lines(start + braced(words[0]), fold)
    _add_arguments(lines, words[1:], indented=True)
    return lines.done + lines.line


def _add_arguments(lines: _Lines, words: tuple[str, ...], *, indented: bool) -> None:
    options = True
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-") or word in {"-", "--"}:
            options = False
        if options and word == "-o" and position < len(words):
            lines.wrap()
            lines.add(f"-o {braced(words[position])}", apart=lines.line != INDENT)
            lines.wrap()
            position += 1
            continue
        lines.add(word if options else braced(word))
