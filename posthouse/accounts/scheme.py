"""Password schemes: {SCHEME}hash as Dovecot and LDAP servers write them.

verify() says whether a password fits; secret_of() gives the password itself where it is stored plainly. A hash that
cannot be read fits nothing. Comparisons take the same time however much is right.

Standards: RFC 2307 section 5.3; RFC 5802 section 3 (SCRAM); RFC 8018 (PBKDF2); RFC 9106 (Argon2).
"""

import base64
import binascii
import ctypes
import ctypes.util
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

DEFAULT_SCHEME = "CRYPT"
"""Of a hash without {SCHEME}, as in Dovecot's passwd-file."""
NEW_SCHEME = "ARGON2ID"
"""Of passwords set here."""
BCRYPT_LIMIT = 72
"""Octets that bcrypt reads; every implementation ignores the rest."""
CRYPT_DATA_SIZE = 262144
"""More than any libcrypt's struct crypt_data (glibc's old one: 131,232)."""
ROUNDS_LIMIT = 10_000_000
"""PBKDF2 and SCRAM rounds: more would stop the thread for a minute."""

_SCHEME = re.compile(r"\{([A-Za-z0-9.-]{1,40})\}", re.ASCII)


def split_scheme(stored: str) -> tuple[str, str, str]:
    """(scheme, encoding, hash) of a stored password; the encoding is "", "B64" or "HEX"."""
    match = _SCHEME.match(stored)
    if match is None:
        return DEFAULT_SCHEME, "", stored
    scheme, _, encoding = match[1].upper().partition(".")
    return scheme, {"BASE64": "B64"}.get(encoding, encoding), stored[match.end() :]


def known(scheme: str) -> bool:
    """Whether verify() can check it."""
    return scheme in _CHECKS


def verify(password: str, stored: str) -> bool:
    """Whether the password fits what is stored. An empty one never does."""
    if not password or not stored or "\0" in password:
        return False
    scheme, encoding, text = split_scheme(stored)
    check = _CHECKS.get(scheme)
    if check is None:
        return False
    try:
        data = _decode(text, encoding)
        if encoding and scheme in _DIGESTS:
            data = base64.b64encode(data)  # what digests come in when nothing is said
        return check(password.encode("utf-8", "surrogateescape"), data)
    except (ValueError, binascii.Error, UnicodeError):
        return False


def secret_of(stored: str) -> str | None:
    """The password itself, of {PLAIN} and its other names; None when only a hash is kept."""
    scheme, encoding, text = split_scheme(stored)
    if scheme not in ("PLAIN", "CLEAR", "CLEARTEXT"):
        return None
    try:
        return _decode(text, encoding).decode("utf-8") or None
    except ValueError:
        return None


def make_hash(password: str) -> str:
    """What to store for a new password."""
    import argon2

    return "{" + NEW_SCHEME + "}" + argon2.PasswordHasher().hash(password)


def _decode(text: str, encoding: str) -> bytes:
    if encoding == "B64":
        return base64.b64decode(text, validate=True)
    if encoding == "HEX":
        return bytes.fromhex(text)
    if encoding:
        raise ValueError(encoding)
    return text.encode("utf-8", "surrogateescape")


def _plain(password: bytes, stored: bytes) -> bool:
    return bool(stored) and hmac.compare_digest(password, stored)


def _load_crypt() -> Any:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt"), None):
        try:
            function = ctypes.CDLL(name).crypt_r
        except (OSError, AttributeError, TypeError):
            continue
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
        return function
    return None


_crypt_r = _load_crypt()


def _crypt(password: bytes, stored: bytes) -> bool:
    if stored.startswith(b"$2"):
        return _bcrypt(password, stored)
    # A locked account ("!", "*") must fit nothing, and DES needs its 13 characters.
    if _crypt_r is None or len(stored) < 13 or stored[:1] in b"!*":
        return False
    made: bytes | None = _crypt_r(password, stored, ctypes.create_string_buffer(CRYPT_DATA_SIZE))
    return made is not None and made[:1] != b"*" and hmac.compare_digest(made, stored)


