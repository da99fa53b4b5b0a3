"""SASL as an SMTP client speaks it: which mechanism, and what it says.

A mechanism is a generator: it yields a response and is sent the server's challenge, both
decoded. The first yield is the initial response, None for mechanisms where the server speaks
first.

Standards: RFC 4954 (AUTH); RFC 4616 (PLAIN); RFC 2195 (CRAM-MD5); draft-murchison-sasl-login
(LOGIN). XOAUTH2 is Google's and Microsoft's; its error challenge gets an empty answer.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Generator, Sequence

Exchange = Generator[bytes | None, bytes, None]


def plain(user: str, password: str) -> Exchange:
    """RFC 4616 section 2: authzid NUL authcid NUL passwd."""
    yield b"\0" + user.encode() + b"\0" + password.encode()


def login(user: str, password: str) -> Exchange:
    """The server asks twice, whatever its words are."""
    yield None
    yield user.encode()
    yield password.encode()


def cram_md5(user: str, password: str) -> Exchange:
    """RFC 2195 section 2: the digest of the challenge."""
    challenge = yield None
    digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
    yield user.encode() + b" " + digest.encode()


def xoauth2(user: str, token: str) -> Exchange:
    """The password is an access token."""
    yield b"user=" + user.encode() + b"\x01auth=Bearer " + token.encode() + b"\x01\x01"
    yield b""


MECHANISMS: dict[str, Callable[[str, str], Exchange]] = {
    "CRAM-MD5": cram_md5,
    "PLAIN": plain,
    "LOGIN": login,
    "XOAUTH2": xoauth2,
}
"""In order of preference, as Cyrus SASL ranks them. XOAUTH2 is last: taken where nothing else is offered or allowed."""

PLAINTEXT = frozenset({"PLAIN", "LOGIN", "XOAUTH2"})
"""Mechanisms that hand the secret over: refused by the security option noplaintext."""
NO_DICTIONARY = frozenset({"CRAM-MD5", "PLAIN", "LOGIN"})
"""Open to active or dictionary attacks: refused by nodictionary and noactive."""


def choose_mechanism(offered: Sequence[str], options: Collection[str]) -> str:
    """The best mechanism that the server offers, we speak and the security options allow, or ""."""
    for mechanism in MECHANISMS:
        if mechanism not in offered:
            continue
        if "noplaintext" in options and mechanism in PLAINTEXT:
            continue
        if ("nodictionary" in options or "noactive" in options) and mechanism in NO_DICTIONARY:
            continue
        if "forward_secrecy" in options or "mutual_auth" in options:
            continue
        return mechanism
    return ""
