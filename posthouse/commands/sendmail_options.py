"""The command line of sendmail: Sendmail's options as Postfix takes them, getopt style, no option after an address."""

from dataclasses import dataclass, field

LETTERS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
"""An option's letter, and ":" when it takes an argument."""

DELIVERY = "m"
VERIFY = "v"
IGNORE = "ignore"
"""-bh, -bH, -q5m: a host status database and queue run times are not kept here; the command ends at once."""


class UsageError(Exception):
    """The lines to print, without the program's name; the exit status is 75 for all."""

    def __init__(self, *lines: str) -> None:
        super().__init__(lines[-1])
        self.lines = lines


@dataclass(slots=True)
class SendmailOptions:
    """What was asked for."""

    mode: str = DELIVERY
    """m deliver, p list, i aliases, d daemon, s SMTP on standard input, v verify, q flush, or "ignore"."""
    directory: str = ""
    sender: str | None = None
    full_name: str | None = None
    gateway: bool = False
    dot_ends: bool = True
    extract: bool = False
    body: str = ""
    notify: str = ""
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
    warnings: list[str] = field(default_factory=list)


def parse_options(arguments: list[str]) -> SendmailOptions:
    """The options. Raises UsageError."""
    options = SendmailOptions()
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            position += 1
            break
        if word == "-q":
            _flush(options, "-f")
            position += 1
            continue
        if word == "-V" and position + 1 < len(arguments) and len(arguments[position + 1]) == 2:
            word = "-XV" + arguments[position + 1]
            options.warnings.append("option -V is deprecated with Postfix 2.3; specify -XV instead")
            position += 1
        elif word.startswith("-V") and len(word) == 4:
            word = "-XV" + word[2:]
            options.warnings.append("option -V is deprecated with Postfix 2.3; specify -XV instead")
        if word.startswith("-XV"):
            options.verp = word[3:]
            position += 1
            continue
        if not word.startswith("-") or word == "-":
            break
        position += 1
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            at = LETTERS.find(letter)
            if at < 0 or letter == ":":
                complaint = f"invalid option -- '{letter}'"
                raise UsageError(complaint, complaint, "fatal: usage: sendmail [options]")
            argument = ""
            if LETTERS[at + 1 : at + 2] == ":":
                argument, letters = letters, ""
                if not argument:
                    if position >= len(arguments):
                        complaint = f"option requires an argument -- '{letter}'"
                        raise UsageError(complaint, complaint, "fatal: usage: sendmail [options]")
                    argument = arguments[position]
                    position += 1
            _option(options, letter, argument)
    options.recipients = arguments[position:]
    if options.extract and options.mode == VERIFY:
        raise UsageError("fatal: -t option cannot be used with -bv")
    if options.mode == VERIFY and options.verbose == 1:
        raise UsageError("fatal: -v option cannot be used with -bv")
    if options.extract and options.mode != DELIVERY:
        raise UsageError("fatal: -t can be used only in delivery mode")
    return options


def _flush(options: SendmailOptions, *arguments: str) -> None:
    options.mode, options.flush = "q", arguments


def _option(options: SendmailOptions, letter: str, argument: str) -> None:
    # A, L, O, U, X, c, e, h, m, p and x are Sendmail's; main.cf, or nothing, takes their place.
    if letter == "n":
        raise UsageError("fatal: -n option not supported")
    if letter == "B":
        if argument.upper() not in ("8BITMIME", "7BIT"):
            raise UsageError("fatal: -B option needs 8BITMIME or 7BIT")
        options.body = argument.upper()
    elif letter == "C":
        options.directory = argument
    elif letter == "F":
        options.full_name = argument
    elif letter == "G":
        options.gateway = True
    elif letter == "I":
        options.mode = "i"
    elif letter == "N":
        options.notify = argument
    elif letter == "R":
        options.ret = argument
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
    letter = argument[:1]
    if letter in ("h", "H"):
        options.mode = IGNORE
    elif letter in ("d", "l"):
        options.mode = "d"
    elif letter and letter in "imspv":
        options.mode = letter
    else:
        raise UsageError(f"fatal: unsupported: -b{argument}")


def _queue(options: SendmailOptions, argument: str) -> None:
    if argument[0].isdigit():
        if options.mode == DELIVERY:
            options.mode = IGNORE
    elif argument[0] == "I" and argument[1:]:
        _flush(options, "-i", argument[1:])
    elif argument[0] == "R" and argument[1:]:
        _flush(options, "-s", argument[1:])
    elif argument[0] == "S":
        raise UsageError("fatal: -qS is not implemented")
    else:
        raise UsageError(f"fatal: -q{argument[0]} is not implemented")