def _crypt_kind(*prefixes: bytes) -> Callable[[bytes, bytes], bool]:
    return lambda password, stored: stored.startswith(prefixes) and _crypt(password, stored)


def _bcrypt(password: bytes, stored: bytes) -> bool:
    import bcrypt

    return stored.startswith(b"$2") and bcrypt.checkpw(password[:BCRYPT_LIMIT], stored)


def _argon2(password: bytes, stored: bytes) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError
    from argon2.low_level import Type, verify_secret

    kind = {b"$argon2i$": Type.I, b"$argon2id": Type.ID, b"$argon2d$": Type.D}.get(stored[:9])
    if kind is None:
        return False
    try:
        return verify_secret(stored, password, kind)
    except (Argon2Error, InvalidHashError):
        return False


def _digest(name: str, *, salted: bool) -> Callable[[bytes, bytes], bool]:
    size = hashlib.new(name).digest_size

    def check(password: bytes, stored: bytes) -> bool:
        # As Dovecot: an unsalted digest may be in hexadecimal, which its length tells.
        if not salted and len(stored) == 2 * size:
            data = bytes.fromhex(stored.decode("ascii"))
        else:
            data = base64.b64decode(stored, validate=True)
        digest, salt = data[:size], data[size:]
        if len(digest) != size or bool(salt) is not salted:
            return False
        return hmac.compare_digest(hashlib.new(name, password + salt).digest(), digest)

    return check


def _pbkdf2(password: bytes, stored: bytes) -> bool:
    # Dovecot: $1$salt$rounds$hex, with SHA-1.
    _, version, salt, rounds, digest = stored.split(b"$")
    if version != b"1" or not 0 < int(rounds) <= ROUNDS_LIMIT:
        return False
    expected = bytes.fromhex(digest.decode("ascii"))
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha1", password, salt, int(rounds), len(expected)), expected)


def _scram(name: str) -> Callable[[bytes, bytes], bool]:
    def check(password: bytes, stored: bytes) -> bool:
        # RFC 5802 section 3: StoredKey := H(HMAC(SaltedPassword, "Client Key"))
        rounds, salt, stored_key, _ = stored.split(b",")
        if not 0 < int(rounds) <= ROUNDS_LIMIT:
            return False
        salted = hashlib.pbkdf2_hmac(name, password, base64.b64decode(salt, validate=True), int(rounds))
        client_key = hmac.digest(salted, b"Client Key", name)
        return hmac.compare_digest(hashlib.new(name, client_key).digest(), base64.b64decode(stored_key, validate=True))

    return check


_DIGESTS: dict[str, Callable[[bytes, bytes], bool]] = {
    "SHA": _digest("sha1", salted=False),
    "SHA1": _digest("sha1", salted=False),
    "SHA256": _digest("sha256", salted=False),
    "SHA512": _digest("sha512", salted=False),
    "PLAIN-MD5": _digest("md5", salted=False),
    "LDAP-MD5": _digest("md5", salted=False),
    "SMD5": _digest("md5", salted=True),
    "SSHA": _digest("sha1", salted=True),
    "SSHA256": _digest("sha256", salted=True),
    "SSHA512": _digest("sha512", salted=True),
}
_CHECKS: dict[str, Callable[[bytes, bytes], bool]] = {
    "PLAIN": _plain,
    "CLEAR": _plain,
    "CLEARTEXT": _plain,
    "CRYPT": _crypt,
    "DES-CRYPT": _crypt,
    "MD5": _crypt_kind(b"$1$"),
    "MD5-CRYPT": _crypt_kind(b"$1$"),
    "SHA256-CRYPT": _crypt_kind(b"$5$"),
    "SHA512-CRYPT": _crypt_kind(b"$6$"),
    "BLF-CRYPT": _bcrypt,
    "ARGON2I": _argon2,
    "ARGON2ID": _argon2,
    **_DIGESTS,
    "PBKDF2": _pbkdf2,
    "SCRAM-SHA-1": _scram("sha1"),
    "SCRAM-SHA-256": _scram("sha256"),
}
