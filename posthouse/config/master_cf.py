"""master.cf: one service to a logical line, eight fields and the command's arguments.

    service type private unprivileged chroot wakeup maxproc command [argument ...]

Manual: master(5). A field that is "-" takes its default. Arguments in { } may hold blanks;
`-o name=value` and `-o { name = value }` set parameters of that service alone.
"""

from dataclasses import dataclass

from posthouse.config.error import ConfigError
from posthouse.config.expand import balanced_end
from posthouse.config.logical_line import BLANKS, logical_lines, orphan_warning, printable, read_text
from posthouse.config.main_cf import split_name_value

TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")
FIELDS = ("service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `fields` are the first seven as written; `words` the command and its arguments, without braces."""

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
    warnings: tuple[str, ...] = ()


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


def check_field(field: str, word: str, text: str) -> None:
    """Refuse a word that its field cannot have; `text` is what the complaint quotes."""
    digits = word.removesuffix("?") if field == "wakeup" else word
    if field == "type":
        good = word in TYPES
    elif word == "-" or (field == "wakeup" and word == "?"):
        good = True
    elif field in {"private", "unprivileged", "chroot"}:
        good = word in {"y", "n"}
    elif field in {"wakeup", "process_limit"}:
        good = digits.isdigit() and digits.isascii()
    else:
        good = True
    if not good:
        raise ConfigError(f'invalid {field} field "{word}" in "{text}"')


def parse_service(text: str, first: int, last: int) -> Service:
    """One service from its logical line. ConfigError says which field is wrong."""
    words, warnings = split_fields(text)
    if len(words) < 8:
        raise ConfigError("bad field count", tuple(warnings))
    line = printable(text.replace("\n", " "))
    for field, word in zip(FIELDS[1:7], words[1:7], strict=True):
        check_field(field, word, line)
    wakeup = words[5].removesuffix("?")
    command, more = normalized_words(words[7:])
    arguments, overrides, verbose, debug = split_arguments(tuple(command[1:]))
    return Service(
        name=words[0],
        type=words[1],
        private=words[1] != "inet" if words[2] == "-" else words[2] == "y",
        unprivileged=words[3] != "n",
        chroot=words[4] == "y",
        wakeup=int(wakeup) if wakeup.isdigit() else 0,
        wakeup_if_used=words[5].endswith("?"),
        maxproc=None if words[6] == "-" else int(words[6]),
        command=command[0],
        arguments=arguments,
        overrides=overrides,
        line=first,
        last_line=last,
        verbose=verbose,
        debug=debug,
        fields=tuple(words[:7]),
        words=tuple(command),
        warnings=tuple(warnings + more),
    )


def normalized_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Command and arguments without braces, -oname=value as two words, and warnings about -o settings."""
    found = [bare(word) for word in words[:1]]
    warnings: list[str] = []
    position = 1
    while position < len(words) and words[position].startswith("-") and words[position] not in {"-", "--"}:
        word = words[position]
        position += 1
        if not word.startswith("-o"):
            found.append(word)
            continue
        setting = word[2:]
        if not setting:
            if position == len(words):
                found.append(word)
                break
            setting = words[position]
            position += 1
        if setting.startswith("{"):
            pair = split_name_value(bare(setting))
            if isinstance(pair, str):
                warnings.append(f'master.cf: {pair}: "{bare(setting)}"')
            else:
                setting = f"{pair[0]}={pair[1]}"
        found += ["-o", bare(setting)]
    found += [bare(word) for word in words[position:]]
    return found, warnings


def split_arguments(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str], int, bool]:
    """Arguments, -o settings, how often -v, and whether -D, of normalized words after the command."""
    overrides: dict[str, str] = {}
    verbose = 0
    debug = False
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] not in {"-", "--"}:
        word = words[position]
        if word == "-o":
            name, equals, value = words[position + 1].partition("=") if position + 1 < len(words) else ("", "", "")
            if name and equals:
                overrides[name.strip(BLANKS)] = value.strip(BLANKS)
            position += 2
        elif word.strip("-vD") == "":
            verbose += word.count("v")
            debug = debug or "D" in word
            position += 1
        else:
            break
    return tuple(words[position:]), overrides, verbose, debug


def bare(word: str) -> str:
    """A word without its braces."""
    if word.startswith("{") and word.endswith("}") and len(word) > 1:
        return word[1:-1]
    return word


def service_of_file(path: str, text: str, first: int, last: int) -> Service:
    """One service of a file. ConfigError, which says where when there are not enough fields."""
    try:
        return parse_service(text, first, last)
    except ConfigError as error:
        if error.text != "bad field count":
            raise
        raise ConfigError(f"file {path}: line {first}: bad field count", error.warnings) from error


def parse_master_cf(text: str, path: str) -> MasterCf:
    """The services of a master.cf. ConfigError in the words of the reading command."""
    services: list[Service] = []
    warnings: list[str] = []
    for line in logical_lines(text):
        if line.is_orphan:
            warnings.append(orphan_warning(path, line.text))
            continue
        try:
            service = service_of_file(path, line.text, line.first, line.last)
        except ConfigError as error:
            raise ConfigError(error.text, (*warnings, *error.warnings)) from error
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
