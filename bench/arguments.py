"""The command lines of the benches."""

import getopt
import sys


def read_arguments(arguments: list[str], letters: str, manual: str, *long: str) -> dict[str, str] | int:
    """Options by name, or the exit status where the command line is wrong (2) or asks for the manual (0)."""
    try:
        options, rest = getopt.getopt(arguments, letters, list(long))
    except getopt.GetoptError as error:
        print(f"bench: {error}\n\n{manual}", file=sys.stderr)
        return 2
    if rest:
        print(manual, file=sys.stderr)
        return 2
    chosen = dict(options)
    if "-h" in chosen or "--help" in chosen:
        print(manual)
        return 0
    return chosen
