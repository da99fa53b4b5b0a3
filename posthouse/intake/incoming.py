"""The content of one message as it comes: header and body told apart, made canonical, checked, and the body on its way
to the queue.

Standards: RFC 5322 sections 2.1 and 2.2; RFC 5321 section 2.3.8.
"""

from posthouse.envelope.content import Body, MemoryBody
from posthouse.intake.body_checks import BodyPass
from posthouse.intake.characters import Characters
from posthouse.intake.content_checks import Decision
from posthouse.intake.refusals import NO_ROOM, TABLE_TROUBLE, TOO_LARGE, WRITE_ERROR
from posthouse.intake.service import Cleanup
from posthouse.intake.transaction import Refused
from posthouse.message.header import Field, canonical, scan_fields, without_from_line
from posthouse.queue.store import ContentWriter, QueueFault, QueueFull
from posthouse.tables.table import TableRetry

HEADER_MEMORY_LIMIT = 1024 * 1024
"""Bytes of a whole header that are kept in memory; a message with more of it is refused as too large. To look through
a header of this size holds up the other sessions for a third of a second at worst."""
LOOK_AGAIN = 65536
"""Bytes without an empty line after which the header is searched for a line that is no field."""


class IncomingContent:
    """Takes the content in any cut. What goes wrong is kept in `failure`: the client hears of it at the end."""

    def __init__(self, cleanup: Cleanup, queue_id: str) -> None:
        self._cleanup = cleanup
        self._queue_id = queue_id
        self._buffer = b""
        self._look = LOOK_AGAIN
        self._carry = b""
        self._size = 0
        self._writer: ContentWriter | None = None
        self._last = b"\r\n"
        self.header: bytes | None = None
        """All of it, once the body has begun."""
        self.fields: list[Field] = []
        self._body_pass: BodyPass | None = None
        self.disallowed: Decision | None = None
        """What was decided of characters that a message must not have."""
        self.failure: Refused | None = None

    async def write(self, chunk: bytes) -> None:
        """Content as it comes. Never raises; what goes wrong is told by commit()."""
        if self.failure is not None:
            return
        if self._carry:
            chunk, self._carry = self._carry + chunk, b""
        if chunk.endswith(b"\r"):
            chunk, self._carry = chunk[:-1], b"\r"  # it may be half a line end
        chunk = canonical(chunk)
        if self._cleanup.characters is not None:
            chunk = self._restrict(chunk, self._cleanup.characters)
        self._size += len(chunk)
        limit = self._cleanup.settings.message_size_limit
        if limit and self._size > limit:
            self._cleanup.log.warning(f"{self._queue_id}: queue file size limit exceeded")
            self.fail(TOO_LARGE)
        elif self.header is None:
            searched = max(0, len(self._buffer) - 3)
            self._buffer = self._buffer + chunk if self._buffer else chunk
            await self._find_body(searched)
        else:
            await self._body(chunk)

    def _restrict(self, chunk: bytes, characters: Characters) -> bytes:
        if self.disallowed is None:
            self.disallowed = characters.decide(chunk)
        return chunk.translate(None, characters.strip)

    async def _find_body(self, searched: int = 0) -> None:
        """Split the buffer when the header has ended; up to `searched` no empty line was found before."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            await self._begin_body(0, 2)
            return
        end = buffer.find(b"\r\n\r\n", searched)
        if end >= 0:
            fields, scanned = scan_fields(buffer, end + 2)
            await self._begin_body(scanned, end + 4 if scanned == end + 2 else scanned, fields)
        elif len(buffer) >= self._look:
            whole = buffer.rfind(b"\r\n") + 2 if b"\r\n" in buffer else 0
            fields, scanned = scan_fields(buffer, whole)
            if scanned < whole or not whole:
                await self._begin_body(scanned, scanned, fields)
            elif len(buffer) > HEADER_MEMORY_LIMIT:
                self.fail(TOO_LARGE)
            else:
                self._look *= 2

    async def _begin_body(self, header_end: int, body_start: int, fields: list[Field] | None = None) -> None:
        buffer, self._buffer = self._buffer, b""
        header = buffer[:header_end]
        marked = without_from_line(buffer) if not header and not buffer.startswith(b"\r\n") else buffer
        if marked is not buffer:  # an mbox From line stood in front of the header
            self._buffer = marked
            await self._find_body()
            if self.header is None and self.failure is None:
                self._look = len(self._buffer) + LOOK_AGAIN
            return
        self.header = header
        self.fields = fields if fields is not None else scan_fields(header)[0]
        self._body_pass = self._cleanup.body_checks.begin(header, self.fields)
        await self._body(buffer[body_start:])

    async def _body(self, chunk: bytes) -> None:
        try:
            if self._body_pass is not None:
                chunk = await self._body_pass.feed(chunk)
            if self._writer is None:
                self._writer = self._cleanup.store.new_content(self._queue_id)
            if chunk:
                self._last = chunk[-2:] if len(chunk) > 1 else self._last[-1:] + chunk
                self._writer.write(chunk)
                await self._writer.room()
        except (QueueFull, QueueFault) as error:
            self.not_written(error)
        except TableRetry:
            self.table_trouble("body_checks")

    async def finish(self) -> None:
        """The end of the content: whatever waits in buffers is header or body now."""
        carry, self._carry = self._carry, b""
        if carry:
            await self.write(b" ")  # a lone CR at the very end
        if self.header is None and self.failure is None:
            if self._buffer and not self._buffer.endswith(b"\r\n"):
                self._buffer += b"\r\n"
            _, scanned = scan_fields(self._buffer)
            await self._begin_body(scanned, scanned)
            if self.header is None and self.failure is None:  # the From line was marked just now
                _, scanned = scan_fields(self._buffer)
                await self._begin_body(scanned, scanned)
        if self.failure is None and self._writer is not None:
            try:
                if self._body_pass is not None:
                    rest = await self._body_pass.finish()
                    if rest:
                        self._writer.write(rest)
                elif self._last != b"\r\n":
                    self._writer.write(b"\r\n")
            except (QueueFull, QueueFault) as error:
                self.not_written(error)
            except TableRetry:
                self.table_trouble("body_checks")

    def message_id(self) -> str | None:
        """The message id that has come, "" for none, and None while the header goes on."""
        header, fields = self.header, self.fields
        if header is None:
            whole = self._buffer[: self._buffer.rfind(b"\r\n") + 2] if b"\r\n" in self._buffer else b""
            fields, end = scan_fields(whole)
            if end == len(whole):
                return None
            header = whole
        field = next((f for f in fields if f.name == b"message-id"), None)
        return header[field.value : field.end].decode("utf-8", "replace").strip() if field is not None else ""

    def fail(self, refused: Refused) -> None:
        """It will be refused; nothing of it is kept."""
        self.failure = refused
        self.abort()

    def not_written(self, error: QueueFull | QueueFault) -> Refused:
        """The queue could not take it."""
        refused = NO_ROOM if isinstance(error, QueueFull) else WRITE_ERROR
        self._cleanup.log.warning(f"{self._queue_id}: write queue file: {error}")
        self.fail(refused)
        return refused

    def table_trouble(self, title: str) -> None:
        """A table could not be asked."""
        text = f"{self._queue_id}: {title} map lookup problem -- message not accepted, try again later"
        self._cleanup.log.warning(text)
        self.fail(TABLE_TROUBLE)

    def abort(self) -> None:
        """Forget it."""
        self._buffer = b""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    @property
    def body_decision(self) -> Decision | None:
        """What the body checks decided; None where there are none."""
        return None if self._body_pass is None else self._body_pass.decision

    @property
    def strict_decision(self) -> Decision | None:
        """What is no proper MIME; None where nothing is asked for."""
        strict = None if self._body_pass is None else self._body_pass.strict
        return None if strict is None else strict.decision

    async def body(self) -> Body:
        """The body, whole. Raises QueueFull, QueueFault."""
        return await self._writer.finish() if self._writer is not None else MemoryBody(b"")

    def begin_body_again(self) -> ContentWriter:
        """Another body: the one that came is given up."""
        if self._writer is not None:
            self._writer.abort()
        self._writer = self._cleanup.store.new_content(self._queue_id)
        return self._writer

    def given_away(self) -> None:
        """The queue owns the body now."""
        self._writer = None
