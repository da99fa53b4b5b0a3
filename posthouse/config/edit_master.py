"""master.cf edited: entries, fields and -o settings.

An edited entry is printed anew in postconf's layout. When an entry is replaced whole, its
inner comments follow it; when a field or setting changes, they go before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from posthouse.config.error import ConfigError
from posthouse.config.fold import braced, print_service
from posthouse.config.logical_line import BLANKS, words_of
from posthouse.config.main_cf import split_name_value
from posthouse.config.master_cf import FIELDS, Service, check_field, parse_service, service_of_file

Pattern = tuple[str, ...]


def matches(pattern: Pattern, *parts: str) -> bool:
    """Whether the parts are those of the pattern; "*", or nothing, is any."""
    return all(wanted in {"*", part} for wanted, part in zip(pattern, parts, strict=False))


def split_pattern(text: str) -> Pattern:
    """service/type/more as a pattern; empty parts do not count. No pattern without a service."""
    return () if text.startswith("/") else tuple(part for part in text.split("/") if part)


def split_request(argument: str) -> tuple[str, str]:
    """What is before and after the first "=" of a request."""
    pair = split_name_value(argument)
    if isinstance(pair, str):
        # A service pattern may hold no blanks, so the words are the same as for a parameter.
        raise ConfigError(f'{pair}: "{argument}"')
    return pair


def _physical_lines(text: str) -> list[str]:
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _is_comment(line: str) -> bool:
    stripped = line.strip(BLANKS)
    return not stripped or stripped[0] == "#"


def _first_two(line: str) -> tuple[str, str]:
    words = words_of(line)
    return (words[0], words[1]) if len(words) > 1 else ("".join(words), "")


def replace_entries(text: str, entries: dict[Pattern, str | None], *, comment: bool = False) -> str:
    """Entries replaced by a new line; None removes or, with `comment`, comments out. New ones go to the end."""
    out: list[str] = []
    found: set[Pattern] = set()
    editing: Pattern | None = None
    for line in _physical_lines(text):
        if _is_comment(line):
            out.append(line)
            continue
        if line[0] not in BLANKS:
            name, kind = _first_two(line)
            editing = next((pattern for pattern, new in entries.items() if _replaces(pattern, new, name, kind)), None)
            if editing is not None:
                new = entries[editing]
                if new is not None and editing not in found:
                    out.append(f"{new}\n")
                found.add(editing)
        if editing is None:
            out.append(line)
        elif comment:
            out.append(f"#{line}")
    added = [f"{new}\n" for pattern, new in entries.items() if new is not None and pattern not in found]
    if added and out and not out[-1].endswith("\n"):
        out.append("\n")
    return "".join(out + added)


def _replaces(pattern: Pattern, new: str | None, name: str, kind: str) -> bool:
    """Whether a request is about this entry: by its pattern, or because the new entry is of the same name and type."""
    return matches(pattern, name, kind) or (new is not None and _first_two(new) == (name, kind))


def new_entry(argument: str) -> tuple[Pattern, str]:
    """Pattern and printed entry of service/type=whole entry."""
    left, value = split_request(argument)
    pattern = split_pattern(left)
    if len(pattern) != 2:
        raise ConfigError("-Me, -MX or -M# requires service_name/type")
    try:
        service = parse_service(value, 0, 0)
    except ConfigError as error:
        text = f'bad field count: "{argument}"' if error.text == "bad field count" else error.text
        raise ConfigError(text, error.warnings) from error
    return pattern, print_service(service.fields, service.words, fold=True)


def edit_entries(
    text: str, path: str, wanted: Callable[[str, str], bool], edit: Callable[[Service], Service | None]
) -> tuple[str, list[str]]:
    """Each entry of a wanted name and type through `edit`; None leaves it as it stands, and so does not being wanted,
    whether the entry is sound or not. Also the warnings about what was read."""
    warnings: list[str] = []
    out: list[str] = []
    lines = _physical_lines(text)
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if _is_comment(line) or line[0] in BLANKS:
            out.append(line)
            continue
        parts = [line]
        comments: list[str] = []
        first = position
        while position < len(lines) and (_is_comment(lines[position]) or lines[position][0] in BLANKS):
            if _is_comment(lines[position]):
                comments.append(lines[position])
            else:
                parts.append(lines[position])
            position += 1
        changed: Service | None = None
        if wanted(*_first_two("".join(parts))):
            service = service_of_file(path, "".join(parts), first, position)
            changed = edit(service)
        if changed is None:
            out += lines[first - 1 : position]
        else:
            warnings += service.warnings
            if comments and not comments[-1].endswith("\n"):
                comments[-1] += "\n"
            out += comments
            out.append(print_service(changed.fields, changed.words, fold=True) + "\n")
    return "".join(out), warnings


def with_field(service: Service, field: str, value: str) -> Service:
    """The service with one field changed. ConfigError when the entry is then no good."""
    index = FIELDS.index(field)
    if field == "command":
        line = " ".join((*service.fields, value))
    else:
        fields = list(service.fields)
        fields[index] = value
        line = " ".join((*fields, command_text(service)))
    return parse_service(line, service.line, service.last_line)


def command_text(service: Service) -> str:
    """Command and arguments as they would be written."""
    return " ".join(braced(word) or "{}" for word in service.words)


def with_setting(service: Service, name: str, value: str | None) -> Service:
    """The service with one -o setting changed, added after the others, or removed (None)."""
    words = [service.words[0]]
    rest = list(service.words[1:])
    done = False
    position = 0
    while position < len(rest) and rest[position].startswith("-") and rest[position] not in {"-", "--"}:
        if rest[position] == "-o" and position + 1 < len(rest):
            if rest[position + 1].partition("=")[0].strip(BLANKS) == name:
                if value is not None:
                    words += ["-o", f"{name}={value}"]
                done = True
            else:
                words += rest[position : position + 2]
            position += 2
        else:
            words.append(rest[position])
            position += 1
    if value is not None and not done:
        words += ["-o", f"{name}={value}"]
    changed = replace(service, words=(*words, *rest[position:]))
    return parse_service(" ".join((*changed.fields, command_text(changed))), service.line, service.last_line)


@dataclass(frozen=True, slots=True)
class Change:
    """One edit of a field (F) or a setting (P): which services, which name, which value (None removes)."""

    argument: str
    kind: str
    pattern: Pattern
    name: str
    value: str | None


def entry_pattern(argument: str) -> Pattern:
    """The pattern of an entry to remove or comment out."""
    pattern = split_pattern(argument.strip(BLANKS))
    if len(pattern) != 2:
        raise ConfigError("-Me, -MX or -M# requires service_name/type")
    return pattern


def parse_change(argument: str, kind: str, edit: str) -> Change:
    """A change from its argument: service/type/name=value, or without a value to remove a setting."""
    value: str | None = None
    left = argument.strip(BLANKS)
    if edit == "e":
        left, value = split_request(argument)
    pattern = split_pattern(left)
    if len(pattern) != 3:
        what = "-Fe or -FX requires service_name/type/field_name"
        raise ConfigError(what if kind == "F" else "-Pe or -PX requires service_name/type/parameter")
    if pattern[2] == "*":
        what = "-Fe does not accept wild-card field name"
        raise ConfigError(what if kind == "F" else "-Pe does not accept wild-card parameter name")
    if kind == "F":
        require_field(pattern[2], value or "")
    if kind == "P" and value is not None and any(c in BLANKS for c in value):
        raise ConfigError("-Pe does not accept whitespace in parameter value")
    return Change(argument, kind, pattern[:2], pattern[2], value)


def require_field(field: str, value: str) -> None:
    """Refuse a value that its field cannot have."""
    if field not in FIELDS:
        raise ConfigError(f'invalid service attribute name: "{field}"')
    if field == "command":
        return
    if any(c in BLANKS for c in value):
        raise ConfigError("-Fe does not accept whitespace in non-command field")


def apply_changes(text: str, changes: list[Change], path: str) -> tuple[str, list[str]]:
    """The text with all changes made, and warnings: of reading, and about arguments that matched nothing."""
    matched: set[str] = set()

    def edit(service: Service) -> Service | None:
        changed: Service | None = None
        for change in changes:
            current = changed or service
            if not matches(change.pattern, service.name, service.type):
                continue
            matched.add(change.argument)
            if change.kind == "F":
                check_field(change.name, change.value or "", change.value or "")
                changed = with_field(current, change.name, change.value or "")
            else:
                changed = with_setting(current, change.name, change.value)
        return changed

    def wanted(name: str, kind: str) -> bool:
        return any(matches(change.pattern, name, kind) for change in changes)

    result, warnings = edit_entries(text, path, wanted, edit)
    unmatched = [change.argument for change in changes if change.argument not in matched]
    return result, [*warnings, *(f'unmatched service_name/type: "{argument}"' for argument in unmatched)]
