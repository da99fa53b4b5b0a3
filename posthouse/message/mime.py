"""One scan over a canonical message: its MIME parts by byte offset.

Every byte string gives a Part, in linear time: positions only move forward, and depth, number of
parts and what is read of a header are bounded. What is malformed is shown as the simplest thing
that the octets can be: a multipart without a usable boundary is a leaf, a header cut by a
boundary ends there, a part beyond a limit belongs to the body of the one before.

Standards: RFC 2045 section 5.2 (defaults); RFC 2046 sections 5.1.1 (boundaries), 5.1.5 (digest)
and 5.2.1 (message/rfc822); RFC 6532 (message/global).
"""

import re
from dataclasses import dataclass, field
from mmap import mmap

from posthouse.message.mime_fields import FieldValue, languages, parse_parameters, parse_type
from posthouse.message.structure import Part

# Nested entities. Real mail has some five; a forward of a forward of … twenty.
DEPTH_LIMIT = 100
# Parts of one message. The largest digests have some thousands.
PART_LIMIT = 10_000
# Of one part's header no more is looked at for its MIME fields.
HEADER_LIMIT = 262_144
# RFC 2046 section 5.1.1: 70 characters; some programs write more. Longer lines are no boundary.
BOUNDARY_LIMIT = 250

# field = "Content-…" ":" text *(CRLF WSP text)
_FIELD = re.compile(rb"^content-(type|transfer-encoding|id|description|disposition|language|location|md5)[ \t]*:"
                    rb"([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)  # fmt: skip

_IDENTITY = ("7bit", "8bit", "binary", "")


@dataclass(slots=True)
class _Entity:
    """A part while its end is not known."""

    header_start: int
    body_start: int
    first_line: int
    fields: dict[bytes, bytes]
    type: str = "text"
    subtype: str = "plain"
    parameters: tuple[tuple[str, str], ...] = ()
    boundary: bytes = b""
    body_end: int = -1
    lines: int = 0
    parts: list["_Entity"] = field(default_factory=list)
    built: Part | None = None


def scan(data: bytes | mmap) -> Part:
    """The structure of a whole message."""
    return _Scan(data).run()


class _Scan:
    """Cursors that only go forward, and the entities that are open."""

    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self.end = len(data)
        self.blank = -1  # where the next empty line's CRLFCRLF begins; end when there is none
        self.dash = -1  # where the next line that begins with "--" begins
        self.counted_to = 0
        self.line_ends = 0
        self.open: list[_Entity] = []
        self.boundaries: dict[bytes, int] = {}  # open boundary -> index in self.open
        self.order: list[_Entity] = []  # every entity, parents first

    def run(self) -> Part:
        """Walk from delimiter to delimiter."""
        position = self._begin(0, digest=False)
        while self.boundaries:
            found = self._next_delimiter(position, self.end)
            if found is None:
                break
            start, after, index, closes = found
            self._close(index + 1, start)
            if closes:
                del self.boundaries[self.open[index].boundary]
                position = after
            elif len(self.order) >= PART_LIMIT:
                # The last part that may be has begun: the rest is epilogue.
                self.boundaries.clear()
            else:
                position = self._begin(after, digest=self.open[index].subtype == "digest")
        self._close(0, self.end, last=True)
        return self._build()

    # Cursors

    def _next_blank(self, position: int) -> int:
        if self.blank < position:
            found = self.data.find(b"\r\n\r\n", position)
            self.blank = self.end if found < 0 else found
        return self.blank

    def _next_delimiter(self, position: int, limit: int) -> tuple[int, int, int, bool] | None:
        """The first line of [position, limit) that is an open boundary: start, what follows, whose, whether last."""
        data = self.data
        while True:
            if self.dash < position:
                found = data.find(b"\n--", max(position - 1, 0))
                self.dash = self.end if found < 0 else found + 1
            start = self.dash
            if start >= limit:
                return None
            stop = data.find(b"\n", start, start + BOUNDARY_LIMIT)
            after = stop + 1
            if stop < 0:
                stop = after = min(start + BOUNDARY_LIMIT, self.end)
            position = start + 1
            if stop < self.end and after == stop:
                continue  # longer than any boundary
            name = data[start + 2 : stop].rstrip()
            index = self.boundaries.get(name)
            if index is not None:
                return start, after, index, False
            if name.endswith(b"--"):
                index = self.boundaries.get(name[:-2])
                if index is not None:
                    return start, after, index, True

    def _line_ends(self, position: int) -> int:
        """Line ends before position; positions only grow."""
        if position > self.counted_to:
            self.line_ends += self.data[self.counted_to : position].count(b"\n")
            self.counted_to = position
        return self.line_ends

    # Entities

    def _begin(self, position: int, *, digest: bool) -> int:
        """Open the entity whose header is at position, and the message in it; where the search goes on."""
        while True:
            header_end = body_start = self._header(position)
            if self.boundaries:
                cut = self._next_delimiter(position, body_start)
                if cut is not None:
                    header_end = body_start = cut[0]
            entity = _Entity(
                position, body_start, 0, _fields(self.data[position : min(header_end, position + HEADER_LIMIT)])
            )
            entity.first_line = self._line_ends(body_start)
            self._classify(entity, digest)
            if self.open:
                self.open[-1].parts.append(entity)
            self.open.append(entity)
            self.order.append(entity)
            if entity.boundary:
                self.boundaries[entity.boundary] = len(self.open) - 1
            if not (entity.type == "message" and entity.subtype in ("rfc822", "global")) or not self._may_nest(entity):
                return body_start
            position, digest = body_start, False

    def _header(self, position: int) -> int:
        """Where the body begins."""
        if self.data[position : position + 2] == b"\r\n":
            return position + 2
        blank = self._next_blank(position)
        return self.end if blank == self.end else blank + 4

    def _may_nest(self, entity: _Entity) -> bool:
        # RFC 2046 section 5.2.1: no encoding but the identities; what is encoded all the same is opaque.
        encoding = FieldValue(entity.fields.get(b"transfer-encoding", b"")).word()
        return encoding in _IDENTITY and len(self.open) < DEPTH_LIMIT and len(self.order) < PART_LIMIT

    def _classify(self, entity: _Entity, digest: bool) -> None:
        if digest:
            entity.type, entity.subtype = "message", "rfc822"
        value = entity.fields.get(b"type")
        if value is not None:
            parsed = parse_type(value)
            if parsed is not None:
                entity.type, entity.subtype, entity.parameters = parsed
            else:
                entity.type, entity.subtype = "text", "plain"
        if entity.type != "multipart" or len(self.open) >= DEPTH_LIMIT:
            return
        for name, text in entity.parameters:
            if name == "boundary":
                boundary = text.encode("latin-1", "replace").rstrip()
                if boundary and len(boundary) < BOUNDARY_LIMIT - 8 and boundary not in self.boundaries:
                    entity.boundary = boundary
                return

    def _close(self, count: int, position: int, *, last: bool = False) -> None:
        """Everything above the first `count` open entities ends before the line at position."""
        end = position
        if not last:
            if self.data[end - 2 : end] == b"\r\n":
                end -= 2
            elif self.data[end - 1 : end] == b"\n":
                end -= 1
        while len(self.open) > count:
            entity = self.open.pop()
            # The empty line of a header can be the line end that belongs to the delimiter: then the body is empty, and
            # what holds the part reaches as far as the part does.
            inner = entity.parts[-1].body_end if entity.parts else 0
            entity.body_end = max(end, entity.body_start, inner)
            ends = self._line_ends(entity.body_end) - entity.first_line
            unfinished = entity.body_end > entity.body_start and self.data[entity.body_end - 1] != 10
            entity.lines = max(ends, 0) + unfinished
            if entity.boundary and self.boundaries.get(entity.boundary) == len(self.open):
                del self.boundaries[entity.boundary]

    def _build(self) -> Part:
        """Children before parents; the list is never as deep as the stack of calls would be."""
        for entity in reversed(self.order):
            parts = tuple(part.built for part in entity.parts if part.built is not None)
            entity.built = _part(entity, parts)
        root = self.order[0].built
        assert root is not None
        return root


def _fields(header: bytes) -> dict[bytes, bytes]:
    """MIME fields by their name without "Content-"; the first of a name counts."""
    found: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header):
        found.setdefault(match[1].lower(), match[2])
    return found


def _part(entity: _Entity, parts: tuple[Part, ...]) -> Part:
    fields = entity.fields

    def text(name: bytes) -> str | None:
        value = fields.get(name)
        return None if value is None else FieldValue(value).text()

    disposition: str | None = None
    disposition_parameters: tuple[tuple[str, str], ...] = ()
    if b"disposition" in fields:
        value = FieldValue(fields[b"disposition"])
        disposition = value.word() or None
        if disposition is not None:
            disposition_parameters = parse_parameters(value)
    encoding = FieldValue(fields.get(b"transfer-encoding", b"")).word() or "7bit"
    return Part(
        header_start=entity.header_start,
        body_start=entity.body_start,
        body_end=entity.body_end,
        lines=entity.lines,
        type=entity.type,
        subtype=entity.subtype,
        parameters=entity.parameters,
        encoding=encoding,
        content_id=text(b"id"),
        description=text(b"description"),
        disposition=disposition,
        disposition_parameters=disposition_parameters,
        languages=languages(fields[b"language"]) if b"language" in fields else (),
        location=text(b"location"),
        md5=text(b"md5"),
        parts=parts,
    )
