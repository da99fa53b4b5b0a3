"""The command line of sendmail: Sendmail's options as Postfix takes them, getopt style, no option after an address."""

from collections.abc import Callable
from dataclasses import dataclass, field

LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
"""An option's letter, and ":" when it takes an argument."""

DELIVERY = "m"
IGNORE = "ignore"
"""-bh, -bH, -q5m: a host status database and queue run times are not kept here; the command ends at once."""

NEVER = 1
_NOTIFY = {"never": NEVER, "success": 2, "failure": 4, "delay": 8}
"""As in envelope/envelope.py, whose import mailq does without."""


class UsageError(Exception):
    """What the command ends with, without the program's name; the exit status is 75 for all."""


@dataclass(slots=True)
class SendmailOptions:
    """What was asked for."""

    mode: str = DELIVERY
    """m deliver, p list, i aliases, d daemon, s SMTP on standard input, q flush, or "ignore"."""
    verify: bool = False
    """-bv: in the place of a delivery."""
    at_times: bool = False
    """-q5m: nothing is done, but for -bd."""
    sender: str | None = None
    full_name: str | None = None
    gateway: bool = False
    dot_ends: bool = True
    extract: bool = False
    body: str = ""
    notify: int = 0
    """-N, as a Notify's value."""
    ret: str = ""
    envid: str = ""
    verp: str | None = None
    """The delimiters; "" means default_verp_delimiters."""
    alias_database: str = ""
    flush: tuple[str, ...] = ()
    """Arguments for postqueue."""
    verbose: int = 0
    """1: report the first delivery attempt; more is Postfix's verbose logging, which is not kept here."""
    recipients: list[str] = field(default_factory=list)


Say = Callable[[str], None]
"""Takes a line of complaint, without the program's name."""

Word = tuple[str, str]
"""An option's letter and its argument; "?" and getopt's complaint when it is none."""

_USAGE = "fatal: usage: sendmail [options]"


def split_words(arguments: list[str]) -> tuple[list[Word], list[str]]:
    """The options in order, and the other words."""
    words: list[Word] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return words, arguments[position + 1 :]
        if not word.startswith("-") or word == "-":
            return words, arguments[position:]
        position += 1
        if word == "-q":
            words.append(("q", ""))
            continue
        if word == "-V" and [len(after) for after in arguments[position : position + 1]] == [2]:
            words.append(("X", "V"))  # as Postfix does, its two characters are left to be the first recipient
            words.append(("", "warning: option -V is deprecated with Postfix 2.3; specify -XV instead"))
            continue
        if word.startswith("-V") and len(word) == 4:
            words.append(("", f"warning: option {word} is deprecated with Postfix 2.3; specify -X{word[1:]} instead"))
            words.append(("X", word[1:]))
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            at = LETTERS.find(letter)
            if at < 0 or letter == ":":
                words.append(("?", f"invalid option -- '{letter}'"))
                continue
            argument = ""
            if LETTERS[at + 1 : at + 2] == ":":
                argument, letters = letters, ""
                if not argument and position >= len(arguments):
                    words.append(("?", f"option requires an argument -- '{letter}'"))
                    continue
                if not argument:
                    argument = arguments[position]
                    position += 1
            words.append((letter, argument))
    return words, []


def directory_of(words: list[Word], say: Say) -> str:
    """What -C names; getopt(3) complains when it goes over the words for that, and again when they are followed."""
    found = ""
    for letter, argument in words:
        if letter == "?":
            say(argument)
        elif letter == "C":
            found = argument
    return found


