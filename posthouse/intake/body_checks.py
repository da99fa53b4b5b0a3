"""Checks on what lies below the header: MIME part headers, headers of attached messages, body lines.

The body is looked at line by line while it arrives, and only when there is something to look
for: body_checks, or parts whose headers are checked. What the lines decide waits in a
Decision until commit() knows the envelope.

Standards: RFC 2046 sections 5.1 and 5.2.1; Postfix's header_checks(5).
"""

from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.intake.content_checks import MIME_FIELDS, ContentChecks, Decision, Finding
from posthouse.intake.strict_mime import StrictMime, StrictPass
from posthouse.message.header import Field
from posthouse.message.mime_fields import parse_type

NESTING_LIMIT = 100
"""Multiparts inside multiparts that are told apart; Postfix's mime_nesting_limit has the same default."""


@dataclass(frozen=True, slots=True)
class BodyCheckSettings:
    """What the checks below the header read."""

    body_checks_size_limit: int
    disable_mime_input_processing: bool


class BodyChecks:
    """The checks below the header of one service."""

    def __init__(
        self, settings: BodyCheckSettings, checks: dict[str, ContentChecks], strict: StrictMime | None = None
    ) -> None:
        self._settings = settings
        self._checks = checks
        self._strict = None if settings.disable_mime_input_processing else strict

    @classmethod
    def open(
        cls, configuration: Configuration, checks: dict[str, ContentChecks], strict: StrictMime | None = None
    ) -> "BodyChecks":
        """From main.cf and the checks that are configured, by parameter."""
        return cls(read_settings(BodyCheckSettings, configuration), checks, strict)

    @property
    def mime(self) -> ContentChecks | None:
        """The checks for MIME fields of the header itself."""
        off = self._settings.disable_mime_input_processing
        return self._checks.get("header_checks" if off else "mime_header_checks")

    def begin(self, header: bytes, fields: list[Field]) -> "BodyPass | None":
        """A pass over one message with that header, or None when nothing is to be seen."""
        checks = self._checks
        if not checks and self._strict is None:
            return None
        mime = not self._settings.disable_mime_input_processing
        field = next((f for f in fields if f.name == b"content-type"), None)
        content_type = header[field.value : field.end] if field is not None else b""
        kind = content_kind(content_type) if mime and content_type else ("", "")
        parts = ("mime_header_checks" in checks or "nested_header_checks" in checks) and kind[0] != ""
        if "body_checks" not in checks and not parts and self._strict is None:
            return None
        strict = None if self._strict is None else StrictPass(self._strict, header, fields)
        return BodyPass(checks, kind if mime else ("", ""), self._settings.body_checks_size_limit, strict)


class BodyPass:
    """One message's body on its way to the queue."""

    def __init__(
        self, checks: dict[str, ContentChecks], kind: tuple[str, str], limit: int, strict: StrictPass | None = None
    ) -> None:
        self.decision = Decision()
        self.strict = strict
        self._body = checks.get("body_checks")
        self._mime = checks.get("mime_header_checks")
        self._nested = checks.get("nested_header_checks")
        self._limit = limit
        self._tail = b""
        self._boundaries: list[bytes] = []
        self._field: list[bytes] = []
        self._header: ContentChecks | None = None
        self._in_header = False
        self._kind = ("", "")
        self._seen = 0
        self._enter(kind)

    async def feed(self, chunk: bytes) -> bytes:
        """What becomes of a piece of the body. Raises TableRetry."""
        lines = (self._tail + chunk).split(b"\r\n")
        self._tail = lines.pop()
        out: list[bytes] = []
        for line in lines:
            await self._line(line, out)
        return b"".join(piece + b"\r\n" for piece in out)

    async def finish(self) -> bytes:
        """What is left at the end. Raises TableRetry."""
        out: list[bytes] = []
        if self._tail:
            await self._line(self._tail, out)
        await self._end_field(out)
        return b"".join(piece + b"\r\n" for piece in out)

    async def _line(self, line: bytes, out: list[bytes]) -> None:
        if self._boundaries and line.startswith(b"--") and self._delimiter(line):
            await self._end_field(out)
            out.append(line)
        elif not self._in_header:
            await self._text(line, out)
        elif line.startswith((b" ", b"\t")) and self._field:
            self._field.append(line)
        else:
            await self._end_field(out)
            if not line:
                self._enter(self._kind)
                out.append(line)
            elif b":" in line:
                self._field = [line]
            else:
                self._enter(("", ""))
                await self._text(line, out)

    def _delimiter(self, line: bytes) -> bool:
        for level in range(len(self._boundaries) - 1, -1, -1):
            boundary = self._boundaries[level]
            if line.startswith(boundary, 2):
                last = line.startswith(b"--", 2 + len(boundary))
                del self._boundaries[level if last else level + 1 :]
                self._pending = not last
                return True
        return False

    async def _end_field(self, out: list[bytes]) -> None:
        """The part header's field is complete: check it. Then a delimiter line may open a new header."""
        if self._field:
            lines, self._field = self._field, []
            name = lines[0].partition(b":")[0].strip().lower()
            if self.strict is not None:
                self.strict.field(name, b"\r\n".join(lines))
            if name == b"content-type":
                self._kind = content_kind(b"\r\n".join(lines).partition(b":")[2])
            await self._check(self._mime if name in MIME_FIELDS else self._header, lines, out)
        if self._pending is not None:
            self._in_header, self._header, self._kind = self._pending, self._mime, ("", "")
            self._seen, self._pending = 0, None
            if self.strict is not None:
                self.strict.part_begins()

    _pending: bool | None = None

    def _enter(self, kind: tuple[str, str]) -> None:
        """What follows an empty line: parts, another header, or text."""
        if self.strict is not None and self._in_header:
            self.strict.header_ends()
        self._in_header, self._kind, self._seen = False, ("", ""), 0
        if kind[0] == "multipart" and kind[1] and len(self._boundaries) < NESTING_LIMIT:
            self._boundaries.append(kind[1].encode("utf-8", "surrogateescape"))
        elif kind[0] == "message":
            self._in_header, self._header = True, self._nested
            if self.strict is not None:
                self.strict.part_begins()

    async def _text(self, line: bytes, out: list[bytes]) -> None:
        self._seen += len(line) + 2
        if self.strict is not None:
            self.strict.text(line)
        if self._limit and self._seen > self._limit:
            out.append(line)
        else:
            await self._check(self._body, [line], out)

    async def _check(self, checks: ContentChecks | None, lines: list[bytes], out: list[bytes]) -> None:
        if checks is None or self.decision.done:
            out.extend(lines)
            return
        text = b"\n".join(lines).decode("utf-8", "surrogateescape")
        finding: Finding = await checks.check(text, self.decision)
        if finding.before:
            out.append(finding.before.encode("utf-8", "surrogateescape"))
        if finding.instead:
            out.append(finding.instead.encode("utf-8", "surrogateescape"))
        if finding.keep:
            out.extend(lines)


def content_kind(value: bytes) -> tuple[str, str]:
    """("multipart", boundary), ("message", "") for an attached message, or ("", "")."""
    found = parse_type(value)
    if found is None:
        return "", ""
    kind, subtype, parameters = found
    if kind.lower() == "multipart":
        boundary = next((text for name, text in parameters if name.lower() == "boundary"), "")
        return "multipart", boundary
    if kind.lower() == "message" and subtype.lower() in ("rfc822", "global"):
        return "message", ""
    return "", ""
