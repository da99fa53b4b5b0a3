"""Received fields in Postfix's form, with their CRLF.

Standards: RFC 5321 section 4.4; RFC 3848 (ESMTPS, ESMTPA, LMTP and their like); RFC 6531 section 4.3 (UTF8SMTP).
"""

from collections.abc import Sequence


def with_protocol(protocol: str, *, tls: bool, authenticated: bool, smtputf8: bool = False) -> str:
    """RFC 3848 section 1: SMTP stays SMTP; ESMTP and LMTP get S and A; UTF8 in front for SMTPUTF8."""
    if protocol == "SMTP":
        return protocol
    text = protocol + ("S" if tls else "") + ("A" if authenticated else "")
    return "UTF8" + text.removeprefix("E") if smtputf8 else text


def received_from(
    *,
    helo: str,
    client_name: str,
    client_address: str,
    hostname: str,
    mail_name: str,
    protocol: str,
    queue_id: str,
    date: str,
    recipient: str = "",
    comments: Sequence[str] = (),
) -> bytes:
    """What a server prepends. `client_address` as to be shown: "192.0.2.1" or "IPv6:2001:db8::1". `protocol` from
    with_protocol(). `recipient` is the only one, in external form, or "". `comments` are the lines on TLS and login, in
    parentheses; a comment may hold "\\n" where it is to be folded."""
    lines = [f"Received: from {helo} ({client_name} [{client_address}])"]
    lines += [f"\t{comment}" for comment in comments]
    end = f"\tby {hostname} ({mail_name}) with {protocol} id {queue_id}"
    lines += [end, f"\tfor <{recipient}>; {date}"] if recipient else [f"{end};", f"\t{date}"]
    return _field(lines)


def received_local(*, hostname: str, mail_name: str, queue_id: str, date: str, uid: int | None = None) -> bytes:
    """What pickup prepends (with the uid of who submitted), and bounces and forwards (without)."""
    origin = mail_name if uid is None else f"{mail_name}, from userid {uid}"
    return _field([f"Received: by {hostname} ({origin})", f"\tid {queue_id}; {date}"])


def _field(lines: list[str]) -> bytes:
    text = "\n".join(lines).replace("\n", "\r\n") + "\r\n"
    return text.encode("utf-8", "surrogateescape")
