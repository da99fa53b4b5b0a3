"""Senders with their recipients in them, as Postfix 3.7.11 makes them."""

import pytest

from posthouse.address.verp import verp_sender


@pytest.mark.parametrize(
    ("sender", "delimiters", "recipient", "made"),
    [
        ("me@s.test", "+=", "a@x.test", "me+a=x.test@s.test"),
        ("me@s.test", "-=", "all@x.test", "me-all=x.test@s.test"),
        ("me@s.test", "+=", "q b@x.test", "me+q b=x.test@s.test"),
        ("me", "+=", "a@x.test", "me+a=x.test"),
        ("me@s.test", "+=", "a", "me+a@s.test"),
        ("", "+=", "a@x.test", ""),
    ],
)
def test_the_recipient_becomes_part_of_the_sender(sender: str, delimiters: str, recipient: str, made: str) -> None:
    assert verp_sender(sender, delimiters, recipient) == made
