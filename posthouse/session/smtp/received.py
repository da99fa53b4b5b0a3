"""The Received field of a message that came by SMTP, and the date it carries.

Standards: RFC 5321 section 4.4; RFC 3848 and RFC 6531 section 4.3 (the words behind "with");
RFC 5322 section 3.3 (the date).
"""

import time

from posthouse.address.local_part import quote_address
from posthouse.envelope.envelope import Client
from posthouse.net.stream import TlsInfo
from posthouse.policy.restrictions.certificate import common_names

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class DateText:
    """RFC 5322 dates, made once per second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def at(self, now: float) -> str:
        """E.g. "Tue, 24 Nov 2026 03:13:16 +0000 (UTC)"."""
        second = int(now)
        if second != self._second:
            t = time.localtime(second)
            offset = t.tm_gmtoff // 60
            sign = "-" if offset < 0 else "+"
            hours, minutes = divmod(abs(offset), 60)
            self._text = (
                f"{_DAYS[t.tm_wday]}, {t.tm_mday} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
                f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} {sign}{hours:02}{minutes:02} ({t.tm_zone})"
            )
            self._second = second
        return self._text


def address_literal(address: str) -> str:
    """RFC 5321 section 4.1.3: IPv6 addresses carry their tag."""
    return f"IPv6:{address}" if ":" in address else address


def protocol_word(protocol: str, *, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """RFC 3848: ESMTP, ESMTPS, ESMTPA, ESMTPSA; RFC 6531: UTF8SMTP and so on. After HELO it is SMTP, whatever else."""
    if protocol == "SMTP":
        return protocol
    if smtputf8:
        protocol = f"UTF8{protocol.removeprefix('E')}"
    return protocol + ("S" if tls else "") + ("A" if authenticated else "")


def received_field(
    client: Client,
    *,
    hostname: str,
    mail_name: str,
    queue_id: str,
    recipient: str,
    date: str,
    tls: TlsInfo | None,
    show_tls: bool,
    show_login: bool,
    smtputf8: bool,
) -> bytes:
    """The field with its CRLF. recipient is named only when it is the only one ("" otherwise)."""
    parts = [f"Received: from {client.helo or client.name} ({client.name} [{address_literal(client.address)}])\r\n\t"]
    if tls is not None and show_tls:
        parts.append(f"(using {tls.protocol} with cipher {tls.cipher} ({tls.bits}/{tls.bits} bits)")
        parts += [f"\r\n\t {words}" for words in (tls.key_exchange, tls.client_signature) if words]
        parts.append(")\r\n\t")
        if tls.peer_certificate is None:
            parts.append("(No client certificate requested)\r\n\t")
        else:
            subject, issuer = common_names(tls.peer_certificate)
            trust = "verified OK" if tls.verified else "not verified"
            parts.append(f'(Client CN "{subject}", Issuer "{issuer}" ({trust}))\r\n\t')
    if client.sasl_username and show_login:
        parts.append(f"(Authenticated sender: {client.sasl_username})\r\n\t")
    word = protocol_word(
        client.protocol, tls=tls is not None, authenticated=bool(client.sasl_username), smtputf8=smtputf8
    )
    parts.append(f"by {hostname} ({mail_name}) with {word}" + (f" id {queue_id}" if queue_id else ""))
    parts.append(f"\r\n\tfor <{quote_address(recipient)}>; {date}\r\n" if recipient else f";\r\n\t{date}\r\n")
    return "".join(parts).encode("utf-8", "surrogateescape")
