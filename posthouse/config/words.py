"""Lists in a value: words split at commas and blanks, but not between braces."""

import re

SEPARATORS = ", \t\r\n"
_PLAIN = re.compile(f"[^{SEPARATORS}]+")


def split_words(text: str) -> tuple[str, ...]:
    """The words of a list. Braces stay, and keep what is between them together; an open one, all that follows."""
    if "{" not in text:
        return tuple(_PLAIN.findall(text))
    words: list[str] = []
    start = -1
    depth = 0
    for position, character in enumerate(text):
        if depth == 0 and character in SEPARATORS:
            if start >= 0:
                words.append(text[start:position])
                start = -1
            continue
        if start < 0:
            start = position
        if character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
    if start >= 0:
        words.append(text[start:])
    return tuple(words)
