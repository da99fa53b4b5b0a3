"""Flags of a message: five bits for the system flags, one string for the keywords.

Keywords compare without case (RFC 3501 section 2.3.2 says flags do) and keep the spelling they
were first given in their mailbox.

Standards: RFC 3501 section 2.3.2; RFC 5788 (keywords).
"""

from functools import lru_cache

from posthouse.mailbox.store import SYSTEM_FLAGS

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16

_BIT = {name.lower(): 1 << number for number, name in enumerate(SYSTEM_FLAGS)}

# A keyword is an atom; longer ones are no client's: a bound on what a row can hold.
KEYWORD_LIMIT = 100
# Keywords of one mailbox. Dovecot's Maildir knows 26, its index some thousands.
MAILBOX_KEYWORDS = 500


@lru_cache(maxsize=4096)
def decode_flags(bits: int, keywords: str) -> frozenset[str]:
    """The flags as a set; equal rows share one."""
    names = [name for number, name in enumerate(SYSTEM_FLAGS) if bits >> number & 1]
    if keywords:
        names += keywords.split(" ")
    return frozenset(names)


@lru_cache(maxsize=4096)
def encode_flags(flags: frozenset[str]) -> tuple[int, str]:
    """Bits and keywords, sorted and without what is no flag (\\Recent, unknown \\names, spaces inside)."""
    bits = 0
    keywords: dict[str, str] = {}
    for name in flags:
        bit = _BIT.get(name.lower())
        if bit is not None:
            bits |= bit
        elif is_keyword(name):
            keywords.setdefault(name.lower(), name)
    return bits, " ".join(keywords[key] for key in sorted(keywords))


def is_keyword(name: str) -> bool:
    """Whether name can be kept: printable ASCII without the specials of an IMAP atom."""
    return (
        0 < len(name) <= KEYWORD_LIMIT and name.isascii() and name.isprintable() and not set(name) & set(' (){%*"\\]')
    )
