"""A queued message as postcat shows it: Postfix's records, made from the row.

Each record is (type, name, text): the type byte Postfix's queue files use, by which postcat -d
names them, and the text behind "sender: " and its like. Times are as in those files: seconds, and
for the arrival microseconds behind them. Of what an SMTP client brings along, the server's address
and port are not kept, so there are no records of them.
"""

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Notify, Recipient
from posthouse.queue.store import QueuedMessage, RecipientState
from posthouse.wire.postfix_record import record_size
from posthouse.wire.xtext import decode_xtext

Record = tuple[str, str, str]
"""Type byte, its name, its text."""

RECIPIENT, DONE = ("R", "recipient"), ("D", "done_recipient")


def envelope_records(message: QueuedMessage, *, submitted_orcpt: bool = True) -> list[Record]:
    """The records before the content. Postfix names an original recipient for notices when a message was submitted
    here, too: `submitted_orcpt`."""
    envelope, client = message.envelope, message.envelope.client
    seconds, microseconds = divmod(round(message.arrival_time * 1_000_000), 1_000_000)
    records: list[Record] = [
        ("C", "message_size", _sizes(message, 0)),
        ("T", "message_arrival_time", f"{seconds} {microseconds}"),
        ("A", "create_time", str(seconds)),
    ]
    by_smtp = bool(client.protocol)
    attributes = [
        ("envelope_id", decode_xtext(envelope.envid)),
        ("ret_flags", {"FULL": "1", "HDRS": "2"}.get(envelope.ret, "")),
    ]
    context = ("rewrite_context", "local" if envelope.local_rewrite else "remote")
    # pickup says what it has from sendmail, then what it adds itself; smtpd the other way about.
    attributes = [("log_ident", message.queue_id), context, *attributes] if by_smtp else [*attributes, context]
    records += [("A", "named_attribute", f"{name}={value}") for name, value in attributes if value]
    records.append(("S", "sender", envelope.sender))
    if envelope.verp:
        records.append(("V", "verp_delimiters", envelope.verp))
    attributes = [("encoding", {"8BITMIME": "8bit", "7BIT": "7bit"}.get(envelope.body, ""))]
    if by_smtp:
        attributes += [
            ("log_client_name", client.name),
            ("log_client_address", client.address),
            ("log_client_port", client.port),
            ("log_message_origin", f"{client.name}[{client.address}]"),
            ("log_helo_name", client.helo),
            ("log_protocol_name", client.protocol),
            ("client_name", client.name),
            ("reverse_client_name", client.reverse_name),
            ("client_address", client.address),
            ("client_port", client.port),
            ("helo_name", client.helo),
            ("protocol_name", client.protocol),
            ("client_address_type", "10" if ":" in client.address else "2"),
        ]
    attributes += [
        ("sasl_method", client.sasl_method),
        ("sasl_username", client.sasl_username),
        ("sasl_sender", client.sasl_sender),
    ]
    records += [("A", "named_attribute", f"{name}={value}") for name, value in attributes if value]
    if message.content_filter:
        records.append(("L", "content_filter", message.content_filter))
    for stored in message.recipients:
        recipient = stored.recipient
        orcpt = _original(recipient, by_smtp=by_smtp) if by_smtp or submitted_orcpt else decode_xtext(recipient.orcpt)
        notify = 0
        for flag, bit in ((Notify.NEVER, 1), (Notify.SUCCESS, 2), (Notify.FAILURE, 4), (Notify.DELAY, 8)):
            notify |= bit if recipient.notify & flag else 0
        if notify:
            records.append(("A", "named_attribute", f"notify_flags={notify}"))
        if orcpt:
            records.append(("A", "named_attribute", f"dsn_orig_rcpt={orcpt}"))
        if recipient.original:
            records.append(("O", "original_recipient", recipient.original))
        kind, name = DONE if stored.state is RecipientState.DONE else RECIPIENT
        records.append((kind, name, recipient.address))
    offset = sum(
        record_size(kind, f"create_time={text}" if name == "create_time" else text) for kind, name, text in records
    )
    records[0] = ("C", "message_size", _sizes(message, offset + record_size("M", "")))
    return records


def _sizes(message: QueuedMessage, offset: int) -> str:
    """Size, where the content begins, recipients, flags of the queue's, size of the content, flags of SMTPUTF8."""
    sizes = (message.size, offset, len(message.recipients), 0, message.size, 4 if message.envelope.smtputf8 else 0)
    return "".join(f"{size:>16}" for size in sizes)[1:]


def _original(recipient: Recipient, *, by_smtp: bool) -> str:
    """What a notice names: as ORCPT had it, what the client gave in RCPT TO, or the address that was submitted."""
    if recipient.orcpt or not recipient.original:
        return decode_xtext(recipient.orcpt)
    return f"rfc822;{quote_address(recipient.original) if by_smtp else recipient.original}"
