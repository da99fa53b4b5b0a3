"""The agent that throws mail away."""

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Recipient
from posthouse.envelope.outcome import Fate
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.transport.discard import DiscardAgent


async def test_discarded_mail_is_done_and_says_why():
    content = Content(b"", MemoryBody(b""))
    recipients = (QueuedRecipient(0, Recipient("a@x")),)
    request = DeliveryRequest("Q", 1.0, "s@x", recipients, "discard", "silently", content, LOCAL_CLIENT)
    (outcome,) = await DiscardAgent().deliver(request)
    assert (outcome.fate, outcome.relay, outcome.dsn.reason) == (Fate.DELIVERED, "none", "silently")


async def test_a_code_of_another_class_is_not_believed():
    content = Content(b"", MemoryBody(b""))
    recipients = (QueuedRecipient(0, Recipient("a@x")),)
    request = DeliveryRequest("Q", 1.0, "s@x", recipients, "discard", "5.7.7 away", content, LOCAL_CLIENT)
    (outcome,) = await DiscardAgent().deliver(request)
    assert (outcome.dsn.status, outcome.dsn.reason) == ("2.0.0", "away")