def parse_options(words: list[Word], recipients: list[str], say: Say, verp_filter: str) -> SendmailOptions:
    """The options, with warnings as they are met. Raises UsageError. `verp_filter` is verp_delimiter_filter."""
    options = SendmailOptions(recipients=recipients)
    for letter, argument in words:
        if letter == "?":
            say(argument)
            raise UsageError(_USAGE)
        if letter == "":
            say(argument)
        elif letter == "N":
            options.notify = _notify(argument, say)
        elif letter == "R":
            options.ret = argument.upper() if argument.upper() in ("FULL", "HDRS") else ""
            if not options.ret:
                say("warning: bad -R option value -- ignored")
        elif letter == "X":
            _extension(options, argument, verp_filter)
        else:
            _option(options, letter, argument)
    if options.mode == IGNORE or (options.at_times and options.mode != "d"):
        options.mode = IGNORE
        return options
    if options.extract and options.verify:
        raise UsageError("fatal: -t option cannot be used with -bv")
    if options.verify and options.verbose == 1:
        raise UsageError("fatal: -v option cannot be used with -bv")
    if options.extract and options.mode != DELIVERY:
        raise UsageError("fatal: -t can be used only in delivery mode")
    return options


def _notify(argument: str, say: Say) -> int:
    result = 0
    for word in argument.replace(",", " ").split():
        value = _NOTIFY.get(word.lower())
        if value is None:
            say(f'warning: unknown DSN NOTIFY command value "{word}" in "{argument}"')
            result = 0
            break
        result |= value
    if not result or (result & NEVER and result != NEVER):
        say("warning: bad -N option value -- ignored")
        return 0
    return result


def _extension(options: SendmailOptions, argument: str, verp_filter: str) -> None:
    if argument[0] != "V":
        raise UsageError(f"fatal: unsupported: -X{argument[0]}")
    options.verp = argument[1:]
    if options.verp and (len(options.verp) != 2 or not all(c in verp_filter for c in options.verp)):
        raise UsageError(f"fatal: -V requires two characters from {verp_filter}")


def _flush(options: SendmailOptions, *arguments: str) -> None:
    options.mode = "q"
    if not options.flush or arguments[0] >= options.flush[0]:  # a site goes before an id, an id before everything
        options.flush = arguments


def _option(options: SendmailOptions, letter: str, argument: str) -> None:
    # A, C, L, O, U, c, e, h, m, p and x are Sendmail's; main.cf, or nothing, takes their place.
    if letter == "n":
        raise UsageError("fatal: -n option not supported")
    if letter == "B":
        if argument not in ("8BITMIME", "7BIT"):
            raise UsageError("fatal: -B option needs 8BITMIME or 7BIT")
        options.body = argument
    elif letter == "F":
        options.full_name = argument
    elif letter == "G":
        options.gateway = True
    elif letter == "I":
        options.mode = "i"
    elif letter == "V":
        options.envid = argument
    elif letter == "b":
        _mode(options, argument)
    elif letter in "fr":
        options.sender = argument
    elif letter == "i":
        options.dot_ends = False
    elif letter == "o":
        if argument == "i":
            options.dot_ends = False
        elif argument.startswith("A"):
            if argument == "A":
                raise UsageError("fatal: -oA requires pathname")
            options.alias_database = argument[1:]
    elif letter == "q":
        _queue(options, argument)
    elif letter == "t":
        options.extract = True
    elif letter == "v":
        options.verbose += 1


def _mode(options: SendmailOptions, argument: str) -> None:
    letter = argument[0]
    if letter in ("h", "H"):
        options.mode = IGNORE
    elif letter in ("d", "l"):
        options.mode = "d"
    elif letter == "v":
        options.mode, options.verify = DELIVERY, True
    elif letter in "imsp":
        options.mode = letter
    else:
        raise UsageError(f"fatal: unsupported: -b{letter}")


def _queue(options: SendmailOptions, argument: str) -> None:
    if not argument:
        _flush(options, "-f")
    elif argument[0].isdigit():
        options.at_times = True
    elif argument[0] == "I":
        if not argument[1:]:
            raise UsageError("fatal: specify: -qIqueueid")
        _flush(options, "-i", argument[1:])
    elif argument[0] == "R":
        if not argument[1:]:
            raise UsageError("fatal: specify: -qRsitename")
        _flush(options, "-s", argument[1:])
    else:
        raise UsageError(f"fatal: -q{argument[0]} is not implemented")
