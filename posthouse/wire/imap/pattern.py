"""LIST's patterns: "*" is anything, "%" anything within one level.

Standards: RFC 3501 section 6.3.8.
"""

from posthouse.wire.imap.error import ImapSyntaxError

# Longer than any name (mailbox/names.py); and no client writes more wildcards than levels.
LENGTH_LIMIT = 1200
WILDCARD_LIMIT = 40

SEPARATOR = "/"


class Pattern:
    """One pattern. Matching takes time proportional to name and wildcards, whatever the pattern."""

    __slots__ = ("_folded", "_text")

    def __init__(self, text: str) -> None:
        """Raises ImapSyntaxError beyond the limits."""
        if len(text) > LENGTH_LIMIT or text.count("*") + text.count("%") > WILDCARD_LIMIT:
            raise ImapSyntaxError("Mailbox pattern is too complex")
        self._text = text
        first, separator, rest = text.partition(SEPARATOR)
        self._folded = first.upper() + separator + rest  # INBOX compares without case

    def matches(self, name: str) -> bool:
        """Whether a name fits."""
        if name == "INBOX" or name.startswith("INBOX" + SEPARATOR):
            return _matches(self._folded, name) or _matches(self._text, name)
        return _matches(self._text, name)


def _matches(pattern: str, name: str) -> bool:
    """States are places in the pattern; all that are possible go on together."""
    states = _closure({0}, pattern)
    for char in name:
        following: set[int] = set()
        for place in states:
            if place == len(pattern):
                continue
            mark = pattern[place]
            if mark == "*" or (mark == "%" and char != SEPARATOR):
                following.add(place)
            elif mark == char:
                following.add(place + 1)
        if not following:
            return False
        states = _closure(following, pattern)
    return len(pattern) in states


def _closure(states: set[int], pattern: str) -> set[int]:
    """A wildcard may stand for nothing."""
    found = set(states)
    for place in states:
        while place < len(pattern) and pattern[place] in "*%":
            place += 1
            found.add(place)
    return found
