"""Messages and recipients as the bytes of a row.

MessagePack of plain tuples, in the order written here: a new field goes to the end, and a
reader takes a missing one as its default. Strings with undecodable bytes (PEP 383) do not
fit MessagePack's UTF-8: such a row starts with 1 instead of 0 and has those strings as
binary. Bytes that are no row raise CorruptRow.
"""

from typing import Any

import msgspec

from posthouse.envelope.envelope import LOCAL_CLIENT, Client, Envelope, Notify, Recipient, Trace
from posthouse.envelope.outcome import Dsn
from posthouse.queue.store import Failure, QueuedMessage, RecipientState, State, StoredRecipient

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class CorruptRow(Exception):
    """The bytes are no row of ours."""


def _bytes_for_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape")
        return value
    if isinstance(value, tuple):
        return tuple(_bytes_for_surrogates(part) for part in value)
    return value


def _surrogates_for_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_surrogates_for_bytes(part) for part in value]
    return value


def _pack(value: tuple[Any, ...]) -> bytes:
    try:
        return b"\0" + _encode(value)
    except UnicodeEncodeError:
        return b"\1" + _encode(_bytes_for_surrogates(value))


def _unpack(data: bytes) -> list[Any]:
    if data[:1] not in (b"\0", b"\1"):
        raise CorruptRow("unknown row form")
    try:
        value = _decode(memoryview(data)[1:])
    except msgspec.DecodeError as error:
        raise CorruptRow(str(error)) from error
    if data[0] == 1:
        value = _surrogates_for_bytes(value)
    if not isinstance(value, list):
        raise CorruptRow("not a list")
    return value


def pack_message(message: QueuedMessage) -> bytes:
    """What never changes of a message."""
    envelope = message.envelope
    client = envelope.client
    return _pack(
        (
            message.arrival_time,
            message.size,
            message.message_id,
            message.content_filter,
            message.hops,
            envelope.sender,
            tuple(
                (r.address, r.original, int(r.notify), r.orcpt)
                if r.orcpt or r.notify is not Notify.NONE
                else ((r.address, r.original) if r.original != r.address else (r.address,))
                for r in envelope.recipients
            ),
            envelope.local_rewrite,
            envelope.ret,
            envelope.envid,
            envelope.smtputf8,
            envelope.body,
            envelope.verp,
            ()
            if client == LOCAL_CLIENT
            else (
                client.name,
                client.address,
                client.port,
                client.reverse_name,
                client.helo,
                client.protocol,
                client.sasl_method,
                client.sasl_username,
                client.sasl_sender,
            ),
            *((int(envelope.trace),) if envelope.trace is not Trace.NONE else ()),
        )
    )


def _recipient(parts: list[Any]) -> Recipient:
    if len(parts) == 1:
        return Recipient(parts[0], parts[0])
    if len(parts) == 2:
        return Recipient(parts[0], parts[1])
    return Recipient(parts[0], parts[1], Notify(parts[2]), parts[3])


def unpack_message(
    queue_id: str, data: bytes, outcomes: dict[int, StoredRecipient], state: State, next_attempt: float, flags: int
) -> QueuedMessage:
    """A message again. `outcomes` are the recipients that changed (unpack_outcome), by index."""
    try:
        fields = _unpack(data)
        arrival, size, message_id, content_filter, hops, sender, packed, local, ret, envid, utf8, body, verp, who = (
            fields[:14]
        )
        trace = Trace(fields[14]) if len(fields) > 14 and not flags & TRACED else Trace.NONE
        recipients = tuple(_recipient(parts) for parts in packed)
        client = Client(*who) if who else LOCAL_CLIENT
    except (ValueError, TypeError, IndexError) as error:
        raise CorruptRow(str(error)) from error
    if not outcomes:
        stored = tuple(StoredRecipient(i, r) for i, r in enumerate(recipients))
    else:
        stored = tuple(
            StoredRecipient(i, r, o.state, o.dsn, o.log_recipient, o.reported, o.failures)
            if (o := outcomes.get(i)) is not None
            else StoredRecipient(i, r)
            for i, r in enumerate(recipients)
        )
    return QueuedMessage(
        queue_id,
        arrival,
        Envelope(sender, recipients, client, local, ret, envid, utf8, body, verp, trace),
        stored,
        size,
        state,
        next_attempt,
        message_id,
        content_filter,
        bool(flags & DELAY_WARNED),
        bool(flags & FORCE_EXPIRED),
        hops,
        bool(flags & REQUEUED),
    )


DELAY_WARNED = 1
FORCE_EXPIRED = 2
TRACED = 4
"""The report that sendmail -v asked for is made."""
REQUEUED = 8
"""It is to come in anew."""


def flags_of(message: QueuedMessage) -> int:
    """The booleans of a message as a number."""
    return (DELAY_WARNED if message.delay_warned else 0) | (FORCE_EXPIRED if message.force_expired else 0)


def pack_outcome(recipient: StoredRecipient) -> bytes:
    """What the last attempt said of a recipient."""
    failures = tuple((one.address, _dsn(one.dsn), one.owner) for one in recipient.failures)
    return _pack(
        (
            recipient.state.value,
            None if recipient.dsn is None else _dsn(recipient.dsn),
            recipient.log_recipient,
            recipient.reported,
            *((failures,) if failures else ()),
        )
    )


def _dsn(dsn: Dsn) -> tuple[str, ...]:
    return (
        dsn.status,
        dsn.reason,
        dsn.action,
        dsn.diagnostic_type,
        dsn.diagnostic,
        dsn.remote_mta_type,
        dsn.remote_mta,
    )


_NOBODY = Recipient("")


def unpack_outcome(index: int, data: bytes) -> StoredRecipient:
    """The changed parts of a recipient; its address is in the message."""
    try:
        fields = _unpack(data)
        state, dsn, log_recipient, reported = fields[:4]
        failures = tuple(Failure(a, Dsn(*d), owner) for a, d, owner in (fields[4] if len(fields) > 4 else ()))
        return StoredRecipient(
            index, _NOBODY, RecipientState(state), None if dsn is None else Dsn(*dsn), log_recipient, reported, failures
        )
    except (ValueError, TypeError) as error:
        raise CorruptRow(str(error)) from error
