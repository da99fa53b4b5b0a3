"""Entries as bytes, and segments as sequences of them.

A segment is SEGMENT_MAGIC and records: four bytes of length, MessagePack of a tuple in the
order of Entry's fields. A crash may cut the last record short: readers stop there.
Text with undecodable bytes is kept with "?" in their place: it is for people to read.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from posthouse.envelope.verdict import Evidence
from posthouse.journal.journal import Entry

SEGMENT_MAGIC = b"posthouse journal 1\n"

RECORD_LIMIT = 1 << 20
"""A longer record is damage, not an entry."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, tuple):
        return tuple(_clean(part) for part in value)
    return value


def pack_entry(entry: Entry, *, evidence: bool = True) -> bytes:
    """One record. Without evidence trace says that some is missing."""
    if not entry.evidence:
        why: Any = ()
    elif evidence:
        why = tuple([(e.parameter, e.origin, e.restriction, e.fact) for e in entry.evidence])
    else:
        why = None
    value = (
        entry.time,
        entry.step,
        entry.queue_id,
        entry.message_id,
        entry.session,
        entry.sender,
        entry.recipient,
        entry.verdict,
        why,
    )
    try:
        data = _encode(value)
    except UnicodeEncodeError:
        data = _encode(_clean(value))
    return len(data).to_bytes(4, "big") + data


EVIDENCE_DROPPED = (Evidence(fact="evidence was dropped under pressure"),)


def unpack_entry(data: bytes | memoryview) -> Entry | None:
    """An entry again; None for bytes that are none."""
    try:
        *fields, why = _decode(data)
        time, step, queue_id, message_id, session, sender, recipient, verdict = fields
        evidence = EVIDENCE_DROPPED if why is None else tuple(Evidence(*parts) for parts in why)
    except (msgspec.DecodeError, ValueError, TypeError):
        return None
    texts = (step, queue_id, message_id, session, sender, recipient, verdict)
    if not isinstance(time, (int, float)) or not all(isinstance(text, str) for text in texts):
        return None
    if not all(isinstance(part, str) for e in evidence for part in (e.parameter, e.origin, e.restriction, e.fact)):
        return None
    return Entry(float(time), *texts, evidence)


def records(data: bytes | memoryview, start: int = len(SEGMENT_MAGIC)) -> Iterator[tuple[int, Entry]]:
    """The entries of a segment with their offsets; ends at the first damage."""
    view = memoryview(data)
    at = start
    while at + 4 <= len(view):
        length = int.from_bytes(view[at : at + 4], "big")
        if length > RECORD_LIMIT or at + 4 + length > len(view):
            return
        entry = unpack_entry(view[at + 4 : at + 4 + length])
        if entry is None:
            return
        yield at, entry
        at += 4 + length
