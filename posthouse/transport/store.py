"""The store agent: final delivery into the native mailbox store.

virtual_transport = store gives each address an account of its name; mailbox_transport = store
gives a system user's login one. The fields of a final delivery are put above the content.
Deliveries that wait together share a sync, those of one message's recipients among them.

Standards: RFC 5321 section 4.4 (Return-Path); RFC 3463 (5.1.1, 4.2.2).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from posthouse.envelope.content import Content
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.mailbox.store import Delivered, MailboxFault, Refusal, Refused
from posthouse.mda.copy import delivery_fields
from posthouse.tables.table import TableRetry

AT_ONCE = 50
"""Recipients of a message delivered together: they share a sync; each has the content in memory meanwhile."""


class DeliveryStore(Protocol):
    """The part of a MailStore that takes deliveries."""

    async def deliver(self, account: str, content: Content, *, sender: str = "") -> Delivered | Refused:
        """Durable when it returns."""

    async def close(self) -> None:
        """Let go of every file."""


class StoreAgent:
    """Delivers into a MailStore."""

    def __init__(self, store: DeliveryStore, account_of: Callable[[str], Awaitable[str | None]]) -> None:
        """`account_of`: from a recipient's address to its account, or None when there is none. May raise TableRetry."""
        self._store = store
        self._account_of = account_of

    async def deliver(self, request: DeliveryRequest) -> Sequence[Outcome]:
        """One Outcome per recipient."""
        recipients = request.recipients
        if len(recipients) == 1:
            return [await self._one(request, recipients[0])]
        outcomes: list[Outcome] = []
        for first in range(0, len(recipients), AT_ONCE):
            outcomes += await asyncio.gather(
                *(self._one(request, queued) for queued in recipients[first : first + AT_ONCE])
            )
        return outcomes

    async def _one(self, request: DeliveryRequest, queued: QueuedRecipient) -> Outcome:
        recipient = queued.recipient
        try:
            account = await self._account_of(recipient.address)
        except (TableRetry, OSError) as error:
            return _outcome(queued, Fate.DEFERRED, "4.3.0", f"user lookup error: {error}")
        if account is None:
            return _outcome(queued, Fate.BOUNCED, "5.1.1", f'unknown user: "{recipient.address}"')
        if request.trace_only:
            return _outcome(queued, Fate.DELIVERED, "2.0.0", "delivers to mailbox")
        fields = delivery_fields(request.sender, recipient.original, recipient.address)
        content = Content(fields + request.content.header, request.content.body)
        try:
            answer = await self._store.deliver(account, content, sender=request.sender)
        except MailboxFault as fault:
            return _outcome(queued, Fate.DEFERRED, "4.2.0", f"mailbox {account}: {fault}")
        if isinstance(answer, Delivered):
            return _outcome(queued, Fate.DELIVERED, "2.0.0", "delivered to mailbox")
        if answer.refusal is Refusal.OVER_QUOTA:
            return _outcome(queued, Fate.BOUNCED, "5.2.2", f"mailbox {account}: {answer.text}")
        if answer.refusal is Refusal.LIMIT:
            return _outcome(queued, Fate.BOUNCED, "5.2.3", f"mailbox {account}: {answer.text}")
        return _outcome(queued, Fate.DEFERRED, "4.2.0", f"mailbox {account}: {answer.text}")


def _outcome(queued: QueuedRecipient, fate: Fate, status: str, reason: str) -> Outcome:
    return Outcome(queued.index, fate, Dsn(status, reason), "store")
