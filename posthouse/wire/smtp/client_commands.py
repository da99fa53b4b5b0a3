"""The commands an SMTP or LMTP client sends, as bytes with their CRLF.

Standards: RFC 5321 sections 4.1.1.2, 4.1.1.3 and 4.1.2; RFC 1870 (SIZE); RFC 3461 sections 4
and 5 (RET, ENVID, NOTIFY, ORCPT, xtext); RFC 6152 (BODY); RFC 6531 (SMTPUTF8).
"""

import re

from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.smtp.client_offer import Offer

# RFC 5321 section 4.1.2: Dot-string = Atom *("." Atom); RFC 6531 section 3.3 adds non-ASCII.
DOT_STRING = re.compile(r"[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+(?:\.[^\x00-\x20\x7f\"(),:;<>@\[\\\].]+)*")
# RFC 5321 section 4.1.2: Quoted-string
QUOTED_STRING = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"')
XTEXT_SPECIAL = re.compile(r"[^!-*,-<>-~]")


def quote_address(address: str) -> str:
    """The address as it goes into a path: its local part quoted when it is neither dot-string nor quoted already.

    Control characters cannot be said in SMTP at all and become "?": a CR or LF must never end our command line.
    """
    local_part, at, domain = address.rpartition("@")
    if not at:
        local_part, domain = domain, ""
    if local_part and not DOT_STRING.fullmatch(local_part) and not QUOTED_STRING.fullmatch(local_part):
        escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
        local_part = '"' + "".join("?" if c < " " or c == "\x7f" else c for c in escaped) + '"'
    domain = "".join("?" if c <= " " or c in "<>\x7f" else c for c in domain)
    return local_part + at + domain


def unquote_address(address: str) -> str:
    """The address with a quoted local part taken out of its quotes."""
    local_part, at, domain = address.rpartition("@")
    if at and QUOTED_STRING.fullmatch(local_part):
        local_part = re.sub(r"\\(.)", r"\1", local_part[1:-1])
    return local_part + at + domain


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
    command = f"MAIL FROM:<{quote_address(sender)}>"
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
    command = f"RCPT TO:<{quote_address(recipient.address)}>"
    if offer.dsn:
        if recipient.orcpt:
            command += f" ORCPT={recipient.orcpt}"
        elif recipient.original:
            command += f" ORCPT=rfc822;{xtext(unquote_address(recipient.original))}"
        if recipient.notify & Notify.NEVER:
            command += " NOTIFY=NEVER"
        elif recipient.notify:
            words = [w.name or "" for w in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if w & recipient.notify]
            command += f" NOTIFY={','.join(words)}"
    return command.encode("utf-8", "surrogateescape") + b"\r\n"
