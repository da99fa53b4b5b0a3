"""What a server offers in its answer to EHLO or LHLO.

Standards: RFC 5321 section 4.1.1.1; RFC 1870 (SIZE); RFC 2920 (PIPELINING); RFC 3207 (STARTTLS);
RFC 3461 (DSN); RFC 4954 (AUTH, and the old "AUTH=" spelling); RFC 6152 (8BITMIME);
RFC 6531 (SMTPUTF8).
"""

from dataclasses import dataclass
from functools import lru_cache

from posthouse.wire.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Offer:
    """The extensions of one server."""

    extended: bool = False
    """Whether EHLO or LHLO was accepted at all."""
    pipelining: bool = False
    eight_bit: bool = False
    dsn: bool = False
    smtputf8: bool = False
    starttls: bool = False
    size: int | None = None
    """SIZE's limit, 0 when it gave none, None when it offers no SIZE."""
    bad_size: str = ""
    """What it said in place of a limit."""
    mechanisms: tuple[str, ...] | None = None
    """SASL mechanisms in upper case; None when AUTH is not offered."""
    xforward: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)  # a server says the same each time
def parse_offer(reply: Reply, discard: frozenset[str] = frozenset()) -> Offer:
    """Read a 250 reply to EHLO. `discard` names keywords to ignore, in lower case (smtp_discard_ehlo_keywords)."""
    seen: set[str] = set()
    size: int | None = None
    bad_size = ""
    mechanisms: list[str] | None = None
    xforward: frozenset[str] = frozenset()
    for line in reply.text.split("\n")[1:]:
        words = line.replace("=", " ", 1).split() if line[:5].upper() == "AUTH=" else line.split()
        if not words:
            continue
        keyword = words[0].upper()
        if keyword.lower() in discard:
            continue
        seen.add(keyword)
        if keyword == "SIZE":
            size = int(words[1]) if len(words) > 1 and words[1].isascii() and words[1].isdigit() else 0
            bad_size = words[1] if len(words) > 1 and not size and words[1].strip("0") else ""
        elif keyword == "AUTH":
            mechanisms = mechanisms or []
            mechanisms += [word.upper() for word in words[1:] if word.upper() not in mechanisms]
        elif keyword == "XFORWARD":
            xforward = frozenset(word.upper() for word in words[1:])
    return Offer(
        extended=True,
        pipelining="PIPELINING" in seen,
        eight_bit="8BITMIME" in seen,
        dsn="DSN" in seen,
        smtputf8="SMTPUTF8" in seen,
        starttls="STARTTLS" in seen,
        size=size,
        bad_size=bad_size,
        mechanisms=None if mechanisms is None else tuple(mechanisms),
        xforward=xforward,
    )
