"""Which of many patterns could match a key: one pass of RE2 over all of them.

A thousand rules cost a thousand calls; most mail matches none. Patterns that RE2 certainly reads as their own
compiler does go into one automaton; those that it might read otherwise are always tried. So nothing is missed, and
who matches is still decided by the rule's own compiler, in file order.

Standards: POSIX.1-2008 section 9.4 (ERE); https://github.com/google/re2/wiki/Syntax.
"""

from collections.abc import Sequence

from posthouse.tables.fold import key_bytes

FEWEST = 16
"""Rules worth an automaton."""
MEMORY = 64 << 20
"""Octets for the automaton's states. When they do not suffice, every rule is tried."""
REPEAT_LIMIT = 100
"""Repetitions in braces beyond this blow the automaton up."""

_QUANTIFIERS = "*+?{"
_CLASSES = frozenset(
    ("alpha", "digit", "alnum", "upper", "lower", "space", "blank", "punct", "print", "graph", "cntrl", "xdigit")
)


class _Unsure(Exception):
    """RE2 might read this otherwise."""


def translate(pattern: str, *, perl: bool = False) -> str | None:
    """The pattern for RE2, or None when that is not certain. `perl`: pcre's reading, else POSIX extended."""
    if not pattern.isascii() or not pattern.isprintable():
        return None
    out: list[str] = []
    position = 0
    atom = False  # whether a quantifier may follow
    try:
        while position < len(pattern):
            character = pattern[position]
            position += 1
            if character == "[":
                piece, position = _bracket(pattern, position, perl)
                out.append(piece)
                atom = True
            elif character == "\\":
                escaped = pattern[position : position + 1]
                position += 1
                if not escaped or escaped.isalnum() or escaped in "<>'`":
                    raise _Unsure
                out.append(_literal(escaped))
                atom = True
            elif character in _QUANTIFIERS:
                if not atom:
                    raise _Unsure
                piece, position = _quantifier(pattern, position - 1)
                out.append(piece)
                atom = False
            elif character == "(":
                if pattern[position : position + 1] in ("?", "*"):
                    raise _Unsure
                out.append("(?:")
                atom = False
            elif character in ")|":
                out.append(character)
                atom = character == ")"
            elif character in "^$":
                out.append(_anchor(character, position, len(pattern), perl))
                atom = False
            else:
                out.append("." if character == "." else _literal(character))
                atom = True
    except _Unsure:
        return None
    return "".join(out)


def _anchor(character: str, position: int, length: int, perl: bool) -> str:
    # In the middle of a pattern compilers differ about newlines (glibc too, without REG_NEWLINE), so nothing is
    # asked there. In pcre $ also matches before a last newline.
    if character == "^":
        return "^" if position == 1 else "(?:)"
    if position < length:
        return "(?:)"
    return r"(?:\n?\z)" if perl else "$"


def _literal(character: str) -> str:
    return character if character.isalnum() else f"\\x{ord(character):02x}"


def _quantifier(pattern: str, position: int) -> tuple[str, int]:
    end = position + 1
    if pattern[position] == "{":
        end = pattern.find("}", position) + 1
        low, _, high = pattern[position + 1 : max(end - 1, 0)].partition(",")
        numbers = [low] + ([high] if high else [])
        if not end or not all(number.isdigit() and int(number) <= REPEAT_LIMIT for number in numbers):
            raise _Unsure
    if pattern[end : end + 1] in ("*", "+", "?", "{"):
        raise _Unsure  # a+? is optional in POSIX and lazy in Perl
    return pattern[position:end], end


def _bracket(pattern: str, position: int, perl: bool) -> tuple[str, int]:
    out = ["["]
    if pattern[position : position + 1] == "^":
        out.append("^")
        position += 1
    first = True
    while True:
        character = pattern[position : position + 1]
        if not character or (perl and character == "\\"):
            raise _Unsure
        if character == "]" and not first:
            out.append("]")
            return "".join(out), position + 1
        first = False
        if pattern.startswith(("[:", "[.", "[="), position):
            end = pattern.find(":]", position)
            name = pattern[position + 2 : end]
            if end < 0 or name not in _CLASSES:
                raise _Unsure
            out.append(f"[:{name}:]")
            position = end + 2
            continue
        last = pattern[position + 2 : position + 3]
        if pattern[position + 1 : position + 2] == "-" and last and last != "]":
            if last in "[\\" or last < character:
                raise _Unsure
            out.append(f"\\x{ord(character):02x}-\\x{ord(last):02x}")
            position += 3
        else:
            out.append(f"\\x{ord(character):02x}")
            position += 1


class Prefilter:
    """The automaton of a table."""

    __slots__ = ("_always", "_numbers", "_sentinel", "_set")

    def __init__(self, patterns: Sequence[str | None]) -> None:
        """Translated patterns by rule number; None is always tried."""
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.dot_nl = True
        options.log_errors = False
        options.max_mem = MEMORY
        self._set = re2.Set.SearchSet(options)
        self._numbers: list[int] = []
        always: list[int] = []
        for number, pattern in enumerate(patterns):
            if pattern is not None:
                try:
                    self._set.Add(pattern)
                except re2.error:
                    pass
                else:
                    self._numbers.append(number)
                    continue
            always.append(number)
        self._always = tuple(always)
        # It matches everything: when even this one is not reported, the automaton ran out of memory.
        self._sentinel = len(self._numbers)
        self._set.Add("")
        self._set.Compile()

    def candidates(self, key: str) -> list[int] | None:
        """The numbers, in order, of the rules that could match; None when each must be tried."""
        found: list[int] = self._set.Match(key_bytes(key))
        if len(found) == 1 and found[0] == self._sentinel:
            return list(self._always)
        if self._sentinel not in found:
            return None
        numbers = self._numbers
        return sorted([*self._always, *(numbers[n] for n in found if n != self._sentinel)])
