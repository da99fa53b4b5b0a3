"""What is no proper MIME and is refused for it where strict_… asks: 8-bit text where there may be none, and parts
that hold parts but claim an encoding.

Standards: RFC 2045 sections 2.7, 2.8 and 6.4; RFC 2046 section 5; RFC 6152.
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.intake.content_checks import Decision
from posthouse.message.header import Field

HEADER_8BIT = "improper use of 8-bit data in message header"
BODY_8BIT = "improper use of 8-bit data in message body"
ENCODED_PARTS = "invalid message/* or multipart/* encoding domain"
SHOWN = 100
"""Characters of the line in the log."""

_SEVEN = frozenset({b"", b"7bit", b"base64", b"quoted-printable"})
"""Encodings whose text is of 7 bits (RFC 2045 section 6.2)."""


@dataclass(frozen=True, slots=True)
class StrictMimeSettings:
    """What is asked for."""

    strict_7bit_headers: bool
    strict_8bitmime: bool
    strict_8bitmime_body: bool
    strict_mime_encoding_domain: bool


class StrictMime:
    """What must hold for every message of one service."""

    __slots__ = ("body", "domain", "header")

    def __init__(self, settings: StrictMimeSettings) -> None:
        self.header = settings.strict_7bit_headers or settings.strict_8bitmime
        self.body = settings.strict_8bitmime_body or settings.strict_8bitmime
        self.domain = settings.strict_mime_encoding_domain

    @classmethod
    def open(cls, configuration: Configuration) -> "StrictMime | None":
        """From main.cf; None when nothing is asked for."""
        strict = cls(read_settings(StrictMimeSettings, configuration))
        return strict if strict.header or strict.body or strict.domain else None


class StrictPass:
    """One message. The first fault counts."""

    def __init__(self, strict: StrictMime, header: bytes, fields: list[Field]) -> None:
        self.decision = Decision()
        self._strict = strict
        self._encoding = b""
        self._kind = b""
        if fields:
            for field in fields:
                self.field(field.name, header[field.start : field.end].removesuffix(b"\r\n"))
            self.header_ends()

    def field(self, name: bytes, text: bytes) -> None:
        """A field of the header, or of a part's."""
        if self._strict.header and not text.isascii():
            self._fault(HEADER_8BIT, text)
        if name == b"content-transfer-encoding":
            self._encoding = text.partition(b":")[2].strip().lower()
        elif name == b"content-type":
            self._kind = text.partition(b":")[2].strip().lower()

    def part_begins(self) -> None:
        """A delimiter, or the header of an attached message: text of 7 bits unless its header says otherwise."""
        self._encoding = self._kind = b""

    def header_ends(self) -> None:
        """All of a header has been seen."""
        composite = self._kind.startswith((b"multipart/", b"message/"))
        if self._strict.domain and composite and self._encoding in (b"base64", b"quoted-printable"):
            self._fault(ENCODED_PARTS, self._encoding)

    def text(self, line: bytes) -> None:
        """A line of text."""
        if self._strict.body and self._encoding in _SEVEN and not line.isascii():
            self._fault(BODY_8BIT, line)

    def _fault(self, what: str, text: bytes) -> None:
        if self.decision.reject is None:
            shown = text.replace(b"\r\n", b" ").decode("utf-8", "surrogateescape")[:SHOWN]
            self.decision.reject = ("5.6.0", what)
            self.decision.lines.append((f"reject: mime-error {what}: {shown}", ""))
