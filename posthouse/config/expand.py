"""$name, ${name?value:value} and ${{a} == {b} ? {c} : {d}} in the values of main.cf.

    reference   = "$" name / "${" body "}" / "$(" body ")" / "$$"
    body        = (name / "{" text "}" operator "{" text "}") ["?" text [":" text] / ":" text]

A name counts as defined when something is written behind its "=", whatever that expands to.
Numbers compare as numbers, other text as text; the level operators (<level and its like) compare
compatibility levels, 3.10 being above 3.9. Errors are Postfix's warnings, the place of the error marked with >>>.
"""

from collections.abc import Callable

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import BLANKS, WORD_BREAKS

NESTING_LIMIT = 100
"""Parameters within parameters; Postfix's own limit, it stops loops."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
"""What a suffix of an operator is made of. (No patterns: re takes 5 ms to import, and every command expands names.)"""
_NAME = _LETTERS + "_"
_OPERATOR = "<>!=?+-*/~&|%"
_OPERATORS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_NUMBER_DIGITS = 9
"""Digits of one number of a compatibility level."""
_CLOSING = {"{": "}", "(": ")"}

Lookup = Callable[[str], str | None]
"""A name's unexpanded value, None when there is no such name."""


class MacroError(ConfigError):
    """A value that cannot be expanded; the text is Postfix's last warning about it, `warnings` are the ones before."""


def parse_level(text: str) -> tuple[int, int, int]:
    """A compatibility level: major, major.minor or major.minor.patch."""
    # Each number as strtol(3) reads it: blanks and a plus sign may stand before it.
    numbers = [part.lstrip(BLANKS).removeprefix("+") for part in text.split(".")]
    if len(numbers) > 3 or not all(n.isdigit() and n.isascii() and len(n) <= _NUMBER_DIGITS for n in numbers):
        raise MacroError(f'malformed compatibility level syntax: "{text}"')
    major, minor, patch = (*map(int, numbers), 0, 0)[:3]
    return major, minor, patch


def _mark(before: str, rest: str) -> str:
    """The place of an error, as Postfix marks it: the last thing understood, and what follows."""
    shown = rest.encode("utf-8", "surrogateescape")[:_CONTEXT]
    return f"...{before}>>>{shown.decode('utf-8', 'surrogateescape')}"


_CONTEXT = 20
"""Bytes shown of what follows."""


