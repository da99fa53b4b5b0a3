"""SMTP commands as a server reads them: verb, path, parameters.

Each parser gives a frozen value, or the Reply that refuses the command, in Postfix's words.
What Postfix takes is taken: blanks after the colon, a path without brackets. Octets that are
no UTF-8 travel as surrogates (PEP 383).

Standards: RFC 5321 section 4.1.1 and 4.1.2; RFC 1870 (SIZE); RFC 6152 (8BITMIME); RFC 3461
sections 4 and 5 (DSN); RFC 4954 section 5 (AUTH=); RFC 6531 section 3.4 (SMTPUTF8); RFC 3030
section 2 (BDAT).
"""

import re
from dataclasses import dataclass

from posthouse.address.path import parse_path, take_path
from posthouse.envelope.envelope import Notify
from posthouse.envelope.value import value
from posthouse.wire.smtp.reply import Reply

SIZE_DIGITS = 20
"""RFC 1870 section 5: size-value = 1*20DIGIT."""
CHUNK_DIGITS = 18
"""Digits of a BDAT count: what a 64-bit machine can count."""
ENVID_LIMIT = 100
"""RFC 3461 section 4.4: characters of an ENVID."""
ORCPT_LIMIT = 500
"""RFC 3461 section 4.2: characters of an ORCPT."""

USUAL_LENGTH = 64
"""Characters of a path no label of which can be too long (RFC 1034 section 3.1)."""

MAIL_SYNTAX = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
RCPT_SYNTAX = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")
BAD_SIZE = Reply(501, "5.5.4", "Bad message size syntax")
BAD_RET = Reply(501, "5.5.4", "Bad RET parameter syntax")
BAD_ENVID = Reply(501, "5.5.4", "Bad ENVID parameter syntax")
BAD_NOTIFY = Reply(501, "5.5.4", "Error: Bad NOTIFY parameter syntax")
BAD_ORCPT = Reply(501, "5.5.4", "Error: Bad ORCPT parameter syntax")
DSN_DISABLED = Reply(501, "5.7.1", "DSN support is disabled")
BDAT_SYNTAX = Reply(521, "5.5.4", "Syntax: BDAT count [LAST]")

# RFC 3461 section 4: xtext = *( xchar / hexchar ); hexchar = "+" two upper-case hex digits; xchar: "!" to "~" less "+"
# and "=". "=" is let through, as Postfix does.
_XTEXT = re.compile(r"(?:[!-*,-~]|\+[0-9A-Fa-f]{2})*")
# RFC 3461 section 4.2: original-recipient-address = addr-type ";" xtext. RFC 6533 section 3: utf-8 addresses may hold
# UTF-8 itself.
_ORCPT = re.compile(r"[A-Za-z0-9-]+;(?:[!-*,-~\x80-\U0010ffff]|\+[0-9A-Fa-f]{2})*")
# the usual commands, at once
_USUAL = re.compile(r"(<(?:[\w.+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*)?>)(?: +|\Z)", re.ASCII)

