"""Lists in a value: words split at commas and blanks; { … } is one word."""

from posthouse.config.expand import balanced_end

SEPARATORS = ", \t\r\n\v\f"


def split_words(text: str) -> tuple[str, ...]:
    """The words of a list. A word that starts with "{" runs to its closing brace and keeps both."""
    if "{" not in text:
        return tuple(text.replace(",", " ").split())
    words: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in SEPARATORS:
            position += 1
            continue
        start = position
        if text[position] == "{":
            end = balanced_end(text, position)
            position = len(text) if end < 0 else end
        else:
            # A brace inside a word (inline:{a=b, c=d}) keeps its blanks too.
            while position < len(text) and text[position] not in SEPARATORS:
                if text[position] == "{":
                    end = balanced_end(text, position)
                    position = len(text) if end < 0 else end
                else:
                    position += 1
        words.append(text[start:position])
    return tuple(words)
