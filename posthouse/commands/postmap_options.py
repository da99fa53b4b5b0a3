"""The command line of postmap and postalias: one for both, with small differences.

Standards: postmap(1), postalias(1) of Postfix 3.7.
"""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.commands.option_letters import WrongOption, split_options

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import; a query needs no Build
    from collections.abc import Callable, Iterable, Iterator

    from posthouse.config.configuration import Configuration
    from posthouse.tables.build import Build
    from posthouse.tables.source_text import Entry


class Fatal(Exception):
    """The command ends with these words and status 1."""


class Usage(Exception):
    """Bad options: getopt's complaint, or ""."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What differs between postmap and postalias."""

    name: str
    usage: str
    options: str
    parse: Callable[[Iterable[str], str, bool], Iterator[Entry]]
    """Rows from lines, the file's name, and whether it must be UTF-8."""
    separator: str
    """What stands after the key in a listing."""
    bookkeeping: Callable[[Build, Configuration], None] | None = None
    """Rows that are in every table of this kind."""


@dataclass(slots=True)
class Options:
    """What the command line asks for."""

    directory: str | None = None
    query: str | None = None
    delete: str | None = None
    sequence: bool = False
    incremental: bool = False
    body: bool = False
    header: bool = False
    mime: bool = False
    fold: bool = True
    utf8: bool | None = None
    files: bool = False
    nul: bool | None = None
    keep_root: bool = False
    plain_mode: bool = False
    replace: bool = False
    quiet: bool = False
    verbose: bool = False
    maps: tuple[str, ...] = ()


def parse_options(tool: Tool, arguments: list[str]) -> Options:
    """The command line. Raises Usage, Fatal."""
    try:
        pairs, rest = split_options(arguments, tool.options)
    except WrongOption as error:
        # Options count one after the other: what is wrong before the bad one is said first.
        if len(arguments) > 1:
            try:
                parse_options(tool, arguments[:-1])
            except Usage:
                pass
        raise Usage(str(error)) from error
    options = Options(maps=tuple(rest))
    switches = {
        "-b": "body",
        "-F": "files",
        "-h": "header",
        "-i": "incremental",
        "-m": "mime",
        "-o": "keep_root",
        "-p": "plain_mode",
        "-v": "verbose",
    }
    for option, value in pairs:
        if option in switches:
            setattr(options, switches[option], True)
        elif option in ("-r", "-w"):  # the last one counts
            options.replace, options.quiet = option == "-r", option == "-w"
        elif option == "-c":
            options.directory = value
        elif option == "-f":
            options.fold = False
        elif option in ("-u", "-U"):
            options.utf8 = option == "-U"
        elif option in ("-n", "-N"):
            options.nul = option == "-N"
        else:
            others = options.query is not None or options.delete is not None
            if others or (options.sequence and option != "-s"):
                either = "-s or -q or -d" if option == "-s" else "-s -q or -d"
                raise Fatal(f"specify only one of {either}")
            if option == "-s":
                options.sequence = True
            elif option == "-q":
                options.query = value
            else:
                options.delete = value
    return options