_NOTIFY = {"NEVER": Notify.NEVER, "SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


@value
class MailCommand:
    """MAIL FROM with its parameters."""

    path: str
    """As the client wrote it, for logs and replies: "<a@b.example>"."""
    sender: str
    size: int = 0
    """0 when the client said nothing."""
    body: str = ""
    """"7BIT", "8BITMIME" or ""."""
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    verp: str = ""
    """Postfix's XVERP: the two delimiters, "?" for the default ones, or ""."""
    auth: str = ""
    """RFC 4954 section 5: whom the client vouches for, as it wrote it; "" for "<>"."""


@value
class RcptCommand:
    """RCPT TO with its parameters."""

    path: str
    recipient: str
    notify: Notify = Notify.NONE
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class BadPath:
    """An address that is none: the reply, and the words for the log."""

    reply: Reply
    path: str

    @property
    def unclosed(self) -> bool:
        """Whether only a bracket is missing; Postfix says nothing of that in the log."""
        return ("<" in self.path) != (">" in self.path)


@dataclass(frozen=True, slots=True)
class BadNotify:
    """A NOTIFY word that is not known: the reply, and the words for the log."""

    reply: Reply
    word: str
    value: str


@dataclass(frozen=True, slots=True)
class BdatCommand:
    """RFC 3030 section 2: bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CRLF."""

    size: int
    last: bool


def unsupported(parameter: str) -> Reply:
    """RFC 5321 section 4.1.1.11: 555 for a parameter that is not known."""
    return Reply(555, "5.5.4", f"Unsupported option: {parameter}")


def _cut(argument: str, keyword: str, *, strict: bool) -> tuple[str, str | None, list[str]] | None:
    """(path, address or None, parameters) behind FROM: or TO:. A path that runs into more keeps it, and so is bad."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    rest = argument[len(keyword) :].lstrip(" \t")
    if (match := _USUAL.match(rest)) and len(path := match.group(1)) <= USUAL_LENGTH:
        return path, path[1:-1], rest[match.end() :].split()
    path, _ = take_path(rest)
    if not path:
        return None
    after = rest[len(path) :]
    if after and after[0] not in " \t":
        glued, _, after = after.partition(" ")
        path += glued
    address = parse_path(path, strict=strict)
    return path, None if address is None or not _domain_fits(address) else address, after.split()


def parse_mail(
    argument: str, *, strict: bool = False, dsn: bool = True, smtputf8: bool = True, verp_filter: str = ""
) -> MailCommand | BadPath | Reply:
    """What stands behind MAIL. strict: strict_rfc821_envelopes; dsn and smtputf8: whether EHLO offered them;
    verp_filter: the delimiters that XVERP may name, "" for clients that may not use it."""
    cut = _cut(argument, "FROM:", strict=strict)
    if cut is None:
        return MAIL_SYNTAX
    path, sender, parameters = cut
    if sender is None:
        return BadPath(BAD_SENDER, path)
    if not parameters:
        return MailCommand(path, sender)
    size, body, ret, envid, utf8, verp, auth = 0, "", "", "", False, "", ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name = name.upper()
        if name == "SIZE" and "=" in parameter:
            if not (value.isascii() and value.isdigit() and len(value) <= SIZE_DIGITS):
                return BAD_SIZE
            size = int(value)
        elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
            body = value.upper()
        elif name == "SMTPUTF8" and smtputf8 and "=" not in parameter:
            utf8 = True
        elif name == "RET" and dsn and "=" in parameter:
            if ret or value.upper() not in ("FULL", "HDRS"):
                return BAD_RET
            ret = value.upper()
        elif name == "ENVID" and dsn and "=" in parameter:
            if envid or not value or len(value) > ENVID_LIMIT or not _XTEXT.fullmatch(value):
                return BAD_ENVID
            envid = value
        elif name in ("RET", "ENVID") and not dsn and "=" in parameter:
            return DSN_DISABLED
        elif name == "XVERP" and verp_filter and (not value or "=" in parameter):
            if value and (len(value) != 2 or not set(value) <= set(verp_filter)):
                return Reply(501, "5.5.4", f"Error: XVERP needs two characters from {verp_filter}")
            if not sender:
                return Reply(503, "5.5.4", "Error: XVERP requires non-null sender")
            verp = value or "?"
        elif name == "AUTH" and "=" in parameter:
            auth = "" if value == "<>" else value
        else:
            return unsupported(parameter)
    return MailCommand(path, sender, size, body, ret, envid, utf8, verp, auth)


def _domain_fits(address: str) -> bool:
    """RFC 1034 section 3.5: no empty label inside a name; what a domain must be beyond that is policy's matter."""
    _, at, domain = address.rpartition("@")
    return not at or (".." not in domain and not domain.startswith("."))


def parse_rcpt(argument: str, *, strict: bool = False, dsn: bool = True) -> RcptCommand | BadPath | BadNotify | Reply:
    """What stands behind RCPT."""
    cut = _cut(argument, "TO:", strict=strict)
    if cut is None:
        return RCPT_SYNTAX
    path, recipient, parameters = cut
    if not recipient:
        return BadPath(BAD_RECIPIENT, path)
    if not parameters:
        return RcptCommand(path, recipient)
    notify, orcpt = Notify.NONE, ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name = name.upper()
        if name == "NOTIFY" and dsn and "=" in parameter:
            if notify:
                return BAD_NOTIFY
            found = parse_notify(value)
            if found is None:
                unknown = next((word for word in value.split(",") if word.upper() not in _NOTIFY), "")
                return BadNotify(BAD_NOTIFY, unknown, value) if unknown else BAD_NOTIFY
            notify = found
        elif name in ("NOTIFY", "ORCPT") and not dsn and "=" in parameter:
            return DSN_DISABLED
        elif name == "ORCPT" and dsn and "=" in parameter:
            if orcpt or len(value) > ORCPT_LIMIT or not _ORCPT.fullmatch(value):
                return BAD_ORCPT
            orcpt = value
        else:
            return unsupported(parameter)
    return RcptCommand(path, recipient, notify, orcpt)


def parse_notify(value: str) -> Notify | None:
    """RFC 3461 section 4.1: "NEVER", or a list of the others."""
    notify = Notify.NONE
    for word in value.split(","):
        flag = _NOTIFY.get(word.upper())
        if flag is None or notify & flag:
            return None
        notify |= flag
    if Notify.NEVER in notify and notify is not Notify.NEVER:
        return None
    return notify


def parse_bdat(argument: str) -> BdatCommand | Reply:
    """What stands behind BDAT. A bad count leaves no way to find the next command: the session ends."""
    words = argument.split()
    if not words or len(words) > 2 or not (words[0].isascii() and words[0].isdigit() and len(words[0]) <= CHUNK_DIGITS):
        return BDAT_SYNTAX
    if len(words) == 2 and words[1].upper() != "LAST":
        return BDAT_SYNTAX
    return BdatCommand(int(words[0]), len(words) == 2)
