"""Lists in a value: words split at commas and blanks, but not between braces."""

SEPARATORS = ", \t\r\n"
_TO_SPACE = dict.fromkeys(map(ord, SEPARATORS), " ")
"""(No pattern: re takes 5 ms to import, and every command reads lists.)"""


def split_words(text: str) -> tuple[str, ...]:
    """The words of a list. Braces stay, and keep what is between them together; an open one, all that follows."""
    if "{" not in text:
        return tuple(word for word in text.translate(_TO_SPACE).split(" ") if word)
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
