"""The commands an SMTP or LMTP client sends, as bytes with their CRLF.

Standards: RFC 5321 sections 4.1.1.2, 4.1.1.3 and 4.1.2; RFC 1870 (SIZE); RFC 3461 sections 4
and 5 (RET, ENVID, NOTIFY, ORCPT, xtext); RFC 6152 (BODY); RFC 6531 (SMTPUTF8).
"""

import re

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.smtp.client_offer import Offer

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
XTEXT_SPECIAL = re.compile(r"[^!-*,-<>-~]")


def path(address: str) -> str:
    """The address as it goes between angle brackets.

    Control characters cannot be said in SMTP at all and become "?": a CR or LF must never end our command line.
    """
    quoted = quote_address(address)
    return quoted if quoted.isprintable() else CONTROL.sub("?", quoted)


def xtext(text: str) -> str:
    """RFC 3461 section 4: xtext of a text (bytes beyond ASCII as they are in UTF-8)."""
    raw = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return XTEXT_SPECIAL.sub(lambda found: f"+{ord(found[0]):02X}", raw)


def mail_command(
    sender: str,
    offer: Offer,
    *,
    size: int = 0,
    body: str = "",
    ret: str = "",
    envid: str = "",
    smtputf8: bool = False,
    null_auth: bool = False,
) -> bytes:
    """MAIL FROM with the parameters that the server offers. envid is xtext already."""
    command = f"MAIL FROM:<{path(sender)}>"
    if offer.size is not None and size > 0:
        command += f" SIZE={size}"
    if offer.eight_bit and body:
        command += f" BODY={body}"
    if offer.dsn:
        if envid:
            command += f" ENVID={envid}"
        if ret:
            command += f" RET={ret}"
    if smtputf8 and offer.smtputf8:
        command += " SMTPUTF8"
    if null_auth and offer.mechanisms is not None:
        command += " AUTH=<>"
    return command.encode("utf-8", "surrogateescape") + b"\r\n"


def rcpt_command(recipient: Recipient, offer: Offer) -> bytes:
    """RCPT TO with the parameters that the server offers.

    RFC 3461 section 5.2.1: without an ORCPT of the sender's, the address as it was first given becomes one.
    """
    command = f"RCPT TO:<{path(recipient.address)}>"
    if offer.dsn:
        if recipient.orcpt:
            command += f" ORCPT={recipient.orcpt}"
        elif recipient.original:
            command += f" ORCPT=rfc822;{xtext(recipient.original)}"
        if recipient.notify is Notify.NONE:
            pass  # most mail; operators of flags cost as much as the rest of the command
        elif recipient.notify & Notify.NEVER:
            command += " NOTIFY=NEVER"
        else:
            words = [w.name or "" for w in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if w & recipient.notify]
            command += f" NOTIFY={','.join(words)}"
    return command.encode("utf-8", "surrogateescape") + b"\r\n"
