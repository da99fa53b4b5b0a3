"""reject_unverified_*, with a prober in memory."""

from typing import Any

import pytest

from posthouse.policy.restrictions.verify import ProbeResult, ProbeStatus

SAID = "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)"
RESULTS = {
    "bad@relay.example": ProbeResult(ProbeStatus.UNDELIVERABLE, SAID),
    "slow@relay.example": ProbeResult(ProbeStatus.PENDING),
    "later@relay.example": ProbeResult(ProbeStatus.DEFERRED, "connection refused"),
}


class Prober:
    async def probe(self, address: str) -> ProbeResult:
        return RESULTS.get(address, ProbeResult(ProbeStatus.DELIVERABLE))


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("good@relay.example", "ok"),
        (
            "bad@relay.example",
            f"550 5.1.1 <bad@relay.example>: Recipient address rejected: undeliverable address: {SAID}",
        ),
        (
            "slow@relay.example",
            "450 4.1.1 <slow@relay.example>: Recipient address rejected: unverified address: "
            "Address verification in progress",
        ),
        (
            "later@relay.example",
            "450 4.1.1 <later@relay.example>: Recipient address rejected: unverified address: connection refused",
        ),
    ],
)
async def test_a_recipient_is_refused_by_what_the_probe_found(house: Any, recipient: str, reply: str) -> None:
    one = house(
        prober=Prober(),
        smtpd_recipient_restrictions="reject_unverified_recipient",
        unverified_recipient_reject_code="550",
    )
    assert await one.send(recipient=recipient) == reply


async def test_the_operators_reason_takes_the_place_of_the_probes(house: Any) -> None:
    one = house(
        prober=Prober(),
        smtpd_sender_restrictions="reject_unverified_sender",
        unverified_sender_reject_reason="no such sender",
    )
    assert await one.send("bad@relay.example") == (
        "450 4.1.7 <bad@relay.example>: Sender address rejected: unverified address: no such sender"
    )
    assert await one.send("") == "ok"
