"""Tables of patterns: the language that regexp and pcre tables share.

    /pattern/flags result        the result for a key that matches; the first rule that matches decides
    !/pattern/flags result       for a key that does not
    /pattern/flags!/other/ …     regexp only: for a key that matches the first and not the other
    if /pattern/flags … endif    the rules between are tried only for a key that matches; may nest
    if !/pattern/flags … endif

Any other character that is not a letter or digit may stand for /. A rule that cannot be read is skipped, with
Postfix's warning.

Standards: regexp_table(5), pcre_table(5).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from posthouse.tables.file_values import BadFiles, ReadValue, as_written
from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.prefilter import FEWEST, Prefilter
from posthouse.tables.replacement import BadReplacement, Replacement, parse_replacement
from posthouse.tables.source_text import BLANKS, logical_lines
from posthouse.tables.table import Row
from posthouse.tables.warning import warn

NOWHERE = -1
"""Outside of any `if`."""


class BadPattern(Exception):
    """The compiler's own words, or a bad flag."""


class Pattern(Protocol):
    """One compiled pattern."""

    @property
    def groups(self) -> int:
        """How many groups it has."""

    def match(self, key: str, groups: int) -> Sequence[str | None] | None:
        """None, or the groups up to that number; group 0 is the whole match."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between regexp and pcre."""

    kind: str
    """"regexp" or "pcre", as in warnings."""
    compile: Callable[[str, str, bool], Pattern]
    """From pattern, flags and whether groups are wanted. Raises BadPattern."""
    unclosed: str
    """How a warning about a missing delimiter ends."""
    filter: Callable[[str, str], str | None]
    """From pattern and flags to what a Prefilter takes, or None."""
    flags: Sequence[str]
    beyond: str
    """How a warning about a group's number begins."""
    obsolete: str = ""
    """Flags that are passed over with a warning."""
    perl: bool = False
    """Whether it is Perl's language; only the other one knows /pattern/!/exception/."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line that is tried."""

    source: str
    """The pattern with delimiters and flags, as evidence."""
    pattern: Pattern
    negated: bool
    replacement: Replacement | None
    """None for `if`."""
    fixed: str | None
    """The result when it has no groups in it."""
    line: int
    filter: str | None
    """The pattern for a Prefilter; None when it must always be tried."""
    enclosing: int
    """The number of the `if` it stands in, or NOWHERE."""
    otherwise: int = 0
    """For `if`: the number of the rule after its endif."""
    exception: Pattern | None = None
    """A second pattern: the rule counts only for a key that this one does not match."""
    exception_negated: bool = True
    """False: only for a key that the second one matches as well."""


class PatternTable:
    """Rules in file order."""

    __slots__ = ("_filter", "_rules", "name", "whole_key")

    def __init__(self, name: str, rules: Sequence[Rule], dialect: Dialect) -> None:
        self.name = name
        self.whole_key = True
        self._rules = tuple(rules)
        self._filter: Prefilter | None = None
        if len(rules) >= FEWEST:
            patterns = [None if rule.negated else rule.filter for rule in rules]
            self._filter = Prefilter(patterns)

    async def lookup(self, key: str) -> Row | None:
        """The result of the first rule that applies."""
        rules = self._rules
        candidates: Iterable[int] | None = self._filter.candidates(key) if self._filter is not None else None
        if candidates is None:
            candidates = range(len(rules))
        start = 0
        entered = {NOWHERE}
        for number in candidates:
            rule = rules[number]
            # Rules between if and endif count only where that `if` was tried and matched.
            if number < start or rule.enclosing not in entered:
                continue
            replacement = rule.replacement
            found = rule.pattern.match(key, replacement.highest if replacement is not None else 0)
            if (found is not None) == rule.negated:
                if replacement is None:
                    start = rule.otherwise
                continue
            if rule.exception is not None:
                excepted = rule.exception.match(key, 0) is not None
                if excepted == rule.exception_negated:
                    continue
            if replacement is None:
                entered.add(number)
                continue
            value = rule.fixed
            if value is None:
                groups = found or ()
                value = replacement.expand(lambda index, groups=groups: groups[index] or "")  # type: ignore[misc]
            return Row(value, self.name, rule.source, rule.line)
        return None

    def close(self) -> None:
        """Nothing is held open."""


def parse_rules(
    lines: Iterable[str],
    path: str,
    dialect: Dialect,
    *,
    substitution: bool = True,
    read_value: ReadValue = as_written,
) -> list[Rule]:
    """The rules of a file; those that cannot be read are skipped with a warning.

    substitution=False: so are those whose result depends on what was looked up, where a sender who chose it would
    choose a path or a command.
    """
    rules: list[Rule | None] = []
    unclosed: list[tuple[int, Rule]] = []
    for line in logical_lines(lines, path, warn):
        where = f"{dialect.kind} map {path}, line {line.number}"
        text = line.text.strip(BLANKS)
        upper = text[:5].upper()
        enclosing = unclosed[-1][0] if unclosed else NOWHERE
        if not text:
            continue
        if not _alphanumeric(text[0]):
            rule = _match_rule(text, where, line.number, dialect, enclosing, read_value)
            if rule is None:
                continue
            if rule.fixed is None and not substitution:
                warn(f"{where}: regular expression substitution is not allowed: skipping this rule")
                continue
            rules.append(rule)
        elif upper[:2] == "IF" and not _alphanumeric(text[2:3]):
            rule = _condition(text[2:].lstrip(BLANKS), where, line.number, dialect, enclosing)
            if rule is not None:
                unclosed.append((len(rules), rule))
                rules.append(None)
        elif upper == "ENDIF" and not _alphanumeric(text[5:6]):
            if not unclosed:
                warn(f"{where}: ignoring ENDIF without matching IF")
                continue
            if text[5:].strip(BLANKS):
                warn(f"{where}: ignoring extra text after ENDIF")
            _close(rules, unclosed)
        else:
            warn(f"{where}: ignoring unrecognized request")
    for _, rule in reversed(unclosed):
        warn(f"{dialect.kind} map {path}, line {rule.line}: IF has no matching ENDIF")
    while unclosed:
        _close(rules, unclosed)
    return [rule for rule in rules if rule is not None]


