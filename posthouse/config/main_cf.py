"""main.cf: name = value, one to a logical line. The last entry of a name wins.

Manual: postconf(5). Refused, with the line on which the entry begins: a line without "=",
and one without a name.
"""

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import BLANKS, logical_lines, orphan_warning, printable, read_text


class Entry:
    """One entry of main.cf."""

    __slots__ = ("line", "name", "value")

    def __init__(self, name: str, value: str, line: int) -> None:
        self.name = name
        self.value = value
        self.line = line


class MainCf:
    """The entries in the file's order, and what Postfix warns about."""

    __slots__ = ("entries", "path", "warnings")

    def __init__(self, path: str, entries: list[Entry], warnings: list[str]) -> None:
        self.path = path
        self.entries = entries
        self.warnings = warnings


def split_name_value(text: str) -> tuple[str, str] | str:
    """Name and value of "name = value", or Postfix's words for what is wrong with it."""
    body = text.lstrip(BLANKS)
    end = 0
    while end < len(body) and body[end] not in BLANKS and body[end] != "=":
        end += 1
    name = body[:end]
    if not name:
        return "missing attribute name"
    rest = body[end:].lstrip(BLANKS)
    if not rest.startswith("="):
        return "missing '=' after attribute name"
    return name, rest[1:].strip(BLANKS)


def parse_main_cf(text: str, path: str) -> MainCf:
    """The entries of a main.cf. ConfigError names file and line of the first that is broken."""
    entries: list[Entry] = []
    warnings: list[str] = []
    seen: dict[str, str] = {}
    for line in logical_lines(text):
        content = line.text.split("\0", 1)[0]
        if line.is_orphan:
            warnings.append(orphan_warning(path, content))
            continue
        pair = split_name_value(content)
        if isinstance(pair, str):
            raise ConfigError(f'{path}, line {line.first}: {pair}: "{printable(content)}"', tuple(warnings))
        name, value = pair
        if seen.get(name, value) != value:
            warnings.append(f"{path}, line {line.first}: overriding earlier entry: {name}={printable(seen[name])}")
        seen[name] = value
        entries.append(Entry(name, value, line.first))
    return MainCf(path, entries, warnings)


def read_main_cf(path: str) -> MainCf:
    """The entries of a main.cf on disk."""
    try:
        text = read_text(path)
    except IsADirectoryError as error:
        raise ConfigError(f"read {path}: Is a directory") from error
    except OSError as error:
        raise ConfigError(f"open {path}: {error.strerror}") from error
    return parse_main_cf(text, path)
