"""regexp: tables, POSIX regular expressions by the C library.

Python's re has neither leftmost-longest matching nor the C library's error texts, so regcomp(3) and regexec(3)
are called through ctypes, in the C locale as Postfix runs: a byte is a character.

Flags: i toggles case sensitivity (off at first), m toggles REG_NEWLINE, x toggles extended syntax (on at first).

Standards: regexp_table(5), POSIX.1-2008 regcomp().
"""

import ctypes
from collections.abc import Sequence

from posthouse.tables.file_values import ReadValue, as_written
from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.pattern_rules import BadPattern, Dialect, PatternTable, parse_rules
from posthouse.tables.prefilter import translate
from posthouse.tables.source_text import rule_lines
from posthouse.tables.table import TableError

# glibc's <regex.h> and <locale.h>, and musl's, which has the same numbers for these.
REG_EXTENDED, REG_ICASE, REG_NEWLINE, REG_NOSUB = 1, 2, 4, 8
LC_CTYPE_MASK = 1
REGEX_T_SIZE = 256
"""More than any C library's regex_t (glibc: 64 bytes)."""
ERROR_SIZE = 256
FLAGS = {"i": REG_ICASE, "m": REG_NEWLINE, "x": REG_EXTENDED}


class _Match(ctypes.Structure):
    _fields_ = [("start", ctypes.c_int), ("end", ctypes.c_int)]


_libc = ctypes.CDLL(None, use_errno=True)
_regcomp = _libc.regcomp
_regcomp.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
_regexec = _libc.regexec
_regexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int]
_regerror = _libc.regerror
_regerror.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
_regfree = _libc.regfree
_regfree.argtypes = [ctypes.c_void_p]
_newlocale = _libc.newlocale
_newlocale.restype = ctypes.c_void_p
_newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
_uselocale = _libc.uselocale
_uselocale.restype = ctypes.c_void_p
_uselocale.argtypes = [ctypes.c_void_p]
_c_locale = _newlocale(LC_CTYPE_MASK, b"C", None)


class PosixPattern:
    """One compiled expression; its memory is the C library's and is freed with it."""

    __slots__ = ("_address", "_memory", "groups")

    def __init__(self, pattern: str, flags: int) -> None:
        data = key_bytes(pattern)
        self._address = 0
        self._memory = ctypes.create_string_buffer(REGEX_T_SIZE)
        address = ctypes.addressof(self._memory)
        before = _uselocale(_c_locale)
        try:
            code = _regcomp(address, data, flags)
        finally:
            _uselocale(before)
        if code:
            text = ctypes.create_string_buffer(ERROR_SIZE)
            _regerror(code, address, text, ERROR_SIZE)
            raise BadPattern(text.value.decode("ascii", "replace"))
        self._address = address
        self.groups = ctypes.c_size_t.from_buffer(self._memory, RE_NSUB_OFFSET).value

    def __del__(self) -> None:
        if self._address:
            _regfree(self._address)

    def match(self, key: str, groups: int) -> Sequence[str | None] | None:
        """None, or the groups up to that number."""
        data = key_bytes(key)
        if not groups:
            return ("",) if _regexec(self._address, data, 0, None, 0) == 0 else None
        matches = (_Match * (groups + 1))()
        if _regexec(self._address, data, groups + 1, matches, 0) != 0:
            return None
        return [key_text(data[m.start : m.end]) if m.start >= 0 else None for m in matches]


def _group_count_offset() -> int:
    """Where re_nsub stands in regex_t: glibc after 48 bytes, musl first. Found by a pattern with seven groups."""
    memory = ctypes.create_string_buffer(REGEX_T_SIZE)
    _regcomp(ctypes.addressof(memory), b"((((((()))))))", REG_EXTENDED)
    try:
        for offset in (48, 0):
            if ctypes.c_size_t.from_buffer(memory, offset).value == 7:
                return offset
    finally:
        _regfree(ctypes.addressof(memory))
    raise TableError("regexp: this C library's regex_t is not known")


RE_NSUB_OFFSET = _group_count_offset()


def compile_posix(pattern: str, flags: str, groups: bool) -> PosixPattern:
    """From a rule's pattern and flags. Raises BadPattern."""
    bits = REG_EXTENDED | REG_ICASE
    for flag in flags:
        bits ^= FLAGS[flag]
    return PosixPattern(pattern, bits if groups else bits | REG_NOSUB)


def filter_posix(pattern: str, flags: str) -> str | None:
    """The pattern for a Prefilter: extended syntax without REG_NEWLINE."""
    odd = {flag for flag in flags if flags.count(flag) % 2}
    if odd - {"i"}:
        return None
    translated = translate(pattern)
    return translated if translated is None or "i" in odd else f"(?i:{translated})"


DIALECT = Dialect("regexp", compile_posix, "skipping", filter_posix, tuple(FLAGS), "out-of-range")


def open_regexp(name: str, path: str, *, substitution: bool = True, read_value: ReadValue = as_written) -> PatternTable:
    """Read and compile the file, or the rules in braces, now."""
    try:
        lines = rule_lines(path, "regexp map")
    except OSError as error:
        raise TableError(f"open {path}: {error.strerror}") from error
    rules = parse_rules(lines, path, DIALECT, substitution=substitution, read_value=read_value)
    return PatternTable(name, rules, DIALECT)
