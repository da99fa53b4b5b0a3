"""Lists as main.cf writes them: words between commas and white space, {braces} kept together."""

SEPARATORS = ", \t\r\n"


def split_words(text: str, separators: str = SEPARATORS) -> list[str]:
    """The words. A `{ … }` group belongs to the word it stands in, braces and all."""
    if "{" not in text:
        for separator in separators[1:]:
            text = text.replace(separator, separators[0])
        return [word for word in text.split(separators[0]) if word]
    words: list[str] = []
    start, depth = -1, 0
    for position, character in enumerate(text):
        if depth == 0 and character in separators:
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
    return words


def brace_fault(text: str) -> str:
    """What is wrong with a text that begins with a brace and has no pair of outer ones, in Postfix's words."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if not depth:
            return f"syntax error after '}}' in \"{text}\""
    return f"missing '}}' in \"{text}\""


def strip_braces(text: str) -> str | None:
    """The text inside one pair of outer braces, blanks trimmed; None when there is no such pair."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    depth = 0
    for position, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return text[1:position].strip() if position == len(text) - 1 else None
    return None
