"""The reason agents: error, retry."""

import pytest

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Recipient
from posthouse.envelope.outcome import Fate
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.transport.error import ErrorAgent


def request(nexthop: str) -> DeliveryRequest:
    recipients = (QueuedRecipient(3, Recipient("a@x")), QueuedRecipient(5, Recipient("b@x")))
    return DeliveryRequest("Q", 1.0, "s@x", recipients, "error", nexthop, Content(b"", MemoryBody(b"")), LOCAL_CLIENT)


@pytest.mark.parametrize(
    ("retry", "nexthop", "fate", "status", "reason"),
    [
        (False, "mailbox closed", Fate.BOUNCED, "5.0.0", "mailbox closed"),
        (False, "5.1.1 no such user", Fate.BOUNCED, "5.1.1", "no such user"),
        (False, "4.2.0 not now", Fate.BOUNCED, "5.0.0", "not now"),
        (False, "5.1.1", Fate.BOUNCED, "5.1.1", ""),
        (False, "5.1.x odd", Fate.BOUNCED, "5.0.0", "5.1.x odd"),
        (True, "down", Fate.DEFERRED, "4.0.0", "down"),
        (True, "4.3.2 down", Fate.DEFERRED, "4.3.2", "down"),
        (True, "5.3.2 down", Fate.DEFERRED, "4.0.0", "down"),
    ],
)
async def test_the_nexthop_is_the_reason(retry, nexthop, fate, status, reason):
    outcomes = await ErrorAgent(retry=retry).deliver(request(nexthop))
    assert [o.index for o in outcomes] == [3, 5]
    assert {(o.fate, o.dsn.status, o.dsn.reason, o.relay) for o in outcomes} == {(fate, status, reason, "none")}
