"""master.cf: one service to a logical line, eight fields and the command's arguments.

    service type private unprivileged chroot wakeup maxproc command [argument ...]

Manual: master(5). A field that is "-" takes its default. Arguments in { } may hold blanks;
`-o name=value` and `-o { name = value }` set parameters of that service alone.
"""

from dataclasses import dataclass, field

from posthouse.config.error import ConfigError
from posthouse.config.expand import balanced_end
from posthouse.config.logical_line import BLANKS, logical_lines, read_text
from posthouse.config.main_cf import split_name_value

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")
FIELDS = ("service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `fields` are the first seven as written; `words` the command with all its arguments as written."""

    name: str
    type: str
    private: bool
    unprivileged: bool
    chroot: bool
    wakeup: int
    """Seconds between wake-up calls, 0 for none."""
    wakeup_if_used: bool
    """Whether the service is woken only once it has been used ("1000?")."""
    maxproc: int | None
    """The most processes (here: sessions) at once; 0 no limit, None default_process_limit."""
    command: str
    arguments: tuple[str, ...]
    """The command's arguments without -o, -v and -D; those in braces without their braces."""
    overrides: dict[str, str]
    line: int
    last_line: int
    verbose: int = 0
    debug: bool = False
    fields: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class MasterCf:
    """The services in the file's order, and what Postfix warns about."""

    path: str
    services: list[Service]
    warnings: list[str]


def split_fields(text: str) -> tuple[list[str], list[str]]:
    """The words of a master.cf line, and warnings. A word that begins with "{" runs to its closing brace.

    Braced words come back as "{" + content without outer blanks + "}".
    """
    words: list[str] = []
    warnings: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in BLANKS:
            position += 1
            continue
        start = position
        if text[position] != "{":
            while position < len(text) and text[position] not in BLANKS:
                position += 1
            words.append(text[start:position])
            continue
        end = balanced_end(text, position)
        if end < 0:
            warnings.append(f"master.cf: missing '}}' in \"{text[start:]}\"")
            words.append("{" + text[start + 1 :].strip(BLANKS) + "}")
            break
        position = end
        while position < len(text) and text[position] not in BLANKS:
            position += 1
        if position > end:
            warnings.append(f"master.cf: syntax error after '}}' in \"{text[start:position]}\"")
        words.append("{" + text[start + 1 : end - 1].strip(BLANKS) + "}")
    return words, warnings


def _yes_or_no(word: str, default: bool, name: str, text: str) -> bool:
    if word == "-":
        return default
    if word in {"y", "n"}:
        return word == "y"
    raise ConfigError(f'invalid {name} field "{word}" in "{text}"')


def parse_service(text: str, first: int, last: int) -> Service:
    """One service from its logical line. ConfigError says which field is wrong."""
    words, warnings = split_fields(text)
    if len(words) < 8:
        raise ConfigError("bad field count", tuple(warnings))
    line = " ".join(word for word in text.split())
    if words[1] not in TYPES:
        raise ConfigError(f'invalid type field "{words[1]}" in "{line}"')
    private = _yes_or_no(words[2], words[1] != "inet", "private", line)
    unprivileged = _yes_or_no(words[3], True, "unprivileged", line)
    chroot = _yes_or_no(words[4], False, "chroot", line)
    wakeup = words[5].removesuffix("?")
    if words[5] != "-" and not (wakeup.isdigit() and wakeup.isascii()):
        raise ConfigError(f'invalid wakeup field "{words[5]}" in "{line}"')
    if words[6] != "-" and not (words[6].isdigit() and words[6].isascii()):
        raise ConfigError(f'invalid process_limit field "{words[6]}" in "{line}"')
    arguments, overrides, verbose, debug, more = split_arguments(words[8:])
    return Service(
        name=words[0],
        type=words[1],
        private=private,
        unprivileged=unprivileged,
        chroot=chroot,
        wakeup=0 if words[5] == "-" else int(wakeup),
        wakeup_if_used=words[5].endswith("?"),
        maxproc=None if words[6] == "-" else int(words[6]),
        command=words[7],
        arguments=arguments,
        overrides=overrides,
        line=first,
        last_line=last,
        verbose=verbose,
        debug=debug,
        fields=tuple(words[:7]),
        words=tuple(words[7:]),
        warnings=tuple(warnings + more),
    )


def split_arguments(words: list[str]) -> tuple[tuple[str, ...], dict[str, str], int, bool, list[str]]:
    """Arguments, -o settings, how often -v, whether -D, and warnings."""
    arguments: list[str] = []
    overrides: dict[str, str] = {}
    warnings: list[str] = []
    verbose = 0
    debug = False
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-") or arguments or word == "-":
            arguments.append(bare(word))
        elif word.startswith("-o"):
            setting = word[2:]
            if not setting:
                if position == len(words):
                    warnings.append("master.cf: -o without a setting")
                    break
                setting = words[position]
                position += 1
            pair = split_override(setting)
            if isinstance(pair, str):
                warnings.append(pair)
            else:
                overrides[pair[0]] = pair[1]
        elif word.strip("-vD") == "":
            verbose += word.count("v")
            debug = debug or "D" in word
        else:
            arguments.append(word)
    return tuple(arguments), overrides, verbose, debug, warnings


def split_override(setting: str) -> tuple[str, str] | str:
    """Name and value of an -o setting, or the warning about it."""
    text = bare(setting)
    if text is setting and "=" in text:
        name, _, value = text.partition("=")
        return (name, value) if name else f'master.cf: missing attribute name: "{text}"'
    pair = split_name_value(text)
    return f'master.cf: {pair}: "{text}"' if isinstance(pair, str) else pair


def bare(word: str) -> str:
    """A word without its braces."""
    if word.startswith("{") and word.endswith("}") and len(word) > 1:
        return word[1:-1]
    return word


def parse_master_cf(text: str, path: str) -> MasterCf:
    """The services of a master.cf. ConfigError in the words of the reading command."""
    services: list[Service] = []
    warnings: list[str] = []
    for line in logical_lines(text):
        if line.is_orphan:
            warnings.append(f'{path}: logical line must not start with whitespace: "{line.text[:30]}"')
            continue
        try:
            service = parse_service(line.text, line.first, line.last)
        except ConfigError as error:
            text_of = error.text
            if text_of == "bad field count":
                text_of = f"file {path}: line {line.first}: bad field count"
            raise ConfigError(text_of, (*warnings, *error.warnings)) from error
        warnings += service.warnings
        services.append(service)
    return MasterCf(path, services, warnings)


def load_master_cf(path: str) -> MasterCf:
    """The services of a master.cf on disk, with warnings."""
    try:
        text = read_text(path)
    except IsADirectoryError as error:
        raise ConfigError(f"read {path}: Is a directory") from error
    except OSError as error:
        raise ConfigError(f"open {path}: {error.strerror}") from error
    return parse_master_cf(text, path)


def read_master_cf(path: str) -> list[Service]:
    """The services of a master.cf on disk."""
    return load_master_cf(path).services
