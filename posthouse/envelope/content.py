"""The content of a message: header and body, in one canonical form.

Canonical form: lines end in CRLF, no dot-stuffing, the header without the empty line that
ends it, the body without it too: header + CRLF + body is what goes over the wire.
A header is at most header_size_limit per field and lives in memory; a body may be large and
is given in chunks.

Standards: RFC 5322 section 2.1; RFC 5321 section 4.5.2.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from posthouse.envelope.value import value


class Body(Protocol):
    """Bytes after the header's empty line, as many times as asked for."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in order, in pieces of at most 64 KiB or one piece if it is in memory."""

    async def read(self) -> bytes:
        """The whole body. Only for callers that bound size themselves."""


@value
class MemoryBody:
    """A body that is one bytes object."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The one piece, or none."""
        if self.data:
            yield self.data

    async def read(self) -> bytes:
        """The whole body."""
        return self.data


@value
class Content:
    """Header and body of one message in canonical form."""

    header: bytes
    """Fields with their CRLF, without the empty line."""
    body: Body

    @property
    def size(self) -> int:
        """Bytes over the wire, without dot-stuffing."""
        return len(self.header) + 2 + self.body.size
