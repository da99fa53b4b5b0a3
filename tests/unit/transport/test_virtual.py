"""virtual(8)'s probes: what would become of an address, without a hand's errand."""

from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Recipient
from posthouse.envelope.outcome import Fate
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.tables.maps import Maps
from posthouse.tables.table import Row, TableRetry
from posthouse.transport.hands import Errand, Report
from posthouse.transport.virtual import VirtualAgent

BOXES = {"ann@virt.test": "ann/", "joe@virt.test": "joe", "@all.test": "all/"}


class Rows:
    name = "fake:boxes"
    whole_key = True

    async def lookup(self, key: str) -> Row | None:
        if key == "broken@virt.test":
            raise TableRetry("no answer")
        value = BOXES.get(key)
        return None if value is None else Row(value, self.name, key)

    def close(self) -> None: ...


class NoHands:
    async def run(self, errand: Errand, content: Content) -> Report:
        raise AssertionError("a probe delivers nothing")


async def probe(*addresses: str) -> list[tuple[Fate, str, str]]:
    agent = VirtualAgent("virtual", NoHands(), Maps("virtual_mailbox_maps", [Rows()]), "+")
    request = DeliveryRequest(
        "0123456789",
        0.0,
        "s@x.test",
        tuple(QueuedRecipient(i, Recipient(address)) for i, address in enumerate(addresses)),
        "virtual",
        "virt.test",
        Content(b"", MemoryBody(b"")),
        LOCAL_CLIENT,
        trace_only=True,
    )
    outcomes = await agent.deliver(request)
    assert [outcome.index for outcome in outcomes] == list(range(len(addresses)))
    return [(outcome.fate, outcome.dsn.status, outcome.dsn.reason) for outcome in outcomes]


async def test_a_probe_says_what_kind_of_mailbox_it_would_be() -> None:
    assert await probe("ann@virt.test", "joe+list@virt.test", "anybody@all.test") == [
        (Fate.DELIVERED, "2.0.0", "delivers to maildir"),
        (Fate.DELIVERED, "2.0.0", "delivers to mailbox"),
        (Fate.DELIVERED, "2.0.0", "delivers to maildir"),
    ]


async def test_a_probe_of_nobody_bounces() -> None:
    assert await probe("gone@virt.test") == [(Fate.BOUNCED, "5.1.1", 'unknown user: "gone@virt.test"')]


async def test_a_probe_defers_when_the_table_does_not_answer() -> None:
    assert await probe("broken@virt.test") == [
        (Fate.DEFERRED, "4.3.5", "mail system configuration error"),
    ]
