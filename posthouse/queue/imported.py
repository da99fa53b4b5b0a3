"""A message of Postfix's queue as one of ours: what each record and each line of its logs becomes.

D record                   done; with a line in the bounce log, its bounce is still owed
R record, defer log        pending, with the reason that mailq shows
deferred, the file's time  the time of the next attempt
hold                       on hold
group may execute          expired by force (postsuper -e)
REDIRECT                   one recipient, in the place of those that are pending
trace_flags                the report that sendmail -v or -bv asked for
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from posthouse.envelope.envelope import Envelope
from posthouse.envelope.outcome import Dsn
from posthouse.message.header import canonical, field_value, first, scan_fields
from posthouse.queue.store import QueuedMessage, RecipientState, State, StoredRecipient
from posthouse.wire.bounce_log import LoggedOutcome
from posthouse.wire.queue_file import FileRecipient, QueueFile

HEADER_LIMIT = 1 << 20
"""Bytes of a header that are kept in memory, as at intake. What is beyond counts as body, and is carried as that."""

_STATES = {"hold": State.HOLD, "deferred": State.DEFERRED}


@dataclass(frozen=True, slots=True)
class Logs:
    """What the logs beside a message say."""

    deferred: tuple[LoggedOutcome, ...] = ()
    bounced: tuple[LoggedOutcome, ...] = ()
    traced: tuple[LoggedOutcome, ...] = ()


def imported_message(
    queue_id: str, queue: str, file: QueueFile, status_mode: int, mtime: float, logs: Logs, header: bytes
) -> QueuedMessage:
    """The message, its size still to be told."""
    recipients = tuple(replace(stored, index=index) for index, stored in enumerate(_recipients(file, logs)))
    fields = scan_fields(header)[0]
    found = first(fields, b"message-id")
    state = _STATES.get(queue, State.INCOMING)
    return QueuedMessage(
        queue_id=queue_id,
        arrival_time=file.arrival_time,
        envelope=Envelope(
            sender=file.sender,
            recipients=tuple(stored.recipient for stored in recipients),
            client=file.client,
            local_rewrite=file.local_rewrite,
            ret=file.ret,
            envid=file.envid,
            smtputf8=file.smtputf8,
            body=file.body,
            verp=file.verp,
            trace=file.trace,
        ),
        recipients=recipients,
        size=0,
        state=state,
        next_attempt=mtime if state is State.DEFERRED else 0.0,
        message_id=field_value(header, found) if found is not None else "",
        content_filter=file.content_filter,
        delay_warned=file.delay_warned,
        force_expired=bool(status_mode & stat.S_IXGRP),
        hops=sum(field.name == b"received" for field in fields),
    )


def _recipients(file: QueueFile, logs: Logs) -> Iterator[StoredRecipient]:
    pending = [one for one in file.recipients if not one.done]
    if file.redirect and pending:
        # Postfix puts the address in the place of the first of them, in the order of domains and local parts.
        pending = [min(pending, key=_place)]
    for one in file.recipients:
        if one.done:
            owed = _said(one, logs.bounced) or _said(one, logs.traced)
            yield StoredRecipient(0, one.recipient, RecipientState.DONE, owed, reported=owed is None)
    for one in pending:
        recipient = replace(one.recipient, address=file.redirect) if file.redirect else one.recipient
        said = _said(one, logs.deferred)
        yield StoredRecipient(0, recipient, dsn=None if said is None else replace(said, action=""))


def _place(one: FileRecipient) -> tuple[str, str]:
    local, _, domain = one.recipient.address.lower().rpartition("@")
    return domain, local


def _said(one: FileRecipient, logged: Iterable[LoggedOutcome]) -> Dsn | None:
    """The last word about a recipient: by the place of its record, or by address where a log has no places."""
    found = None
    for outcome in logged:
        if outcome.offset == one.offset or (outcome.offset < 0 and outcome.recipient == one.recipient.address):
            found = outcome.dsn
    return found


def split_content(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The header, without the empty line that ends it, and the body in pieces. Both in canonical form."""
    buffer = b""
    ended = False
    piece: bytes | None = b""
    while not ended:
        piece = next(pieces, None)
        ended = piece is None or len(buffer) > HEADER_LIMIT
        searched = max(0, len(buffer) - 3)
        buffer += canonical(piece) if piece is not None else b""
        if buffer.startswith(b"\r\n"):
            return b"", _rest(buffer[2:], pieces)
        end = buffer.find(b"\r\n\r\n", searched)
        if end >= 0:
            _, scanned = scan_fields(buffer, end + 2)
            return buffer[:scanned], _rest(buffer[end + 4 if scanned == end + 2 else scanned :], pieces)
    if piece is None and buffer and not buffer.endswith(b"\r\n"):
        buffer += b"\r\n"
    _, scanned = scan_fields(buffer, buffer.rfind(b"\r\n") + 2 if b"\r\n" in buffer else 0)
    return buffer[:scanned], _rest(buffer[scanned:], pieces)


def _rest(begun: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The body ends in a line end, as intake leaves it."""
    last = begun[-2:]
    if begun:
        yield begun
    for piece in pieces:
        piece = canonical(piece)
        last = (last + piece)[-2:]
        yield piece
    if last and last != b"\r\n":
        yield b"\r\n"
