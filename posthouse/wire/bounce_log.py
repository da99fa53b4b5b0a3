"""The logs that Postfix's bounce daemon keeps beside a queued message: defer/ID, bounce/ID and trace/ID.

Blocks of lines NAME=value, blocks divided by empty lines; the first line of a block is for
people, `<recipient>: reason`. A block tells what one attempt said of one recipient. The logs
are written line by line, so that a cut last block is no news: it is read as far as it goes.

Standard: RFC 3464 section 2.3 names what the values are for; the layout was observed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Recipient
from posthouse.envelope.outcome import Dsn

_LINE_END = re.compile(r"[\r\n\0]+")
"""In a value it would begin another."""


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """What was said of one recipient."""

    recipient: str
    offset: int
    """Of its record in the queue file (FileRecipient.offset); -1 when the log does not say."""
    dsn: Dsn


def parse_bounce_log(data: bytes) -> Iterator[LoggedOutcome]:
    """The blocks in order. What is no block is passed over."""
    for block in data.decode("utf-8", "surrogateescape").split("\n\n"):
        values: dict[str, str] = {}
        for line in block.strip("\n").split("\n"):
            name, equals, value = line.partition("=")
            if equals and name.isascii() and name.replace("_", "").isalpha():
                values.setdefault(name, value)
        recipient = values.get("recipient")
        if recipient is None:
            continue
        offset = values.get("offset", "")
        status = values.get("status", "")
        yield LoggedOutcome(
            recipient,
            int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 20 else -1,
            Dsn(
                status=status or "4.0.0",
                reason=values.get("reason", ""),
                action=values.get("action", ""),
                diagnostic_type=values.get("diag_type", "X-Postfix"),
                diagnostic=values.get("diag_text", ""),
                remote_mta_type=values.get("mta_type", "dns"),
                remote_mta=values.get("mta_mname", ""),
            ),
        )


def bounce_log_block(recipient: Recipient, offset: int, dsn: Dsn, orcpt: str = "") -> bytes:
    """One block: what `dsn` says of the recipient whose record is at `offset`. Its original recipient is `orcpt`,
    in plain text."""
    address = quote_address(recipient.address) if recipient.address else "<>"
    original = recipient.original if recipient.original.lower() != recipient.address.lower() else ""
    values = {
        "recipient": address,
        "original_recipient": original,
        "offset": str(offset) if offset > 0 else "",
        "dsn_orig_rcpt": orcpt,
        "notify_flags": str(int(recipient.notify)) if recipient.notify else "",
        "status": dsn.status,
        "action": dsn.action,
    }
    if dsn.diagnostic:
        values |= {"diag_type": dsn.diagnostic_type, "diag_text": dsn.diagnostic}
    if dsn.remote_mta:
        values |= {"mta_type": dsn.remote_mta_type, "mta_mname": dsn.remote_mta}
    values["reason"] = dsn.reason
    lines = [f"<{recipient.address and address}>: {dsn.reason}", *(f"{k}={v}" for k, v in values.items() if v)]
    text = "".join(_LINE_END.sub(" ", line) + "\n" for line in lines)
    return f"\n{text}\n".encode("utf-8", "surrogateescape")
