"""A message as it leaves: smtp_header_checks, then smtp_generic_maps on its header and envelope.

Only the message's own header is looked at; of the actions, those that change a field or write a
log line are obeyed (smtp(8): REPLACE, PREPEND, IGNORE, STRIP, WARN, INFO, DUNNO).

Standards: RFC 5322 section 3.6 (fields with addresses). Postfix header_checks(5), generic(5).
"""

from dataclasses import replace

from posthouse.address.address_list import Listed, Node, Rewritten, fold_list, format_list, parse_list
from posthouse.envelope.content import Content
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.host.log import ProcessLog
from posthouse.intake.content_checks import ContentChecks, Decision
from posthouse.intake.header_rewrite import RECIPIENTS, SENDERS
from posthouse.message.header import field_text, scan_fields
from posthouse.routing.generic import Generic

ADDRESS_FIELDS = SENDERS | RECIPIENTS


class Outgoing:
    """What one transport does to every message."""

    def __init__(self, log: ProcessLog, generic: Generic | None, checks: ContentChecks | None) -> None:
        self._log = log
        self._generic = generic
        self._checks = checks

    async def prepare(self, request: DeliveryRequest) -> DeliveryRequest:
        """The request as it goes out. Raises TableRetry."""
        content = request.content
        header = await self._header(content.header, request.queue_id)
        if header is not content.header:
            request = replace(request, content=Content(header, content.body))
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

    async def _header(self, header: bytes, queue_id: str) -> bytes:
        fields, end = scan_fields(header)
        out: list[bytes] = []
        decision = Decision()
        for field in fields:
            raw = header[field.start : field.end]
            if self._checks is not None:
                finding = await self._checks.check(field_text(header, field), decision)
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
            self._log.info(f"{queue_id}: {what}" + ("" if detail is None else f": {detail}"))
        unsupported = (
            decision.reject, decision.discard, decision.hold, decision.redirect, decision.content_filter, decision.bcc
        )  # fmt: skip
        if any(unsupported):
            self._log.warning("unsupported command in smtp_header_checks map")


def _line(text: str) -> bytes:
    """A field made here, with its line ends."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"