def _close(rules: list[Rule | None], unclosed: list[tuple[int, Rule]]) -> None:
    position, rule = unclosed.pop()
    rules[position] = replace(rule, otherwise=len(rules))


def _alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _match_rule(
    text: str, where: str, number: int, dialect: Dialect, enclosing: int, read_value: ReadValue
) -> Rule | None:
    parts = _split_pattern(text, where, dialect)
    if parts is None:
        return None
    negated, pattern, flags, rest = parts
    second: tuple[bool, str, str, str] | None = None
    if rest.startswith("!"):
        second = _split_pattern(rest, where, dialect)
        if second is None:
            return None
        rest = second[3]
    rest = rest.lstrip(BLANKS)
    if not rest:
        warn(f"{where}: no replacement text: using empty string")
    try:
        replacement = parse_replacement(read_value(rest), dialect.beyond)
    except BadFiles as bad:
        warn(f"{where}: {bad}: skipping this rule")
        return None
    except BadReplacement as bad:
        warn(f"{where}: {bad.text}" if bad.placed else bad.text)
        warn(f"{where}: bad replacement syntax: skipping this rule")
        return None
    if negated and replacement.highest:
        warn(f"{where}: $number found in negative match replacement text: skipping this rule")
        return None
    compiled = _compile(pattern, flags, where, dialect, groups=bool(replacement.highest))
    if compiled is None:
        return None
    if replacement.highest > compiled.groups:
        warn(f'{where}: out of range replacement index "{replacement.highest}": skipping this rule')
        return None
    exception: Pattern | None = None
    if second is not None:
        exception = _compile(second[1], second[2], where, dialect, groups=False)
        if exception is None:
            return None
    source = text[: len(text) - len(rest)].rstrip(BLANKS)
    return Rule(
        source,
        compiled,
        negated,
        replacement,
        replacement.fixed,
        number,
        dialect.filter(pattern, flags),
        enclosing,
        exception=exception,
        exception_negated=second is not None and second[0],
    )


def _condition(text: str, where: str, number: int, dialect: Dialect, enclosing: int) -> Rule | None:
    parts = _split_pattern(text, where, dialect)
    if parts is None:
        return None
    negated, pattern, flags, rest = parts
    rest = rest.lstrip(BLANKS)
    if rest:
        warn(f'{where}: ignoring extra text after IF statement: "{rest}"')
        warn(f"{where}: do not prepend whitespace to statements between IF and ENDIF")
    compiled = _compile(pattern, flags, where, dialect, groups=False)
    if compiled is None:
        return None
    return Rule(f"if {text}", compiled, negated, None, None, number, dialect.filter(pattern, flags), enclosing)


def _split_pattern(text: str, where: str, dialect: Dialect) -> tuple[bool, str, str, str] | None:
    """Negation, pattern, flags and what follows at once."""
    negated = False
    while text.startswith("!"):
        negated = not negated
        text = text[1:].lstrip(BLANKS)
    if not text:
        warn(f"{where}: no regexp: skipping this rule")
        return None
    delimiter = text[0]
    if not delimiter.isascii():
        # To Postfix a delimiter is an octet.
        octets = key_bytes(text).decode("latin-1")
        parts = _split_at(octets, octets[0], where, dialect)
        return None if parts is None else (negated, *(key_text(part.encode("latin-1")) for part in parts))  # type: ignore[return-value]
    parts = _split_at(text, delimiter, where, dialect)
    return None if parts is None else (negated, *parts)


def _split_at(text: str, delimiter: str, where: str, dialect: Dialect) -> tuple[str, str, str] | None:
    """Pattern, flags and what follows at once."""
    position = 1
    while position < len(text):
        if text[position] == "\\":
            if position + 1 == len(text) and not dialect.perl:
                break  # Postfix takes a backslash at the very end for the delimiter
            position += 1
        elif text[position] == delimiter:
            break
        position += 1
    if position >= len(text):
        shown = delimiter if delimiter.isascii() else key_text(delimiter.encode("latin-1"))
        warn(f'{where}: no closing regexp delimiter "{shown}": {dialect.unclosed} this rule')
        return None
    end = position + 1
    while end < len(text) and text[end] not in BLANKS and (dialect.perl or text[end] != "!"):
        if text[end] in dialect.obsolete:
            warn(f'{where}: ignoring obsolete regexp option "{text[end]}"')
        elif text[end] not in dialect.flags:
            shown = text[end] if text[end].isascii() else key_text(key_bytes(text[end])[:1])
            warn(f'{where}: unknown regexp option "{shown}": skipping this rule')
            return None
        end += 1
    return text[1:position], text[position + 1 : end], text[end:]


def _compile(pattern: str, flags: str, where: str, dialect: Dialect, *, groups: bool) -> Pattern | None:
    try:
        return dialect.compile(pattern, flags, groups)
    except BadPattern as bad:
        warn(f"{where}: {bad}")
        return None
