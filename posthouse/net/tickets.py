"""Session tickets that every worker of a machine can read, before and after a reload.

The master makes a secret once (net/ticket_secret.py), and children inherit it. From it follow the keys of each
listener. A ticket of the step before is not accepted; its client shakes hands in full.

Standards: RFC 5077; RFC 8446 section 4.6.1 (TLS 1.3 tickets).
"""

import asyncio
import ssl
import time
from collections.abc import Callable

from posthouse.net.openssl import set_session_lifetime, set_ticket_keys
from posthouse.net.ticket_secret import TicketSecret


class Tickets:
    """The contexts of one process whose tickets are everybody's."""

    def __init__(self, secret: TicketSecret, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = secret
        self._clock = clock
        self._contexts: list[tuple[ssl.SSLContext, str]] = []
        self._number = secret.advance(clock())

    def share(self, context: ssl.SSLContext, label: str) -> bool:
        """Give a context the keys of its label, now and at each step. Listeners with one label accept each other's
        tickets. False when this Python cannot: then the process keeps keys of its own."""
        if not set_ticket_keys(context, self._secret.keys(label)):
            return False
        self._contexts.append((context, label))
        return True

    def renew(self) -> None:
        """Go on to the step of this moment."""
        number = self._secret.advance(self._clock())
        if number != self._number:
            self._number = number
            for context, label in self._contexts:
                set_ticket_keys(context, self._secret.keys(label))

    async def renew_forever(self) -> None:
        """At each step."""
        while True:
            await asyncio.sleep(max(0.1, self._secret.until_next(self._clock())))
            self.renew()


def issue_tickets(context: ssl.SSLContext, lifetime: int) -> None:
    """One ticket for each session, good for so many seconds."""
    context.num_tickets = 1
    set_session_lifetime(context, lifetime)


def issue_none(context: ssl.SSLContext) -> None:
    """No tickets."""
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
