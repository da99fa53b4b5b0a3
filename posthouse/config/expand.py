"""$name, ${name?value:value} and ${{a} == {b} ? {c} : {d}} in the values of main.cf.

    reference   = "$" name / "${" body "}" / "$(" body ")" / "$$"
    body        = (name / "{" text "}" operator "{" text "}") ["?" text [":" text] / ":" text]

A name counts as defined when its value is not empty. Numbers compare as numbers, other text
as text; the level operators (<level and its like) compare compatibility levels, 3.10 being
above 3.9. Errors are Postfix's warnings, the place of the error marked with >>>.
"""

import re
from collections.abc import Callable

from posthouse.config.error import ConfigError
from posthouse.config.logical_line import BLANKS

NESTING_LIMIT = 100
"""Parameters within parameters; Postfix's own limit, it stops loops."""

_NAME = re.compile(r"[A-Za-z0-9_]*")
_OPERATOR = re.compile(r"(?:==|!=|<=|>=|<|>)(?![<>=!])")
_SUFFIX = re.compile(r"[A-Za-z0-9]*")
_CLOSING = {"{": "}", "(": ")"}

Lookup = Callable[[str], str | None]
"""A name's unexpanded value, None when there is no such name."""


class MacroError(ConfigError):
    """A value that cannot be expanded; the text is Postfix's warning about it."""


def parse_level(text: str) -> tuple[int, int, int]:
    """A compatibility level: major, major.minor or major.minor.patch."""
    match = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?", text)
    if match is None:
        raise MacroError(f'malformed compatibility level syntax: "{text}"')
    return int(match[1]), int(match[2] or 0), int(match[3] or 0)


def _mark(before: str, rest: str) -> str:
    """The place of an error, as Postfix marks it: the last thing understood, and what follows."""
    return f"...{before}>>>{rest[:_CONTEXT]}"


_CONTEXT = 20


