"""A message as it leaves: smtp_generic_maps on envelope and header, and what smtp_header_checks,
smtp_mime_header_checks, smtp_nested_header_checks and smtp_body_checks say of its lines.

Checks run while the content is being sent, for each server anew. Of the actions, those that change a line or write a
log line are obeyed (smtp(8): REPLACE, PREPEND, IGNORE, STRIP, WARN, INFO, DUNNO).

Standards: RFC 5322 section 3.6 (fields with addresses). Postfix header_checks(5), generic(5).
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from posthouse.address.address_list import Listed, Node, Rewritten, fold_list, format_list, parse_list
from posthouse.config.configuration import Configuration
from posthouse.envelope.content import Body, Content, MemoryBody
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog
from posthouse.intake.body_checks import BodyPass, content_kind
from posthouse.intake.content_checks import MIME_FIELDS, ContentChecks, Decision
from posthouse.intake.header_rewrite import RECIPIENTS, SENDERS
from posthouse.message.header import Field, field_text, scan_fields
from posthouse.routing.generic import Generic
from posthouse.tables.maps import open_maps

ADDRESS_FIELDS = SENDERS | RECIPIENTS


class CheckedBody:
    """A large body that is checked on its way."""

    def __init__(self, body: Body, checks: BodyPass, tell: Callable[[Decision], None]) -> None:
        self._body = body
        self._checks = checks
        self._tell = tell

    @property
    def size(self) -> int:
        """As it was before."""
        return self._body.size

    async def chunks(self) -> AsyncIterator[bytes]:
        """What is left of it, once. Raises TableRetry."""
        async for chunk in self._body.chunks():
            yield await self._checks.feed(chunk)
        yield await self._checks.finish()
        self._tell(self._checks.decision)

    async def read(self) -> bytes:
        """The whole, in place of chunks(). Raises TableRetry."""
        return b"".join([chunk async for chunk in self.chunks()])


class Outgoing:
    """What one transport does to every message."""

    def __init__(
        self,
        log: ProcessLog,
        generic: Generic | None,
        checks: ContentChecks | None,
        below: dict[str, ContentChecks] | None = None,
    ) -> None:
        """`below`: the checks below the header, by the names that BodyPass knows."""
        self._log = log
        self._generic = generic
        self._checks = checks
        self._below = below or {}

    @classmethod
    def open(
        cls, configuration: Configuration, log: ProcessLog, generic: Generic | None, prefix: str
    ) -> "Outgoing | None":
        """From main.cf, by the names of "smtp" or "lmtp"; None where nothing is to be done."""
        found: dict[str, ContentChecks] = {}
        values = {
            "header_checks": configuration.value(f"{prefix}_header_checks"),
            "mime_header_checks": configuration.value(f"{prefix}_mime_header_checks"),
            "nested_header_checks": configuration.value(f"{prefix}_nested_header_checks"),
            "body_checks": configuration.value(f"{prefix}_body_checks"),
        }
        for kind, value in values.items():
            if value:
                parameter = f"{prefix}_{kind}"
                maps = open_maps(value, configuration, parameter)
                found[kind] = ContentChecks(parameter, configuration.origin(parameter), maps, log)
        if generic is None and not found:
            return None
        return cls(log, generic, found.pop("header_checks", None), found)

    async def envelope(self, request: DeliveryRequest) -> DeliveryRequest:
        """The request with the addresses that go out. Raises TableRetry."""
        if self._generic is None:
            return request
        recipients = []
        for queued in request.recipients:
            address = await self._generic.address(queued.recipient.address)
            if address != queued.recipient.address:
                queued = QueuedRecipient(queued.index, replace(queued.recipient, address=address))
            recipients.append(queued)
        sender = await self._generic.address(request.sender)
        return replace(request, sender=sender, recipients=tuple(recipients))

    async def content(self, content: Content, queue_id: str) -> Content:
        """The content as it goes out. Raises TableRetry."""
        fields, end = scan_fields(content.header)
        header = await self._header(content.header, fields, end, queue_id)
        body = content.body
        if self._below:
            body = await self._body(content.header, fields, body, queue_id)
        return Content(header, body)

    async def _body(self, header: bytes, fields: list[Field], body: Body, queue_id: str) -> Body:
        value = next((header[f.value : f.end] for f in fields if f.name == b"content-type"), b"")
        checks = BodyPass(self._below, content_kind(value), 0)
        checked = CheckedBody(body, checks, lambda decision: self._tell(decision, queue_id))
        return MemoryBody(await checked.read()) if isinstance(body, MemoryBody) else checked

    async def _header(self, header: bytes, fields: list[Field], end: int, queue_id: str) -> bytes:
        out: list[bytes] = []
        decision = Decision()
        mime = self._below.get("mime_header_checks")
        for field in fields:
            raw = header[field.start : field.end]
            checks = mime if field.name in MIME_FIELDS else self._checks
            if checks is not None:
                finding = await checks.check(field_text(header, field), decision)
                if finding.before:
                    out.append(_line(finding.before))
                if finding.instead:
                    out.append(_line(finding.instead))
                if not finding.keep:
                    continue
            if self._generic is not None and field.name in ADDRESS_FIELDS:
                written = header[field.start : field.start + len(field.name)].decode("ascii")
                body = header[field.value : field.end].decode("utf-8", "surrogateescape").strip(" \t\r\n")
                rewritten = await self._addresses(self._generic, written, body)
                if rewritten is not None:
                    raw = _line(rewritten)
            out.append(raw)
        self._tell(decision, queue_id)
        out.append(header[end:])
        new = b"".join(out)
        return header if new == header else new

    async def _addresses(self, generic: Generic, written: str, body: str) -> str | None:
        """The field with every address mapped, or None when none changes."""
        changed = False
        out: list[Node] = []
        for node in parse_list(body):
            if isinstance(node, Listed) and node.domain:
                new = await generic.address(node.address)
                if new != node.address:
                    local_part, _, domain = new.rpartition("@")
                    out.append(Rewritten(local_part, domain))
                    changed = True
                    continue
            out.append(node)
        return fold_list(written, format_list(out)) if changed else None

    def _tell(self, decision: Decision, queue_id: str) -> None:
        for what, detail in decision.lines:
            self._log.info(f"{queue_id}: {what}" + (f": {detail}" if detail else ""))


def _line(text: str) -> bytes:
    """A field made here, with its line ends."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"
