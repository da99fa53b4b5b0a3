"""The options of postconf, and which of them go together."""

from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.config.error import ConfigError
from posthouse.config.main_cf import split_name_value
from posthouse.config.words import split_words

LETTERS = "aAbc:C:deEfFhHjlmMno:pPqtT:vxX#"
"""Those of Postfix 3.7, with q of 3.9 and j of 3.11; the usage line stays that of 3.7."""

USAGE = (
    "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] "
    "[-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] "
    "[-F (master.cf fields)] [-h (no names)] [-H (no values)] [-l (lock types)] [-m (map types)] "
    "[-M (master.cf)] [-n (non-default parameters)] [-o name=value (override parameter value)] "
    "[-p (main.cf, default)] [-P (master.cf parameters)] [-t (bounce templates)] "
    "[-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] "
    "[-X (exclude)] [-# (comment-out)] [name...]"
)

CLASSES = ("builtin", "service", "user")

MODES = "aAbFlmMpPtT"
"""What to work on; only one of them."""

EDITS = "eX#"

NOT_WITH: dict[str, str] = {
    **dict.fromkeys("aAblmtT", "defhHjnoqxX#"),
    "F": "dnX#",
    "M": "dhHn",
    "P": "dn#",
    "p": "",
}
"""What a mode cannot be combined with."""

ORDER = "aAbdefFhHjlmMnopPqtTxX#"
"""The order in which options are named in complaints."""


class UsageError(Exception):
    """Wrong options; `lines` are what to print after the command's name."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, understood. `edit` is "", "e", "X" or "#"."""

    mode: str
    edit: str
    directory: str | None
    classes: frozenset[str]
    defaults: bool
    changed: bool
    fold: bool
    hide_name: bool
    hide_value: bool
    expand: bool
    verbose: bool
    quiet: bool
    """Whether names that nobody reads are not told."""
    json: bool
    """Whether each thing is shown as a JSON object in a line."""
    overrides: tuple[str, ...]
    """What -o says, not looked at so far: main.cf is read first, and complained of first."""
    tls_mode: str | None
    arguments: tuple[str, ...]


def split_options(arguments: list[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Option letters with their values, and the other arguments, as getopt(3) finds them: options come first."""
    found: list[tuple[str, str]] = []
    others: list[str] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if word == "--":
            others += arguments[position:]
            break
        if len(word) < 2 or word[0] != "-":
            others += [word, *arguments[position:]]
            break
        index = 1
        while index < len(word):
            letter = word[index]
            index += 1
            where = letters.find(letter)
            if where < 0 or letter == ":":
                _require_classes(found)
                raise UsageError(f"invalid option -- '{letter}'", f"fatal: {USAGE}")
            if letter == "E":  # a letter that Postfix keeps for later
                _require_classes(found)
                raise UsageError(f"fatal: {USAGE}")
            if letters[where + 1 : where + 2] != ":":
                found.append((letter, ""))
                continue
            if index < len(word):
                found.append((letter, word[index:]))
            elif position < len(arguments):
                found.append((letter, arguments[position]))
                position += 1
            else:
                _require_classes(found)
                raise UsageError(f"option requires an argument -- '{letter}'", f"fatal: {USAGE}")
            if letter == "T" and [other for other, _ in found].count("T") > 1:
                _require_classes(found)
                raise ConfigError("At most one -T <mode> option may be specified")
            break
    return found, others


def parse_options(arguments: list[str]) -> Options:
    """The command line. UsageError or ConfigError when it makes no sense."""
    found, others = split_options(arguments, LETTERS)
    given = {letter for letter, _ in found}
    values = dict(found)
    classes = frozenset(CLASSES)
    for letter, value in found:
        if letter == "C":
            classes = _classes(value)
    modes = {letter for letter in given if letter in MODES}
    if any("=" in other for other in others) and not given & set("aAblmtT"):
        given.add("e")
    _require_compatible(given)
    mode = next(iter(modes), "p")
    wrong = [f"-{letter}" for letter in ORDER if letter in given and letter in NOT_WITH[mode]]
    if wrong:
        raise ConfigError(f"with option -{mode}, do not specify {' '.join(wrong)}")
    return Options(
        mode=mode,
        edit=next((letter for letter in EDITS if letter in given), ""),
        directory=values.get("c"),
        classes=classes,
        defaults="d" in given,
        changed="n" in given,
        fold="f" in given,
        hide_name="h" in given,
        hide_value="H" in given,
        expand="x" in given,
        verbose="v" in given,
        quiet="q" in given,
        json="j" in given,
        overrides=tuple(value for letter, value in found if letter == "o"),
        tls_mode=values.get("T"),
        arguments=tuple(others),
    )


def _require_classes(found: list[tuple[str, str]]) -> None:
    """Refuse a bad -C that stands before the option that is wrong itself: options are looked at one by one."""
    for letter, value in found:
        if letter == "C":
            _classes(value)


def _classes(text: str) -> frozenset[str]:
    """The classes of parameters that one -C option names."""
    chosen: set[str] = set()
    for word in split_words(text):
        if word.lower() not in {*CLASSES, "all"}:
            raise ConfigError(f'unknown -C option value "{word}" in "{text}"')
        chosen.add(word.lower())
    return frozenset(CLASSES if "all" in chosen else chosen)


def parse_override(text: str) -> tuple[str, str]:
    """Name and value of an -o option. ConfigError when it is no name=value."""
    pair = split_name_value(text)
    if isinstance(pair, str):
        raise ConfigError(f"invalid parameter override: {text}: {pair}")
    return pair


def _require_compatible(given: Iterable[str]) -> None:
    chosen = [letter for letter in ORDER if letter in given]
    if {"b", "t"} <= set(chosen):
        raise ConfigError("specify one of -b and -t")
    groups = [set(letters) for letters in (MODES, "deXn#", "fjeX#", "xeX#", "odeX#", "hHjeX#", "qeX#")]
    for group in groups:
        both = [letter for letter in chosen if letter in group]
        if len(both) > 1:
            raise ConfigError("specify one of " + " ".join(f"-{letter}" for letter in both))
