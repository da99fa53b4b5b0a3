"""message_strip_characters and message_reject_characters: bytes that content may not hold.

Values are written with C's escapes: \\0 \\7 \\a \\b \\f \\n \\r \\t \\v \\\\. Line ends are never touched.
"""

import re
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.intake.content_checks import TEXT_SHOWN, Decision

_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass(frozen=True, slots=True)
class CharacterSettings:
    """What is read."""

    message_strip_characters: str
    message_reject_characters: str


def unescape(value: str) -> bytes:
    """The bytes that a value with C's escapes names."""

    def one(found: re.Match[bytes]) -> bytes:
        text = found.group(1)
        return bytes([int(text, 8) & 255]) if text.isdigit() and text < b"8" else _LETTERS.get(text, text)

    return _ESCAPE.sub(one, value.encode("utf-8", "surrogateescape"))


class Characters:
    """The two lists."""

    def __init__(self, settings: CharacterSettings) -> None:
        self.strip = unescape(settings.message_strip_characters).translate(None, b"\r\n")
        """Bytes that are taken out."""
        refused = unescape(settings.message_reject_characters).translate(None, b"\r\n")
        self._refused = re.compile(b"[" + re.escape(refused) + b"]") if refused else None

    @classmethod
    def open(cls, configuration: Configuration) -> "Characters | None":
        """From main.cf; None when both lists are empty."""
        settings = read_settings(CharacterSettings, configuration)
        return cls(settings) if settings.message_strip_characters or settings.message_reject_characters else None

    def decide(self, chunk: bytes) -> Decision | None:
        """A rejection when a piece of content holds a refused byte."""
        found = self._refused.search(chunk) if self._refused is not None else None
        if found is None:
            return None
        start = chunk.rfind(b"\n", 0, found.start()) + 1
        line = chunk[start:].partition(b"\r\n")[0].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        decision = Decision(reject=("5.7.1", "disallowed character"), done=True)
        decision.lines.append((f"reject: content {line[:TEXT_SHOWN]}", "5.7.1 disallowed character"))
        return decision
