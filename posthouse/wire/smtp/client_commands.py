"""The commands an SMTP or LMTP client sends, as bytes with their CRLF.

Standards: RFC 5321 sections 4.1.1.2, 4.1.1.3 and 4.1.2; RFC 1870 (SIZE); RFC 3461 sections 4
and 5 (RET, ENVID, NOTIFY, ORCPT, xtext); RFC 6152 (BODY); RFC 6531 (SMTPUTF8); RFC 6533 section 3 (ORCPT=utf-8;).
"""

import re

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.smtp.client_offer import Offer

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
XTEXT_SPECIAL = re.compile(r"[^!-*,-<>-~]")
# RFC 6533 section 3: QCHAR = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e
UTF8_SPECIAL = re.compile(r"[^!-*,-<>-\[\]-~]")
NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def path(address: str, *, quote: bool = True) -> str:
    """The address as it goes between angle brackets; without `quote`, in no quotes.

    Control characters cannot be said in SMTP at all and become "?": a CR or LF must never end our command line.
    """
    quoted = quote_address(address) if quote else address
    return quoted if quoted.isprintable() else CONTROL.sub("?", quoted)


def xtext(text: str) -> str:
    """RFC 3461 section 4: xtext of a text (bytes beyond ASCII as they are in UTF-8)."""
    raw = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return XTEXT_SPECIAL.sub(lambda found: f"+{ord(found[0]):02X}", raw)


def original_recipient(address: str) -> str:
    """The ORCPT of an address as it was first given. RFC 6533 section 3: one that is not ASCII is of type utf-8, in the
    form that any server takes (utf-8-addr-xtext); bytes that are no UTF-8 can only be said as rfc822."""
    if address.isascii():
        return f"rfc822;{xtext(quote_address(address))}"
    try:
        address.encode()
    except UnicodeEncodeError:
        return f"rfc822;{xtext(address)}"
    return "utf-8;" + UTF8_SPECIAL.sub(_code_point, address)


def _code_point(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):02X}}}"


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
    quote: bool = True,
) -> bytes:
    """MAIL FROM with the parameters that the server offers. envid is xtext already."""
    command = f"MAIL FROM:<{path(sender, quote=quote)}>"
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


def rcpt_command(recipient: Recipient, offer: Offer, *, quote: bool = True) -> bytes:
    """RCPT TO with the parameters that the server offers.

    RFC 3461 section 5.2.1: without an ORCPT of the sender's, the address as it was first given becomes one.
    """
    command = f"RCPT TO:<{path(recipient.address, quote=quote)}>"
    if offer.dsn:
        if recipient.orcpt:
            # A client that may use SMTPUTF8 may have said it in UTF-8; the next server need not know that.
            command += f" ORCPT={NOT_ASCII.sub(_code_point, recipient.orcpt)}"
        elif recipient.original:
            command += f" ORCPT={original_recipient(recipient.original)}"
        if recipient.notify is Notify.NONE:
            pass  # most mail; operators of flags cost as much as the rest of the command
        elif recipient.notify & Notify.NEVER:
            command += " NOTIFY=NEVER"
        else:
            words = [w.name or "" for w in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if w & recipient.notify]
            command += f" NOTIFY={','.join(words)}"
    return command.encode("utf-8", "surrogateescape") + b"\r\n"
