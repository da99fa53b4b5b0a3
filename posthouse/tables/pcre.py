r"""pcre: tables, Perl-compatible expressions by libpcre2.

Flags, each toggling: i (case sensitivity, off at first), m (^ and $ at line ends), s (dot matches newline, on at
first), x (white space and comments in the pattern), A (anchored), E ($ only at the very end), U (not greedy),
X (ignored with a warning: libpcre2 has nothing left for it to do). Keys are matched as octets, as in Postfix: a letter
beyond ASCII is several, and has no case.

Missing: \C and Perl's reading of \u, which the pcre2 package closes off.

Standards: pcre_table(5).
"""

from collections.abc import Sequence
from typing import Any

import pcre2

from posthouse.tables.file_values import ReadValue, as_written
from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.pattern_rules import BadPattern, Dialect, PatternTable, parse_rules
from posthouse.tables.prefilter import translate
from posthouse.tables.source_text import rule_lines
from posthouse.tables.table import TableError
from posthouse.tables.warning import warn

# pcre2.h
CASELESS, MULTILINE, DOTALL, EXTENDED = 0x8, 0x400, 0x20, 0x80
ANCHORED, DOLLAR_ENDONLY, UNGREEDY = 0x80000000, 0x10, 0x40000
FLAGS = {
    "i": CASELESS,
    "m": MULTILINE,
    "s": DOTALL,
    "x": EXTENDED,
    "A": ANCHORED,
    "E": DOLLAR_ENDONLY,
    "U": UNGREEDY,
    "X": 0,
}


class PcrePattern:
    """One compiled expression."""

    __slots__ = ("_bytes", "_find", "_pattern", "groups")

    def __init__(self, pattern: str, bits: int) -> None:
        self._pattern = pattern
        try:
            self._bytes: Any = pcre2.compile(key_bytes(pattern), bits)
        except pcre2.PatternError as error:
            words = error.msg.partition("; ")[2] or error.msg
            raise BadPattern(f"error in regex at offset {error.pos}: {words}") from error
        self.groups: int = self._bytes.groups
        # search() of the package looks on behind the start whatever ANCHORED says.
        self._find: Any = self._bytes.match if bits & ANCHORED else self._bytes.search

    def match(self, key: str, groups: int) -> Sequence[str | None] | None:
        """None, or the groups up to that number."""
        try:
            found = self._find(key_bytes(key))
            if found is None:
                return None
            spans = [found.group(n) for n in range(groups + 1)]
            return [None if data is None else key_text(data) for data in spans]
        except pcre2.LibraryError as error:
            # A pattern that explodes on this key does not match it, as in Postfix.
            warn(f"pcre pattern {self._pattern}: matcher error: {error}")
            return None


def compile_pcre(pattern: str, flags: str, groups: bool) -> PcrePattern:
    """From a rule's pattern and flags. Raises BadPattern."""
    bits = CASELESS | DOTALL
    for flag in flags:
        bits ^= FLAGS[flag]
    return PcrePattern(pattern, bits)


def filter_pcre(pattern: str, flags: str) -> str | None:
    """The pattern for a Prefilter, where no flag but i and those that only narrow are turned."""
    odd = {flag for flag in flags if flags.count(flag) % 2}
    if odd - set("iAEUX"):
        return None
    translated = translate(pattern, perl=True)
    return translated if translated is None or "i" in odd else f"(?i:{translated})"


DIALECT = Dialect("pcre", compile_pcre, "ignoring", filter_pcre, tuple(FLAGS), "out of range", obsolete="X", perl=True)


def open_pcre(name: str, path: str, *, substitution: bool = True, read_value: ReadValue = as_written) -> PatternTable:
    """Read and compile the file, or the rules in braces, now."""
    try:
        lines = rule_lines(path, "pcre map")
    except OSError as error:
        raise TableError(f"open {path}: {error.strerror}") from error
    rules = parse_rules(lines, path, DIALECT, substitution=substitution, read_value=read_value)
    return PatternTable(name, rules, DIALECT)
