"""Whether and how the sessions of a listener can be resumed: by tickets only, which need no table.

A listener's tickets are accepted by all of its workers, and across reloads while what it asks of a client's
certificate stays the same: who was not asked for one must not come back as who need not be asked.

Standards: RFC 5077; RFC 8446 section 2.2.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.net.tickets import Tickets, issue_none, issue_tickets

SHORTEST, LONGEST = 120, 100 * 86400
"""Seconds: Postfix's bounds of smtpd_tls_session_cache_timeout."""

OUR_CIPHER = "aes-256-cbc"

CIPHERS = frozenset(f"{name}-{bits}-cbc" for name in ("aes", "camellia", "aria") for bits in (128, 192, 256))
"""What Postfix takes: blocks of 128 bits in CBC mode."""


@dataclass(frozen=True, slots=True)
class TicketSettings:
    """What decides about tickets."""

    smtpd_tls_session_cache_timeout: int
    tls_session_ticket_cipher: str
    smtpd_tls_ask_ccert: bool
    smtpd_tls_req_ccert: bool
    smtpd_tls_CAfile: str
    smtpd_tls_CApath: str


def arrange_tickets(
    context: ssl.SSLContext | None,
    configuration: Configuration,
    tickets: Tickets | None,
    name: str,
    warn: Callable[[str], None],
) -> ssl.SSLContext | None:
    """Set the context of listener `name` up; returns it. Without `tickets` only this process knows its own."""
    if context is None:
        return None
    settings = read_settings(TicketSettings, configuration)
    cipher = settings.tls_session_ticket_cipher.lower()
    timeout = settings.smtpd_tls_session_cache_timeout
    if cipher and cipher not in CIPHERS:
        warn(
            f"tls_session_ticket_cipher: invalid value: {settings.tls_session_ticket_cipher}; session tickets disabled"
        )
    if cipher not in CIPHERS or timeout <= 0 or context.options & ssl.OP_NO_TICKET:
        issue_none(context)
        return context
    if cipher != OUR_CIPHER:
        warn(f"tls_session_ticket_cipher = {settings.tls_session_ticket_cipher}: {OUR_CIPHER} is used")
    issue_tickets(context, 2 * min(max(timeout, SHORTEST), LONGEST))
    asked = (settings.smtpd_tls_ask_ccert, settings.smtpd_tls_req_ccert)
    trusted = (settings.smtpd_tls_CAfile, settings.smtpd_tls_CApath) if any(asked) else ()
    if tickets is not None:
        tickets.share(context, repr((name, asked, trusted, context.verify_mode.name)))
    return context
