"""The fields that a message must have and came without: Message-Id, Date, From; To for nobody in particular.

Added for clients whose headers we complete (local_header_rewrite_clients), or always
(always_add_missing_headers), in cleanup's order. A resent message gets Resent- fields.

Standards: RFC 5322 sections 3.6 and 3.6.6; RFC 6409 section 8 (a submission server completes headers).
"""

from posthouse.address.local_part import quote_address
from posthouse.address.tokens import Kind, scan
from posthouse.message.date import message_id

VISIBLE_RECIPIENTS = frozenset({b"to", b"cc", b"resent-to", b"resent-cc"})


def missing_headers(
    seen: set[bytes],
    *,
    resent: bool,
    queue_id: str,
    arrival_time: float,
    date: str,
    sender: str,
    full_name: str,
    hostname: str,
    long_queue_ids: bool,
    from_format: str,
    undisclosed: str,
) -> tuple[list[str], str]:
    """(fields to append, the message id made or ""). `seen` holds the lower-case names of the fields that are there."""
    prefix = "Resent-" if resent else ""
    lower = prefix.lower().encode()
    out: list[str] = []
    made = ""
    if lower + b"message-id" not in seen:
        made = message_id(arrival_time, queue_id, hostname, long_queue_ids=long_queue_ids)
        out.append(f"{prefix}Message-Id: {made}")
    if lower + b"date" not in seen:
        out.append(f"{prefix}Date: {date}")
    if lower + b"from" not in seen:
        author = _from(quote_address(sender), full_name, from_format) if sender else "MAILER-DAEMON"
        out.append(f"{prefix}From: {author}")
    if undisclosed and not seen & VISIBLE_RECIPIENTS:
        out.append(undisclosed)
    return out, made


def _from(address: str, full_name: str, from_format: str) -> str:
    full_name = " ".join(full_name.split())
    if not full_name:
        return address
    if from_format == "obsolete":
        return f"{address} ({full_name})"
    if "\\" in full_name or any(token.kind is not Kind.ATOM for token in scan(full_name)):
        full_name = '"' + full_name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{full_name} <{address}>"
