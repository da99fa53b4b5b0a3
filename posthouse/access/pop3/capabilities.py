"""CAPA, in both states.

Standards: RFC 2449 sections 5 and 6; RFC 2595 section 4 (STLS); RFC 3206 section 6 (AUTH-RESP-CODE);
RFC 5034 section 3 (SASL).
"""

from posthouse.wire.pop3.reply import listing, ok

ALWAYS = ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER")
"""EXPIRE NEVER: mail stays until its owner deletes it. LOGIN-DELAY is not there: there is none after a success."""
MECHANISMS = ("PLAIN", "LOGIN")
"""The SASL mechanisms we speak."""


def capabilities(*, stls: bool, login: bool, guest: bool) -> bytes:
    """The answer. stls: whether STLS may come; login: whether USER and AUTH are taken now, or were; guest: before the
    login, when nobody is told whose program this is (RFC 2449 section 6.9)."""
    lines = [*ALWAYS]
    if stls:
        lines.append("STLS")
    if login:
        lines += ["USER", f"SASL {' '.join(MECHANISMS)}"]
    if not guest:
        lines.append("IMPLEMENTATION Posthouse")
    return listing(ok("Capability list follows"), lines)
