"""The addresses in header fields, rewritten in place: standard form, canonical maps, masquerading.

A field in which nothing changes stays as it is, byte for byte.

Standards: RFC 5322 section 3.6; Postfix's cleanup.
"""

from posthouse.address.address_list import Listed, Node, Rewritten, fold_list, format_list, is_complete, parse_list
from posthouse.envelope.verdict import Evidence
from posthouse.intake.address_mapping import AddressMapping
from posthouse.routing.rewrite import Rewriter

SENDERS = frozenset(
    {
        b"from", b"sender", b"reply-to", b"errors-to", b"return-receipt-to", b"return-path",
        b"disposition-notification-to", b"mail-followup-to", b"resent-from", b"resent-sender",
    }
)  # fmt: skip
RECIPIENTS = frozenset(
    {b"to", b"cc", b"bcc", b"apparently-to", b"resent-to", b"resent-cc", b"resent-bcc", b"resent-reply-to"}
)
RESENT = frozenset(
    {
        b"resent-to", b"resent-cc", b"resent-bcc", b"resent-from", b"resent-sender", b"resent-reply-to", b"resent-date",
        b"resent-message-id",
    }
)  # fmt: skip


class HeaderRewrite:
    """Rewrites the address fields of one service's messages."""

    def __init__(self, rewriter: Rewriter, mapping: AddressMapping, limit: int = 0) -> None:
        """`limit`: header_address_token_limit. A field that changes loses what is beyond it."""
        self._limit = limit
        self._rewriter = rewriter
        self._mapping = mapping

    async def field(
        self, name: bytes, written: str, body: str, *, local: bool, evidence: list[Evidence], warnings: list[str]
    ) -> str | None:
        """The new field without its last CRLF, or None when it stays. `written` is the name as it stands there."""
        kind = "header_sender" if name in SENDERS else "header_recipient"
        maps = self._mapping.for_class(kind)
        # A text has no more tokens than characters.
        if not maps and (not self._limit or len(body) <= self._limit) and is_complete(body):
            return None
        nodes = parse_list(body, self._limit)
        changed = False
        out: list[Node] = []
        for node in nodes:
            if not isinstance(node, Listed):
                out.append(node)
                continue
            local_part, domain = self._rewriter.parts(
                node.local_part, node.domain, bang=node.bang, percent=node.percent, local=local
            )
            new: Rewritten = Rewritten(local_part, domain)
            if maps and (domain or local_part):
                # Without a domain only where append_at_myorigin is off.
                whole = f"{local_part}@{domain}" if domain else local_part
                address = await self._mapping.apply(kind, whole, evidence, warnings)
                mapped_local, at, mapped_domain = address.rpartition("@")
                new = Rewritten(mapped_local, mapped_domain) if at else Rewritten(address, domain)
            changed = changed or node.routed or format_list([new]) != format_list(list(node.tokens))
            out.append(new)
        return fold_list(written, format_list(out)) if changed else None
