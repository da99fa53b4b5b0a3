"""The right side of a regexp or pcre rule: text with $1, ${1}, $(1) and $$.

Standards: regexp_table(5) and pcre_table(5), TEXT SUBSTITUTION.
"""

from collections.abc import Callable, Sequence

CLOSING = {"{": "}", "(": ")"}
DIGITS = 9
"""Of a group's number: more do not fit C's int, and no pattern has so many groups."""


class BadReplacement(Exception):
    """The text cannot be used, and why. `placed`: whether the warning names the file and line."""

    def __init__(self, text: str, *, placed: bool) -> None:
        super().__init__(text)
        self.text = text
        self.placed = placed


class Replacement:
    """Parsed text: strings and group numbers in order."""

    __slots__ = ("_parts", "highest")

    def __init__(self, parts: Sequence[str | int]) -> None:
        self._parts = tuple(parts)
        self.highest = max((part for part in parts if isinstance(part, int)), default=0)
        """The highest group number asked for; 0 when the text is fixed."""

    @property
    def fixed(self) -> str | None:
        """The whole text when no group is in it."""
        return None if self.highest else "".join(str(part) for part in self._parts)

    def expand(self, group: Callable[[int], str]) -> str:
        """The text with each number replaced by what the function gives for it."""
        return "".join(part if isinstance(part, str) else group(part) for part in self._parts)


def parse_replacement(text: str, beyond: str = "out-of-range") -> Replacement:
    """`beyond`: the dialect's word for numbers that cannot be. Raises BadReplacement."""
    parts: list[str | int] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        if dollar > position:
            parts.append(text[position:dollar])
        after = text[dollar + 1 : dollar + 2]
        if after == "$":
            parts.append("$")
            position = dollar + 2
            continue
        if after in CLOSING and after:
            end = _closing(text, dollar + 2, after)
            if end < 0:
                raise BadReplacement(f'truncated macro reference: "{text}"', placed=False)
            name, position = text[dollar + 2 : end], end + 1
        else:
            end = dollar + 1
            while end < len(text) and (text[end] == "_" or (text[end].isascii() and text[end].isalnum())):
                end += 1
            name, position = text[dollar + 1 : end], end
        if not name:
            raise BadReplacement(f'empty macro name: "{text}"', placed=False)
        parts.append(_index(name, beyond))
    if position < len(text):
        parts.append(text[position:])
    return Replacement(parts)


def _closing(text: str, position: int, opening: str) -> int:
    """Where the brace or parenthesis is closed, others of its kind between; -1 when it is not."""
    level = 1
    while position < len(text):
        if text[position] == opening:
            level += 1
        elif text[position] == CLOSING[opening]:
            level -= 1
            if not level:
                return position
        position += 1
    return -1


def _index(name: str, beyond: str) -> int:
    if not (name.isascii() and name.isdigit()):
        raise BadReplacement(f'non-numeric replacement index "{name}"', placed=True)
    if len(name) > DIGITS or int(name) < 1:
        raise BadReplacement(f'{beyond} replacement index "{name}"', placed=True)
    return int(name)
