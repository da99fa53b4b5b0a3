"""SASL PLAIN and LOGIN, both sides, and the base64 they travel in.

Standards: RFC 4616 (PLAIN); RFC 4954 section 4 (how SMTP carries them); RFC 4648 section 4.
LOGIN is draft-murchison-sasl-login: two prompts, two answers.
"""

import binascii
import re
from dataclasses import dataclass

USERNAME_PROMPT = "VXNlcm5hbWU6"
"""base64 of "Username:", LOGIN's first challenge."""
PASSWORD_PROMPT = "UGFzc3dvcmQ6"
"""base64 of "Password:", LOGIN's second challenge."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who wants in, and how it is proved."""

    login: str
    password: str
    acting_for: str = ""
    """PLAIN's authorization identity, or "" (the same as login)."""


_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")


def is_base64(text: str) -> bool:
    """Whether a text has base64's letters only, and may be handed to who decodes it."""
    return _BASE64.fullmatch(text) is not None


def decode_base64(text: str) -> bytes | None:
    """The octets, or None for what is no base64. "=" is the empty response (RFC 4954 section 4)."""
    if text == "=":
        return b""
    if len(text) % 4:
        return None
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def encode_base64(data: bytes) -> str:
    """Base64 on one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_plain(data: bytes) -> Credentials | None:
    """RFC 4616 section 2: message = [authzid] UTF8NUL authcid UTF8NUL passwd. None for anything else."""
    parts = data.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        return None
    try:
        acting_for, login, password = (part.decode("utf-8") for part in parts)
    except UnicodeDecodeError:
        return None
    return Credentials(login, password, acting_for)


def plain_message(login: str, password: str, acting_for: str = "") -> bytes:
    """The message a client sends for PLAIN."""
    return b"\0".join(part.encode("utf-8", "surrogateescape") for part in (acting_for, login, password))


class PlainServer:
    """The server's side of PLAIN: one response."""

    __slots__ = ("credentials",)

    def __init__(self) -> None:
        self.credentials: Credentials | None = None

    def step(self, response: bytes | None) -> str | None:
        """Take a response (None: none yet); gives the next challenge in base64, or None at the end."""
        if response is None:
            return ""
        self.credentials = parse_plain(response)
        return None


class LoginServer:
    """The server's side of LOGIN: a name, then a password."""

    __slots__ = ("_login", "credentials")

    def __init__(self) -> None:
        self._login: str | None = None
        self.credentials: Credentials | None = None

    def step(self, response: bytes | None) -> str | None:
        """Take a response (None: none yet); gives the next challenge in base64, or None at the end."""
        if response is None:
            return USERNAME_PROMPT
        text = response.decode("utf-8", "surrogateescape")
        if self._login is None:
            self._login = text
            return PASSWORD_PROMPT
        if self._login:
            self.credentials = Credentials(self._login, text)
        return None


SERVERS: dict[str, type[PlainServer] | type[LoginServer]] = {"PLAIN": PlainServer, "LOGIN": LoginServer}
"""The mechanisms we speak, by name."""
