"""The store agent: recipients of one message go together, and each gets its own outcome."""

import asyncio

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Client, Recipient
from posthouse.envelope.outcome import Fate
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.mailbox.store import Delivered, MailboxFault, Refusal, Refused
from posthouse.transport import store
from posthouse.transport.store import StoreAgent


class Together:
    """A DeliveryStore that answers once so many deliveries wait."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting = asyncio.Event()
        self.accounts: list[str] = []
        self.fields: list[bytes] = []

    async def deliver(self, account: str, content: Content, *, sender: str = "") -> Delivered | Refused:
        self.accounts.append(account)
        self.fields.append(content.header)
        if len(self.accounts) % self._number == 0:
            self._waiting.set()
        await self._waiting.wait()
        if account == "full@x":
            return Refused(Refusal.OVER_QUOTA, "Quota exceeded")
        if account == "broken@x":
            raise MailboxFault("disk I/O error")
        return Delivered("INBOX", 1, 1, False)

    async def close(self) -> None:
        """Nothing is held."""


async def account_of(address: str) -> str | None:
    return None if address == "nobody@x" else address


def request(*addresses: str) -> DeliveryRequest:
    recipients = tuple(QueuedRecipient(number, Recipient(each)) for number, each in enumerate(addresses))
    content = Content(b"Subject: x\r\n", MemoryBody(b"body\r\n"))
    return DeliveryRequest("ABC", 0.0, "a@b", recipients, "store", "x", content, Client())


async def test_recipients_of_one_message_wait_together_and_have_their_own_outcomes() -> None:
    mailboxes = Together(3)
    outcomes = await StoreAgent(mailboxes, account_of).deliver(request("a@x", "full@x", "nobody@x", "broken@x"))
    assert [(each.index, each.fate, each.dsn.status) for each in outcomes] == [
        (0, Fate.DELIVERED, "2.0.0"),
        (1, Fate.BOUNCED, "5.2.2"),
        (2, Fate.BOUNCED, "5.1.1"),
        (3, Fate.DEFERRED, "4.2.0"),
    ]
    assert mailboxes.fields[0] == b"Return-Path: <a@b>\r\nDelivered-To: a@x\r\nSubject: x\r\n"


async def test_not_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "AT_ONCE", 2)
    mailboxes = Together(2)
    outcomes = await StoreAgent(mailboxes, account_of).deliver(request("a@x", "b@x", "c@x", "d@x"))
    assert [each.index for each in outcomes] == [0, 1, 2, 3]
