"""The MIME structure of one message, by byte offset: what BODYSTRUCTURE, BODY[1.2] and Sieve ask.

Made by posthouse/message/mime.py from the canonical bytes; holds no content. All text is str
as found in the header (latin-1 for bytes above ASCII, so that it can be written back as found);
names that MIME compares without case (type, subtype, encoding, parameter names) are lower case.

Standards: RFC 2045 section 5, RFC 2046 section 5.1, RFC 2183, RFC 3501 section 7.4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME entity. Offsets count from the start of the whole message."""

    header_start: int
    body_start: int
    """After the empty line that ends the header."""
    body_end: int
    """Without the line end that belongs to the next boundary."""
    lines: int
    """Lines of the body: number of line ends, and one more for a last line without. Never negative."""
    type: str = "text"
    subtype: str = "plain"
    parameters: tuple[tuple[str, str], ...] = ()
    """Of Content-Type, in order, RFC 2231 pieces joined but not decoded ("name*" kept as such)."""
    encoding: str = "7bit"
    content_id: str | None = None
    description: str | None = None
    disposition: str | None = None
    disposition_parameters: tuple[tuple[str, str], ...] = ()
    languages: tuple[str, ...] = ()
    location: str | None = None
    md5: str | None = None
    parts: tuple["Part", ...] = ()
    """Of multipart/*: its parts. Of message/rfc822 (and message/global): one, the message inside. Else none."""

    @property
    def size(self) -> int:
        """Octets of the body as encoded."""
        return self.body_end - self.body_start

    @property
    def is_multipart(self) -> bool:
        """Whether BODYSTRUCTURE shows it as one: a multipart without any boundary line has no parts and is no such."""
        return self.type == "multipart" and bool(self.parts)

    @property
    def is_message(self) -> bool:
        """A message inside, shown with its envelope."""
        return self.type == "message" and self.subtype in ("rfc822", "global") and bool(self.parts)

    def walk(self) -> Iterator["Part"]:
        """Itself and every part below, in order of bytes."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))

    def parameter(self, name: str) -> str | None:
        """One parameter of Content-Type."""
        return next((value for key, value in self.parameters if key == name), None)

    def section(self, numbers: tuple[int, ...]) -> "Part | None":
        """The part that RFC 3501 section 6.4.5 calls numbers; () is the whole message.

        A message that is not multipart has one part, 1. A message/rfc822 part's numbers go on inside it.
        """
        part: Part = self
        whole = True  # whether `part` stands for a message, whose single part is 1
        for number in numbers:
            inner = part
            if not whole and part.is_message:
                inner, whole = part.parts[0], True
            if inner.is_multipart:
                if not 1 <= number <= len(inner.parts):
                    return None
                part, whole = inner.parts[number - 1], False
            elif whole and number == 1:
                part, whole = inner, False
            else:
                return None
        return part
