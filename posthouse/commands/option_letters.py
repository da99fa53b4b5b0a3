"""Options of one letter, as getopt(3) finds them: all of them before the first other word.

The module getopt of the standard library does the same, and imports gettext for it.
"""


class WrongOption(Exception):
    """An option that is none, or that lacks its argument: getopt's complaint."""


def split_options(arguments: list[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """("-x", argument or "") of each option, and the other words. A colon after a letter: it takes an argument."""
    found: list[tuple[str, str]] = []
    for position, word in enumerate(arguments):
        if word == "--":
            return found, arguments[position + 1 :]
        if len(word) < 2 or word[0] != "-":
            return found, arguments[position:]
        for index, letter in enumerate(word[1:], 1):
            where = letters.find(letter)
            if where < 0 or letter == ":":
                raise WrongOption(f"invalid option -- '{letter}'")
            if letters[where + 1 : where + 2] != ":":
                found.append((f"-{letter}", ""))
                continue
            if index + 1 < len(word):
                found.append((f"-{letter}", word[index + 1 :]))
                break
            if position + 1 == len(arguments):
                raise WrongOption(f"option requires an argument -- '{letter}'")
            found.append((f"-{letter}", arguments[position + 1]))
            rest, others = split_options(arguments[position + 2 :], letters)
            return found + rest, others
    return found, []
