"""A notice as multipart/report, in chunks of canonical content.

Three parts: Notification (for people), Delivery report (for programs), and the message or its
header. With SMTPUTF8 the types are those of RFC 6533.

Standards: RFC 6522 (multipart/report); RFC 3464 (message/delivery-status); RFC 3461 section 6
(what a notice must say, ENVID and ORCPT decoded); RFC 3462 section 3 (text/rfc822-headers);
RFC 6533 (message/global-*); RFC 3834 section 5 (Auto-Submitted).
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from posthouse.address.local_part import quote_address
from posthouse.bounce.folding import fold
from posthouse.bounce.prose import Kind
from posthouse.envelope.content import Content
from posthouse.envelope.outcome import Dsn
from posthouse.queue.store import QueuedMessage, StoredRecipient

# RFC 3461 section 4: hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
# RFC 6533 section 3: EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"
CODE_POINT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")

ACTIONS = {Kind.FAILURE: "failed", Kind.DELAY: "delayed"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Everything that a notice is made from."""

    kind: Kind
    subject: str
    to: str
    auto_submitted: str
    text: str
    """The prose, lines ended by LF; "" in postmaster's copies."""
    whole: bool
    """Whether the whole message is enclosed, or its header only."""
    boundary: str
    date: str
    arrival_date: str
    hostname: str
    mail_name: str
    charset: str
    """Of the text part."""
    sender: str
    """The From field's value."""
    retry_until: str = ""


def unxtext(text: str) -> str:
    """RFC 3461 section 4: what an xtext says."""
    return HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)


def told(orcpt: str, world: str) -> str:
    """What an ORCPT says, type and address. RFC 6533 section 3: one of type utf-8 keeps its ASCII form in a notice that
    is all ASCII."""
    if not orcpt.lower().startswith("utf-8;"):
        return unxtext(orcpt)
    if world != "global":
        return "".join(c if c.isascii() else f"\\x{{{ord(c):02X}}}" for c in orcpt)
    return CODE_POINT.sub(_character, orcpt)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return found[0] if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)


def clean(text: str) -> str:
    """Text that cannot break out of its line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text)


def daemon_address(sender: str, hostname: str) -> str:
    """The sender as reports name it; the null sender has the mail daemon's address."""
    return quote_address(sender) if sender else f"MAILER-DAEMON@{hostname}"


async def render(
    notice: Notice, message: QueuedMessage, content: Content, recipients: Sequence[StoredRecipient]
) -> AsyncIterator[bytes]:
    """The content of the notice, header first, without Received and Message-Id (intake adds them)."""
    boundary = notice.boundary
    world = "global" if message.envelope.smtputf8 else "rfc822"
    lines = [
        f"Date: {notice.date}",
        f"From: {notice.sender}",
        f"Subject: {notice.subject}",
        f"To: {clean(notice.to)}",
        f"Auto-Submitted: {notice.auto_submitted}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type="
        + ("global-delivery-status;" if world == "global" else "delivery-status;"),
        f'\tboundary="{boundary}"',
        "Content-Transfer-Encoding: 8bit",
        "",
        "This is a MIME-encapsulated message.",
        "",
        f"--{boundary}",
        "Content-Description: Notification",
        f"Content-Type: text/plain; charset={notice.charset}",
        "Content-Transfer-Encoding: 8bit",
        "",
        *notice.text.split("\n")[:-1],
    ]
    for recipient in recipients:
        lines += ["", fold(_reason_line(recipient))]
    lines += [
        "",
        f"--{boundary}",
        "Content-Description: Delivery report",
        f"Content-Type: message/{'global-' if world == 'global' else ''}delivery-status",
    ]
    if world == "global":
        lines.append("Content-Transfer-Encoding: 8bit")
    lines += ["", *_message_fields(notice, message)]
    for recipient in recipients:
        lines += ["", *_recipient_fields(notice, recipient, world)]
    lines += ["", f"--{boundary}"]
    title = "Message" if notice.kind in (Kind.SUCCESS, Kind.VERIFY) else "Undelivered Message"
    if notice.whole:
        lines += [f"Content-Description: {title}", f"Content-Type: message/{world}"]
    else:
        headers = "message/global-headers" if world == "global" else "text/rfc822-headers"
        lines += [f"Content-Description: {title} Headers", f"Content-Type: {headers}"]
    lines += [
        "Content-Transfer-Encoding: 8bit",
        "",
        f"Return-Path: <{clean(daemon_address(message.envelope.sender, notice.hostname))}>",
        "",
    ]
    yield "\r\n".join(lines).encode("utf-8", "surrogateescape") + content.header
    tail = b"\n"
    if notice.whole:
        yield b"\r\n"
        async for chunk in content.body.chunks():
            yield chunk
            tail = chunk[-1:]
    # The CRLF before a boundary belongs to the boundary: a body without a last line end must get one of its own.
    yield (b"" if tail == b"\n" else b"\r\n") + f"\r\n--{boundary}--\r\n".encode()


def _reason_line(recipient: StoredRecipient) -> str:
    address = clean(quote_address(recipient.log_recipient or recipient.recipient.address))
    original = recipient.recipient.original
    expanded = ""
    if original and quote_address(original).lower() != address.lower():
        expanded = f" (expanded from <{clean(quote_address(original))}>)"
    return f"<{address}>{expanded}: {clean(_dsn(recipient).reason)}"


def _message_fields(notice: Notice, message: QueuedMessage) -> list[str]:
    name = notice.mail_name.replace(" ", "-")
    lines = [f"Reporting-MTA: dns; {notice.hostname}"]
    if message.envelope.envid:
        lines.append(f"Original-Envelope-Id: {clean(unxtext(message.envelope.envid))}")
    world = "utf-8" if not message.envelope.sender.isascii() and message.envelope.smtputf8 else "rfc822"
    return [
        *lines,
        f"X-{name}-Queue-ID: {message.queue_id}",
        f"X-{name}-Sender: {world}; {clean(daemon_address(message.envelope.sender, notice.hostname))}",
        f"Arrival-Date: {notice.arrival_date}",
    ]


def _recipient_fields(notice: Notice, recipient: StoredRecipient, world: str) -> list[str]:
    dsn = _dsn(recipient)
    address = clean(quote_address(recipient.log_recipient or recipient.recipient.address))
    kind = "utf-8" if world == "global" and not address.isascii() else "rfc822"
    lines = [f"Final-Recipient: {kind}; {address}"]
    if recipient.recipient.orcpt:
        lines.append(f"Original-Recipient: {clean(told(recipient.recipient.orcpt, world))}")
    elif recipient.recipient.original:
        original = clean(quote_address(recipient.recipient.original))
        kind = "utf-8" if world == "global" and not original.isascii() else "rfc822"
        lines.append(f"Original-Recipient: {kind};{original}")
    action = ACTIONS.get(notice.kind) or dsn.action or "delivered"
    lines += [f"Action: {action}", f"Status: {dsn.status}"]
    if dsn.remote_mta:
        lines.append(f"Remote-MTA: {dsn.remote_mta_type}; {clean(dsn.remote_mta)}")
    lines.append(fold(f"Diagnostic-Code: {dsn.diagnostic_type}; {clean(dsn.diagnostic or dsn.reason)}"))
    if notice.retry_until:
        lines.append(f"Will-Retry-Until: {notice.retry_until}")
    return lines


def _dsn(recipient: StoredRecipient) -> Dsn:
    return recipient.dsn or Dsn("4.0.0", "delivery has not been tried yet")
