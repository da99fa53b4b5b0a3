"""postmulti's command line."""

import getopt
import sys
from dataclasses import dataclass

USAGE = (
    "Usage:postmulti -l [-v] [-a] [-g group] [-i instance]"
    " | postmulti -p [-v] [-a] [-g group] [-i instance] command..."
    " | postmulti -x [-v] [-a] [-i name] [-g group] command..."
    " | postmulti -e action [-v] [-a] [-i name] [-g group] [-I name] [-G group] [param=value ...]"
)

ACTIONS = ("create", "destroy", "import", "deport", "enable", "disable", "assign", "init")


class Fatal(Exception):
    """The command cannot go on; without a text when that has been said."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. Empty: not given."""

    mode: str
    """l, p, x or e."""
    action: str
    words: tuple[str, ...]
    group: str
    name: str
    first: bool
    """-a"""
    new_group: str | None
    new_name: str | None
    reverse: bool
    verbose: bool


def say(text: str, program: str = "postmulti") -> None:
    """A line to standard error."""
    sys.stdout.flush()
    sys.stderr.buffer.write(f"{program}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def parse_options(arguments: list[str]) -> Options:
    """Raises Fatal."""
    try:
        options, words = getopt.getopt(arguments, "ae:g:i:G:I:lpRvx")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        say(f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    chosen = dict(options)
    action = chosen.get("-e", "")
    if "-e" in chosen and action not in ACTIONS:
        listed = ", ".join(f"'{one}'" for one in ACTIONS[:-1])
        raise Fatal(f"Invalid '-e' edit action '{action}'. Specify {listed} or 'init'")
    modes = [mode for mode in ("-e", "-l", "-p", "-x") if mode in chosen]
    if len(modes) != 1:
        raise Fatal("Specify exactly one of '-e', '-l', '-p', '-x'")
    mode = modes[0]
    if len(chosen.keys() & {"-a", "-g", "-i"}) > 1:
        raise Fatal("Specity no more than one of '-a', '-g', '-i'")
    if "-R" in chosen and mode in ("-p", "-e"):
        raise Fatal("The '-p' and '-e' options preclude the use of '-R'")
    if mode != "-e" and chosen.keys() & {"-I", "-G"}:
        raise Fatal("Cannot assign instance name or group without '-e assign'")
    if mode == "-l" and words:
        raise Fatal("Command not allowed with '-l'")
    if mode in ("-p", "-x") and not words:
        raise Fatal("Command required with '-p' or '-x' option")
    return Options(
        mode=mode[1],
        action=action,
        words=tuple(words),
        group=chosen.get("-g", ""),
        name=chosen.get("-i", ""),
        first="-a" in chosen,
        new_group=chosen.get("-G"),
        new_name=chosen.get("-I"),
        reverse="-R" in chosen,
        verbose="-v" in chosen,
    )
