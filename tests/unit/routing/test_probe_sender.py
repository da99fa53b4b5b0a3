"""The sender of probes, as Postfix 3.7.11 makes it."""

import pytest

from posthouse.routing.probe_sender import is_probe_sender, probe_sender


def test_the_sender_of_probes() -> None:
    assert probe_sender("<>", 3600, 0.0) == ""
    assert probe_sender("", 0, 0.0) == ""
    assert probe_sender("double-bounce", 0, 5e9) == "double-bounce"


def test_with_a_ttl_the_local_part_changes_with_time() -> None:
    assert probe_sender("double-bounce@example.com", 100, 3100.0) == "double-bounce10@example.com"
    assert probe_sender("double-bounce", 100, 3199.0) == "double-bounce10"
    assert probe_sender("double-bounce", 100, 3200.0) == "double-bounce11"


@pytest.mark.parametrize(
    ("address", "sender", "ttl", "known"),
    [
        ("p10@x.test", "p", 100, True),
        ("P0Z@x.test", "p", 100, False),
        ("pZ@x.test", "p", 100, True),
        ("p11@x.test", "p", 100, True),
        ("p12@x.test", "p", 100, False),
        ("p@x.test", "p", 100, False),
        ("p@x.test", "p", 0, True),
        ("p10@y.test", "p@x.test", 100, False),
        ("p10@X.test", "p@x.test", 100, True),
        ("p10@x.test", "<>", 100, False),
        ("10@x.test", "", 100, False),
        ("p@x.test", "p", 1 << 40, True),
    ],
)
def test_the_senders_before_now_and_next_are_known(address: str, sender: str, ttl: int, known: bool) -> None:
    assert is_probe_sender(address, sender, ttl, 3150.0) is known
