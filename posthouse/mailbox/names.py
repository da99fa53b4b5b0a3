"""Names of mailboxes: what may be one, and its one spelling.

str with "/" between levels; INBOX in any case is INBOX, also as the first level.

Standards: RFC 3501 sections 5.1 and 6.3.3; RFC 5198 (NFC).
"""

import unicodedata
from functools import lru_cache

from posthouse.mailbox.store import SEPARATOR, Refusal, Refused

# A level becomes part of a file name in Maildir++: NAME_MAX is 255 octets, modified UTF-7 grows.
LEVEL_LIMIT = 200
NAME_LIMIT = 1000
DEPTH_LIMIT = 32


@lru_cache(maxsize=1024)
def spell_name(name: str) -> str | Refused:
    """The name as the store keeps it, or why it can be none."""
    name = unicodedata.normalize("NFC", name)
    name = name.removesuffix(SEPARATOR)
    levels = name.split(SEPARATOR)
    if levels[0].upper() == "INBOX":
        levels[0] = "INBOX"
        name = SEPARATOR.join(levels)
    if not all(levels):
        return Refused(Refusal.CANNOT, "a mailbox name has no empty level")
    if not name.isprintable() or name[0] == "#" or any(0xD800 <= ord(char) < 0xE000 for char in name):
        return Refused(Refusal.CANNOT, "this character cannot be in a mailbox name")
    if any(level in (".", "..") for level in levels) or "*" in name or "%" in name:
        return Refused(Refusal.CANNOT, "this cannot be a mailbox name")
    if len(levels) > DEPTH_LIMIT:
        return Refused(Refusal.LIMIT, f"a mailbox name has at most {DEPTH_LIMIT} levels")
    if len(name.encode()) > NAME_LIMIT or any(len(level.encode()) > LEVEL_LIMIT for level in levels):
        return Refused(Refusal.LIMIT, "the mailbox name is too long")
    return name


def parents(name: str) -> list[str]:
    """The names above, outermost first."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]