class _Expansion:
    """One value being expanded."""

    def __init__(self, lookup: Lookup, seen: Callable[[str], None] | None, recurse: bool) -> None:
        self.lookup = lookup
        self.seen = seen
        self.recurse = recurse

    def expand(self, text: str, depth: int) -> str:
        if "$" not in text:
            return text
        out: list[str] = []
        position = 0
        while True:
            dollar = text.find("$", position)
            if dollar < 0:
                out.append(text[position:])
                return "".join(out)
            out.append(text[position:dollar])
            following = text[dollar + 1 : dollar + 2]
            if following == "$":
                out.append("$")
                position = dollar + 2
            elif following in _CLOSING and following:
                end = balanced_end(text, dollar + 1)
                if end < 0:
                    raise MacroError(f'truncated macro reference: "{text}"')
                out.append(self.reference(text[dollar + 2 : end - 1], text, depth))
                position = end
            else:
                match = _NAME.match(text, dollar + 1)
                assert match is not None, "the pattern matches the empty text too"
                if not match[0]:
                    raise MacroError(f'empty macro name: "{text}"')
                out.append(self.value(match[0], depth))
                position = match.end()

    def value(self, name: str, depth: int) -> str:
        """A parameter's value, expanded."""
        if self.seen is not None:
            self.seen(name)
        raw = self.lookup(name)
        if raw is None:
            return ""
        if not self.recurse:
            return raw
        if depth > NESTING_LIMIT:
            raise MacroError(f'unreasonable macro call nesting: "{name}"')
        return self.expand(raw, depth + 1)

    def reference(self, body: str, whole: str, depth: int) -> str:
        """The value of what stands between ${ and }."""
        start = len(body) - len(body.lstrip(BLANKS))
        if body[start : start + 1] == "{":
            result, position = self.comparison(body, start, depth)
            name = ""
        else:
            match = _NAME.match(body, start)
            assert match is not None, "the pattern matches the empty text too"
            name, position = match[0], match.end()
            rest = body[position:].lstrip(BLANKS)
            if not name and not rest:
                raise MacroError(f'empty macro name: "{whole}"')
            if rest and rest[0] not in "?:":
                raise MacroError(f'attribute name syntax error at: "{_mark(name, body[position:])}"')
            if not rest:
                return self.value(name, depth)
            result = self.value(name, depth) != ""
        rest = body[position:].lstrip(BLANKS)
        if not rest:
            return "true" if result else ""
        position = len(body) - len(rest)
        if rest[0] not in "?:":
            raise MacroError(f'"?" or ":" expected at: "{_mark("}", body[position:])}"')
        return self.choice(body, position, result, depth)

    def choice(self, body: str, position: int, result: bool, depth: int) -> str:
        """What "?" and ":" choose, from the position of the first of them on."""
        operator = body[position]
        first, position, braced = self.branch(body, position + 1)
        chosen = first if result == (operator == "?") else ""
        if braced:
            after = _skip(body, position)
            if after < len(body):
                if operator == ":":
                    raise MacroError(f'unexpected input at: "{_mark(first + "}", body[after:])}"')
                if body[after] != ":":
                    raise MacroError(f'":" expected at: "{_mark(first + "}", body[after:])}"')
                second, position, braced = self.branch(body, after + 1)
                if braced and _skip(body, position) < len(body):
                    rest = body[_skip(body, position) :]
                    raise MacroError(f'unexpected input at: "{_mark(second + "}", rest)}"')
                if not result:
                    chosen = second
        return self.expand(chosen, depth)

    @staticmethod
    def branch(body: str, position: int) -> tuple[str, int, bool]:
        """A value after "?" or ":": in braces, or all the rest. Also where it ends and whether it had braces."""
        start = _skip(body, position)
        if body[start : start + 1] == "{":
            end = balanced_end(body, start)
            if end < 0:
                raise MacroError(f'truncated macro reference: "{body[start:]}"')
            return body[start + 1 : end - 1].strip(BLANKS), end, True
        return body[position:], len(body), False

    def comparison(self, body: str, position: int, depth: int) -> tuple[bool, int]:
        """The truth of {a} op {b}, and where it ends."""
        left, position = self.operand(body, position)
        position = _skip(body, position)
        match = _OPERATOR.match(body, position)
        if match is None:
            expected = '"==" or "!="" or "<"" or "<="" or ">="" or ">"'
            raise MacroError(f'{expected} expected at: "{_mark(left + "}", body[position:])}"')
        suffix = _SUFFIX.match(body, match.end())
        assert suffix is not None, "the pattern matches the empty text too"
        if suffix[0] not in {"", "level"}:
            raise MacroError(f'bad operator suffix at: "{_mark(match[0], suffix[0])}"')
        position = _skip(body, suffix.end())
        if body[position : position + 1] != "{":
            marked = _mark(f"{{{left}}} {match[0]}{suffix[0]}", body[suffix.end() :])
            raise MacroError(f'"{{expression}}" expected at: "{marked}"')
        right, position = self.operand(body, position)
        truth = self.compare(self.expand(left, depth), match[0], self.expand(right, depth), level=bool(suffix[0]))
        return truth, position

    def compare(self, left: str, operator: str, right: str, *, level: bool) -> bool:
        """The truth of a comparison of expanded sides."""
        return compare(left, operator, right, level=level)

    @staticmethod
    def operand(body: str, position: int) -> tuple[str, int]:
        end = balanced_end(body, position)
        if end < 0:
            raise MacroError(f'truncated macro reference: "{body[position:]}"')
        return body[position + 1 : end - 1], end


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in BLANKS:
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
    return _Expansion(lookup, seen, recurse).expand(text, 0)


def references(text: str) -> tuple[list[str], str]:
    """Every name the text refers to, in all its branches, up to the first error; and the error's words, if any."""
    found: list[str] = []
    try:
        _Reader(found).expand(text, 0)
    except MacroError as error:
        return found, error.text
    return found, ""


class _Reader(_Expansion):
    """An expansion that takes every branch and only notes the names."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(lambda name: None, found.append, recurse=False)

    def choice(self, body: str, position: int, result: bool, depth: int) -> str:
        operator = body[position]
        super().choice(body, position, operator == "?", depth)
        super().choice(body, position, operator != "?", depth)
        return ""

    def compare(self, left: str, operator: str, right: str, *, level: bool) -> bool:
        return True
