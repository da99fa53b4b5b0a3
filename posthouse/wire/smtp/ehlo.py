"""What a server offers in its answer to EHLO, in Postfix's order.

Standards: RFC 5321 section 4.1.1.1; the registry "SMTP Service Extensions".
"""

from collections.abc import Sequence

XCLIENT_ATTRIBUTES = ("NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT")
"""What a trusted front end may say of its client."""

XFORWARD_ATTRIBUTES = ("NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT")
"""What a content filter may say of a message's first client."""

_KNOWN = (
    *("8BITMIME", "AUTH", "ETRN", "PIPELINING", "SIZE", "VERP", "VRFY", "XCLIENT", "XFORWARD", "STARTTLS"),
    *("ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "CHUNKING"),
)
"""Keywords that can be kept silent about, in the order in which the log tells them."""

_LOGGED = {"SMTPUTF8": "EHLO_MASK_SMTPUTF8"}
"""Postfix's log has a name of its own for it."""


def discarded_words(discard: frozenset[str]) -> str:
    """The keywords that are kept silent about, for the log."""
    known = {word.upper() for word in discard}
    return " ".join([_LOGGED.get(word, word) for word in _KNOWN if word in known])


def offer(
    hostname: str,
    *,
    size: int,
    vrfy: bool,
    etrn: bool,
    starttls: bool,
    mechanisms: Sequence[str],
    broken_clients: bool,
    smtputf8: bool,
    discard: frozenset[str],
    xclient: bool = False,
    xforward: bool = False,
) -> bytes:
    """The whole reply. size 0 is no limit; discard holds upper-case keywords that are kept silent about."""
    lines = [hostname]
    if "PIPELINING" not in discard:
        lines.append("PIPELINING")
    if "SIZE" not in discard:
        lines.append(f"SIZE {size}" if size else "SIZE")
    if vrfy and "VRFY" not in discard:
        lines.append("VRFY")
    if etrn and "ETRN" not in discard:
        lines.append("ETRN")
    if starttls and "STARTTLS" not in discard:
        lines.append("STARTTLS")
    if mechanisms and "AUTH" not in discard:
        lines.append("AUTH " + " ".join(mechanisms))
        if broken_clients:
            lines.append("AUTH=" + " ".join(mechanisms))
    if xclient and "XCLIENT" not in discard:
        lines.append("XCLIENT " + " ".join(XCLIENT_ATTRIBUTES))
    if xforward and "XFORWARD" not in discard:
        lines.append("XFORWARD " + " ".join(XFORWARD_ATTRIBUTES))
    lines += [word for word in ("ENHANCEDSTATUSCODES", "8BITMIME", "DSN") if word not in discard]
    if smtputf8 and "SMTPUTF8" not in discard:
        lines.append("SMTPUTF8")
    if "CHUNKING" not in discard:
        lines.append("CHUNKING")
    text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return text.encode("utf-8", "surrogateescape")
