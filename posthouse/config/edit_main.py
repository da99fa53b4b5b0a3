"""main.cf edited: values replaced or added, entries removed or commented out.

Comments stay, also those inside an entry that is replaced. Every entry of a name is
edited, when there are several. New names go to the end, in the order given.
"""

from collections.abc import Iterable, Mapping

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import BLANKS, printable
from posthouse.config.main_cf import split_name_value


def parse_assignments(arguments: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Names and values of name=value arguments, and warnings. ConfigError in postconf's words."""
    values: dict[str, str] = {}
    warnings: list[str] = []
    for argument in arguments:
        require_one_line(argument)
        pair = split_name_value(argument)
        if isinstance(pair, str):
            raise ConfigError(f'{pair}: "{printable(argument.lstrip(BLANKS))}"')
        name, value = pair
        if name in values:
            warnings.append(f"ignoring earlier request: '{name} = {values[name]}'")
        values[name] = value
    return values, warnings


def parse_names(arguments: Iterable[str]) -> list[str]:
    """Names of arguments that are to be removed or commented out."""
    names: list[str] = []
    for argument in arguments:
        require_one_line(argument)
        if not argument.strip(BLANKS):
            raise ConfigError("-X or -# requires non-blank parameter names")
        names.append(argument.lstrip(BLANKS))
    return list(dict.fromkeys(names))


def require_one_line(argument: str, options: str = "-e, -X, or -# accepts") -> None:
    """Refuse what would break the file: line ends, and comments."""
    if "\n" in argument:
        raise ConfigError(f"{options} no multi-line input")
    if argument.lstrip(BLANKS).startswith("#"):
        raise ConfigError(f"{options} no comment input")


def edit_main(
    text: str, values: Mapping[str, str] | None, names: Iterable[str], *, remove: bool
) -> tuple[str, list[str]]:
    """The text edited, and the names that had several entries.

    With values, those are set; else the names are removed, or commented out.
    """
    wanted = dict.fromkeys(values if values is not None else names, 0)
    out: list[str] = []
    editing = False
    for line in _lines(text):
        stripped = line.strip(BLANKS)
        if not stripped or stripped[0] == "#":
            out.append(line)
            continue
        if line[0] not in BLANKS:
            name = entry_name(line)
            editing = name in wanted
            if editing:
                wanted[name] += 1
                if values is not None:
                    out.append(f"{name} = {values[name]}\n")
        if not editing:
            out.append(line)
        elif values is None and not remove:
            out.append(f"#{line}")
    if values is not None:
        new = [f"{name} = {values[name]}\n" for name, count in wanted.items() if not count]
        if new and out and not out[-1].endswith("\n"):
            # postconf of Postfix 3.7 would glue its entry to the last line, and so damage both.
            out.append("\n")
        out += new
    return "".join(out), [name for name, count in wanted.items() if count > 1]


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [part for part in text.split("\n")[-1:] if part]


def entry_name(line: str) -> str:
    """The name at the start of an entry's first line."""
    end = 0
    while end < len(line) and line[end] not in BLANKS and line[end] != "=":
        end += 1
    return line[:end]