class _Wrong(Exception):
    """What is wrong with a reference."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Expansion:
    """One value being expanded.

    After the first error nothing is evaluated any more; reading goes on, and tells what else is wrong, as Postfix does.
    """

    def __init__(self, lookup: Lookup, seen: Callable[[str], None] | None, recurse: bool, outer: int = 0) -> None:
        self.lookup = lookup
        self.seen = seen
        self.recurse = recurse
        self.outer = outer
        """How many comparisons this is inside of."""
        self.level = 0
        self.told: list[str] = []

    def run(self, text: str) -> str:
        """The text expanded. MacroError tells all that is wrong with it."""
        result = self.expand(text)
        if self.told:
            raise MacroError(self.told[-1], tuple(self.told[:-1]))
        return result

    def expand(self, text: str) -> str:
        """A text, perhaps one inside others."""
        if "$" not in text:
            return self.plain(text)
        out: list[str] = []
        plain = ""
        position = 0
        while True:
            dollar = text.find("$", position)
            if dollar < 0:
                out.append(self.plain(plain + text[position:]))
                return "".join(out)
            plain += text[position:dollar]
            following = text[dollar + 1 : dollar + 2]
            if following == "$":
                plain += "$"
                position = dollar + 2
                continue
            out.append(self.plain(plain))
            plain = ""
            if following in _CLOSING and following:
                position = balanced_end(text, dollar + 1)
                body = text[dollar + 2 : position - 1]
                if position < 0:
                    self.told.append(f'truncated macro reference: "{text}"')
                    return "".join(out)
            else:
                position = _end_of_run(text, dollar + 1, _NAME)
                body = text[dollar + 1 : position]
            if not body:
                self.told.append(f'empty macro name: "{text}"')
                return "".join(out)
            out.append(self.reference(body))

    def enters(self, piece: str) -> bool:
        """One piece begins; whether it is to be evaluated. One that is not stays counted."""
        if self.level > NESTING_LIMIT:
            self.told.append(f'unreasonable macro call nesting: "{piece}"')
        self.level += 1
        return not self.told

    def plain(self, text: str) -> str:
        """Text without references."""
        if text and self.enters(text):
            self.level -= 1
        return text

    def reference(self, body: str) -> str:
        """The value of what stands between ${ and }."""
        if not self.enters(body):
            return ""
        try:
            result = self.evaluate(body)
        except _Wrong as error:
            self.told.append(error.text)
            return ""
        self.level -= 1
        return result

    def raw(self, name: str) -> str:
        """A parameter's value, unexpanded."""
        if self.seen is not None:
            self.seen(name)
        return self.lookup(name) or ""

    def evaluate(self, body: str) -> str:
        """The value of a reference's body."""
        start = _skip(body, 0)
        if body[start : start + 1] == "{":
            result, position = self.comparison(body, start)
            if self.told:
                return ""
            rest = body[position:].lstrip(WORD_BREAKS)
            if not rest:
                return "true" if result else ""
            position = len(body) - len(rest)
            if rest[0] not in "?:":
                raise _Wrong(f'"?" or ":" expected at: "{_mark("}", body[position:])}"')
            return self.choice(body, position, result)
        end = _end_of_run(body, start, _NAME)
        rest = body[end:].lstrip(WORD_BREAKS)
        if rest and rest[0] not in "?:":
            raise _Wrong(f'attribute name syntax error at: "{_mark(body[:end], body[end:])}"')
        value = self.raw(body[start:end])
        if rest:
            # A name counts as defined when something is written behind its "=", whatever that expands to.
            return self.choice(body, len(body) - len(rest), value != "")
        return self.expand(value) if self.recurse else value

    def choice(self, body: str, position: int, result: bool) -> str:
        """What "?" and ":" choose, from the position of the first of them on."""
        operator = body[position]
        first, position, braced = self.branch(body, position + 1)
        chosen = self.expand(first) if self.takes(result == (operator == "?")) else ""
        after = _skip(body, position)
        if not braced or after == len(body):
            return chosen
        if operator == ":":
            raise _Wrong(f'unexpected input at: "{_mark(first + "}", body[after:])}"')
        if body[after] != ":":
            raise _Wrong(f'":" expected at: "{_mark(first + "}", body[after:])}"')
        second, position, braced = self.branch(body, after + 1)
        if self.takes(not result):
            chosen += self.expand(second)
        after = _skip(body, position)
        if braced and after < len(body):
            raise _Wrong(f'unexpected input at: "{_mark(second + "}", body[after:])}"')
        return chosen

    def takes(self, chosen: bool) -> bool:
        """Whether to go into a branch."""
        return chosen

    @staticmethod
    def branch(body: str, position: int) -> tuple[str, int, bool]:
        """A value after "?" or ":": in braces, or all the rest. Also where it ends and whether it had braces."""
        start = _skip(body, position)
        if body[start : start + 1] == "{":
            end = balanced_end(body, start)
            if end < 0:
                raise _Wrong(f'unbalanced {{}} in attribute expression: "{body[start:]}"')
            return body[start + 1 : end - 1], end, True
        return body[position:], len(body), False

    def comparison(self, body: str, position: int) -> tuple[bool, int]:
        """The truth of {a} op {b}, and where it ends."""
        left, position = self.operand(body, position)
        position = _skip(body, position)
        end = _end_of_run(body, position, _OPERATOR)
        operator = body[position:end]
        if operator not in _OPERATORS:
            expected = '"==" or "!="" or "<"" or "<="" or ">="" or ">"'
            raise _Wrong(f'{expected} expected at: "{_mark(left + "}", body[position:])}"')
        suffix_end = _end_of_run(body, end, _LETTERS)
        suffix = body[end:suffix_end]
        if suffix not in {"", "level"}:
            raise _Wrong(f'bad operator suffix at: "{_mark(operator, suffix)}"')
        position = _skip(body, suffix_end)
        if body[position : position + 1] != "{":
            marked = _mark(f"{{{left}}} {operator}", body[suffix_end:])
            raise _Wrong(f'"{{expression}}" expected at: "{marked}"')
        right, position = self.operand(body, position)
        sides = [self.side(left), self.side(right)]
        if self.told and not suffix:  # levels are looked at all the same, as in Postfix
            return False, position
        try:
            return self.compare(sides[0], operator, sides[1], level=bool(suffix)), position
        except MacroError as error:
            raise _Wrong(error.text) from error

    def side(self, text: str) -> str:
        """One side of a comparison, expanded by itself."""
        if self.outer > NESTING_LIMIT:
            raise _Wrong(f'unreasonable macro call nesting: "{text}"')
        side = self.inner()
        result = side.expand(text)
        self.told += side.told
        return result

    def inner(self) -> "_Expansion":
        """An expansion of the same kind inside a comparison."""
        return _Expansion(self.lookup, self.seen, self.recurse, self.outer + 1)

    def compare(self, left: str, operator: str, right: str, *, level: bool) -> bool:
        """The truth of a comparison of expanded sides."""
        return compare(left, operator, right, level=level)

    @staticmethod
    def operand(body: str, position: int) -> tuple[str, int]:
        end = balanced_end(body, position)
        if end < 0:
            raise _Wrong(f'unbalanced {{}} in attribute expression: "{body[position:]}"')
        return body[position + 1 : end - 1], end


