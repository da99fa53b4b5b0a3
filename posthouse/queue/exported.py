"""A message of ours as files of Postfix's queue: what import-queue reads, written.

The records are those that postcat shows (queue/records.py), with what only matters to who
delivers: the warning that was sent or is to come, the report that was asked for, the flags of
SMTPUTF8. Beside it come the logs of Postfix's bounce daemon: why a recipient waits (mailq shows
it), and whose bounce or success notice is still owed (Postfix sends them with the next attempt).
"""

from dataclasses import replace

from posthouse.envelope.envelope import Notify, Trace
from posthouse.queue.records import envelope_records
from posthouse.queue.store import QueuedMessage, RecipientState, StoredRecipient, wants_notice
from posthouse.wire.bounce_log import bounce_log_block
from posthouse.wire.intake import Submission
from posthouse.wire.queue_file import TraceFlags, parse_queue_file
from posthouse.wire.xtext import decode_xtext

LINE_LIMIT = 2048
"""Bytes in one record of content: line_length_limit's default."""

_TRACES = {Trace.NONE: 0, Trace.RECORD: int(TraceFlags.RECORD), Trace.VERIFY: int(TraceFlags.VERIFY)}

REQUESTED, IN_HEADER, IN_SENDER = 1, 2, 4
"""What makes a message one for SMTPUTF8 servers: the sixth number of the first record."""


def encode_record(kind: str, data: bytes) -> bytes:
    """One record."""
    head = bytearray(kind.encode())
    length = len(data)
    while True:
        low, length = length & 0x7F, length >> 7
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + data


def _text(kind: str, text: str) -> bytes:
    return encode_record(kind, text.encode("utf-8", "surrogateescape"))


def encode_content(content: bytes) -> bytes:
    """Lines as records."""
    out = []
    lines = content.split(b"\r\n")
    last = lines.pop()
    for line in lines:
        while len(line) > LINE_LIMIT:
            out.append(encode_record("L", line[:LINE_LIMIT]))
            line = line[LINE_LIMIT:]
        out.append(encode_record("N", line))
    if last:
        out.append(encode_record("N", last))
    return b"".join(out)


def queue_file_of(message: QueuedMessage, header: bytes, body: bytes, delay_warning_time: int = 0) -> bytes:
    """The whole file. The sender is warned of a delay after `delay_warning_time` seconds; 0: never."""
    content = encode_content(header + b"\r\n" + body)
    before: list[bytes] = []
    recipients: list[bytes] = []
    envelope = message.envelope
    records = envelope_records(message, submitted_orcpt=False)[1:]
    begun = False
    for kind, name, text in records:
        if name == "log_ident":
            continue
        begun = begun or kind in "ORD" or text.startswith(("notify_flags=", "dsn_orig_rcpt="))
        text = f"create_time={text}" if name == "create_time" else text
        if text.startswith("log_ident="):
            continue  # the file gets another name
        (recipients if begun else before).append(_text(kind, text))
    trace = envelope.trace
    if trace is Trace.NONE and any(wants_notice(stored) and not _failed(stored) for stored in message.recipients):
        trace = Trace.RECORD  # else Postfix sends what stands in the trace log only if somebody waits for success, too
    if trace is not Trace.NONE:
        before.append(_text("A", f"trace_flags={_TRACES[trace]}"))
    if message.delay_warned:
        before.append(_text("W", f"{-1:>15}"))
    elif delay_warning_time:
        before.append(_text("W", f"{int(message.arrival_time) + delay_warning_time:>15}"))
    flags = 0
    if envelope.smtputf8:
        flags = REQUESTED | (0 if header.isascii() else IN_HEADER) | (0 if envelope.sender.isascii() else IN_SENDER)
    middle = b"".join([*before, *recipients, _text("M", "")])
    first = len(_sizes(message, 0, flags)) + 2
    size = _text("C", _sizes(message, first + len(middle), flags))
    return b"".join([size, middle, content, _text("X", ""), _text("E", "")])


def _failed(stored: StoredRecipient) -> bool:
    return stored.dsn is not None and stored.dsn.action == "failed"


def logs_of(message: QueuedMessage, file: bytes) -> dict[str, bytes]:
    """What lies in defer, bounce and trace beside a message's file; only logs with something in them."""
    logs: dict[str, list[bytes]] = {}
    for stored, written in zip(message.recipients, parse_queue_file(file).recipients, strict=True):
        dsn, recipient = stored.dsn, stored.recipient
        if dsn is None:
            continue
        if stored.state is RecipientState.PENDING:
            log, dsn = "defer", replace(dsn, action=dsn.action or "delayed")
        elif not wants_notice(stored):
            continue
        elif not _failed(stored):
            log, dsn = "trace", replace(dsn, action=dsn.action or "delivered")
        elif recipient.notify is Notify.NONE or Notify.FAILURE in recipient.notify:
            log = "bounce"
        else:
            continue  # NOTIFY=NEVER: the daemon never writes down what nobody is to be told
        logs.setdefault(log, []).append(bounce_log_block(recipient, written.offset, dsn, decode_xtext(recipient.orcpt)))
    return {log: b"".join(blocks) for log, blocks in logs.items()}


def _sizes(message: QueuedMessage, offset: int, flags: int) -> str:
    numbers = (message.size, offset, len(message.recipients), 0, message.size, flags)
    return " ".join(f"{number:>15}" for number in numbers)


def drop_file_of(submission: Submission, content: bytes, arrival_time: float) -> bytes:
    """A submission that waits in our maildrop, as postdrop would have written it."""
    seconds, microseconds = divmod(round(arrival_time * 1_000_000), 1_000_000)
    attributes = {
        "envelope_id": decode_xtext(submission.envid),
        "ret_flags": {"FULL": "1", "HDRS": "2"}.get(submission.ret, ""),
        "rewrite_context": "local" if submission.local_rewrite else "remote",
        "encoding": {"8BITMIME": "8bit", "7BIT": "7bit"}.get(submission.body, ""),
    }
    records = [_text("T", f"{seconds} {microseconds}")]
    records += [_text("A", f"{name}={value}") for name, value in attributes.items() if value]
    if submission.trace is not Trace.NONE:
        records.append(_text("A", f"trace_flags={_TRACES[submission.trace]}"))
    if submission.full_name:
        records.append(_text("F", submission.full_name))
    records.append(_text("S", submission.sender))
    if submission.verp:
        records.append(_text("V", submission.verp))
    for recipient in submission.recipients:
        if recipient.notify:
            records.append(_text("A", f"notify_flags={int(recipient.notify)}"))
        if recipient.orcpt:
            records.append(_text("A", f"dsn_orig_rcpt={decode_xtext(recipient.orcpt)}"))
        records.append(_text("R", recipient.address))
    return b"".join([*records, _text("M", ""), encode_content(content), _text("X", ""), _text("E", "")])
