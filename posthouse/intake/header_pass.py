"""One pass over the header of a message: checked, counted, rewritten, completed.

Fields that nothing touches are copied as slices of what came.

Standards: RFC 5322 sections 3.6 and 3.6.6; RFC 5321 section 6.3.
"""

from posthouse.envelope.verdict import Evidence
from posthouse.intake.content_checks import KEEP, MIME_FIELDS, Decision
from posthouse.intake.header_rewrite import RECIPIENTS, RESENT, SENDERS
from posthouse.intake.missing_headers import missing_headers
from posthouse.intake.service import Cleanup
from posthouse.message.header import Field, field_text, field_value, scan_fields

_ADDRESSES = SENDERS | RECIPIENTS
_SPECIAL = frozenset({b"message-id", b"resent-message-id"})


class HeaderPass:
    """The pass, and what it found."""

    def __init__(
        self,
        cleanup: Cleanup,
        queue_id: str,
        arrival_time: float,
        sender: str,
        local_rewrite: bool,
        full_name: str,
        *,
        finish_rejected: bool = False,
    ) -> None:
        """`finish_rejected`: complete the header although a check rejected it, because it is going to be returned."""
        self._cleanup = cleanup
        self._queue_id = queue_id
        self._arrival = arrival_time
        self._sender = sender
        self._local = local_rewrite
        self._full_name = full_name
        self._finish_rejected = finish_rejected
        self._rewrites = local_rewrite or cleanup.router.rewriter.remote
        self._out: list[bytes] = []
        self._seen: set[bytes] = set()
        self.text = b""
        """The header as it is queued."""
        self.received = b""
        """Our own Received field."""
        self.decision = Decision()
        self.hops = 0
        self.message_id = ""
        self.evidence: list[Evidence] = []
        self.warnings: list[str] = []

    async def run(self, received: bytes, header: bytes, fields: list[Field], prepend: tuple[bytes, ...]) -> None:
        """Do it. Raises TableRetry."""
        self.received = received
        for text in prepend:
            await self._given(text + b"\r\n")
        if self._cleanup.header_checks is None and self._cleanup.mime_checks is None:
            if received:  # our own: one field, in the form it shall have
                self._seen.add(b"received")
                self.hops += 1
                if b"received" not in self._cleanup.drop:
                    self._out.append(received)
            await self._unchecked(header, fields)
        else:
            if received:
                await self._given(received)
            for field in fields:
                await self._field(header, field)
                if self._over():
                    return
        settings = self._cleanup.settings
        if self._rewrites or settings.always_add_missing_headers:
            added, made = missing_headers(
                self._seen,
                resent=not self._seen.isdisjoint(RESENT),
                queue_id=self._queue_id,
                arrival_time=self._arrival,
                date=self._cleanup.date(self._arrival),
                sender=self._sender,
                full_name=self._full_name,
                hostname=settings.myhostname,
                long_queue_ids=settings.enable_long_queue_ids,
                from_format=settings.header_from_format,
                undisclosed=settings.undisclosed_recipients_header,
            )
            for line in added:
                self._out.append(line.encode("utf-8", "surrogateescape") + b"\r\n")
            if made:
                resent = "resent-" if added[0].startswith("Resent-") else ""
                self.decision.lines.append((f"{resent}message-id={made}", None))
                if not resent:
                    self.message_id = self.message_id or made
        if not self.message_id:
            self.decision.lines.append(("message-id=<>", None))
        self.text = b"".join(self._out)

    def _over(self) -> bool:
        rejected = self.decision.reject is not None and not self._finish_rejected
        return rejected or self.decision.discard

    async def _given(self, text: bytes) -> None:
        for field in scan_fields(text)[0]:
            await self._field(text, field)

    async def _unchecked(self, header: bytes, fields: list[Field]) -> None:
        """Fields that nothing touches are copied in runs."""
        special = _SPECIAL | self._cleanup.drop
        if self._rewrites:
            special |= _ADDRESSES
        limit = self._cleanup.settings.header_size_limit or len(header)
        run = end = 0
        for field in fields:
            start, end = field.start, field.end
            if field.name not in special and field.value - start == len(field.name) + 1 and end - start <= limit:
                continue
            self._out.append(header[run:start])
            await self._emit(header, field)
            run = end
        names = [field.name for field in fields]
        self.hops += names.count(b"received")
        self._seen.update(names)
        self._out.append(header[run:end])
        if run < end and not header.endswith(b"\r\n", 0, end):
            self._out.append(b"\r\n")

    async def _field(self, header: bytes, field: Field) -> None:
        checks = self._cleanup.mime_checks if field.name in MIME_FIELDS else self._cleanup.header_checks
        if checks is not None and not self.decision.done:
            finding = await checks.check(field_text(header, field), self.decision)
            if finding is not KEEP:
                for text in (finding.before, finding.instead):
                    if text:
                        raw = text.encode("utf-8", "surrogateescape") + b"\r\n"
                        for own in scan_fields(raw)[0]:
                            await self._keep(raw, own)
                if not finding.keep:
                    return
            if self._over():
                return
        await self._keep(header, field)

    async def _keep(self, header: bytes, field: Field) -> None:
        self._seen.add(field.name)
        self.hops += field.name == b"received"
        await self._emit(header, field)

    async def _emit(self, header: bytes, field: Field) -> None:
        name = field.name
        if name == b"message-id" or name == b"resent-message-id":
            value = field_value(header, field)
            self.decision.lines.append((f"{name.decode()}={value}", None))
            if name == b"message-id":
                self.message_id = self.message_id or value
        if name in self._cleanup.drop:
            return
        if self._rewrites and name in _ADDRESSES:
            written = header[field.start : field.start + len(name)].decode("ascii")
            body = header[field.value : field.end].decode("utf-8", "surrogateescape").strip(" \t\r\n")
            new = await self._cleanup.header_rewrite.field(
                name, written, body, local=self._local, evidence=self.evidence, warnings=self.warnings
            )
            if new is not None:
                self._out.append(self._cut(new.encode("utf-8", "surrogateescape") + b"\r\n"))
                return
        text = header[field.start : field.end]
        colon = field.value - field.start - 1
        if colon != len(name):  # RFC 5322 section 4.5: blanks before the colon are obsolete
            text = text[: len(name)] + text[colon:]
        if not text.endswith(b"\r\n"):
            text += b"\r\n"
        self._out.append(self._cut(text))

    def _cut(self, text: bytes) -> bytes:
        """header_size_limit: what is longer loses its end."""
        limit = self._cleanup.settings.header_size_limit
        if not limit or len(text) <= limit:
            return text
        return text[:limit].rstrip(b"\r\n") + b"\r\n"