def _skip(text: str, position: int) -> int:
    return _end_of_run(text, position, WORD_BREAKS)


def _end_of_run(text: str, position: int, characters: str) -> int:
    """Where the run of these characters ends that begins here; here, when there is none."""
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def balanced_end(text: str, position: int) -> int:
    """Just after the bracket that closes the one at this position; -1 when there is none."""
    opening = text[position]
    closing = _CLOSING[opening]
    depth = 0
    for index in range(position, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing:
            depth -= 1
            if depth == 0:
                return index + 1
    return -1


def compare(left: str, operator: str, right: str, *, level: bool) -> bool:
    """The truth of a comparison: of levels, of numbers when both sides are numbers, else of text."""
    a: tuple[int, ...] | str
    b: tuple[int, ...] | str
    if level:
        a, b = parse_level(left), parse_level(right)
        order = (a > b) - (a < b)
    elif left.isdigit() and right.isdigit() and left.isascii() and right.isascii():
        order = (int(left[:40]) > int(right[:40])) - (int(left[:40]) < int(right[:40]))
    else:
        order = (left > right) - (left < right)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def expand(text: str, lookup: Lookup, *, seen: Callable[[str], None] | None = None, recurse: bool = True) -> str:
    """The text with its references replaced.

    Each name referred to is told to `seen` first. With recurse=False values are taken as
    they are: for variables of a delivery, which may hold anything a sender likes.
    """
    return _Expansion(lookup, seen, recurse).run(text)


def references(text: str) -> tuple[list[str], list[str]]:
    """Every name the text refers to, in all its branches, up to the first error; and what is wrong with it."""
    reader = _Reader([])
    reader.expand(text)
    return reader.found, reader.told


class _Reader(_Expansion):
    """An expansion that takes every branch and only notes the names."""

    def __init__(self, found: list[str], outer: int = 0) -> None:
        super().__init__(lambda name: None, found.append, recurse=False, outer=outer)
        self.found = found

    def inner(self) -> "_Reader":
        return _Reader(self.found, self.outer + 1)

    def takes(self, chosen: bool) -> bool:
        return True

    def compare(self, left: str, operator: str, right: str, *, level: bool) -> bool:
        return True
