"""Long lines of notices, broken at blanks and indented.

Standards: RFC 5322 section 2.1.1 (78 characters is what readers like); RFC 3464 section 2.1.2
(fields of a report may be folded).
"""

import re

LINE_LENGTH = 79
INDENT = "    "
WORD = re.compile(r"[^ \t]+[ \t]*|[ \t]+")


def fold(text: str, length: int = LINE_LENGTH) -> str:
    """The text in lines of at most so many characters, all but the first indented. A longer word stays whole."""
    if len(text) <= length:
        return text
    lines: list[str] = []
    line = ""
    for word in WORD.findall(text):
        if line.strip() and len(line) + len(word.rstrip(" \t")) > length:
            lines.append(line.rstrip(" \t"))
            line = INDENT
        line += word
    lines.append(line.rstrip(" \t"))
    return "\r\n".join(lines)
