"""APOP: a digest of the greeting's timestamp and the password.

    timestamp = "<" process-id "." clock "@" hostname ">"
    digest    = lower-case hex of MD5(timestamp password)

Standards: RFC 1939 section 7 (APOP); RFC 6151 says what MD5 is still good for.
"""

import hashlib
import hmac

DIGEST_LENGTH = 32
"""Hexadecimal digits."""


def timestamp(unique: str, hostname: str) -> str:
    """The msg-id of a greeting. It must be new for each: `unique` is random, in characters of an atom."""
    return f"<{unique}@{hostname}>"


def digest(stamp: str, secret: str) -> str:
    """What a client that knows the password answers."""
    data = (stamp + secret).encode("utf-8", "surrogateescape")
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def digest_fits(stamp: str, secret: str, answer: str) -> bool:
    """Whether the answer is right; takes the same time whatever it is."""
    expected = digest(stamp, secret).encode("ascii")
    return hmac.compare_digest(expected, answer.lower().encode("utf-8", "surrogateescape"))
