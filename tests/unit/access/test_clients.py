"""Client addresses: connections and failed logins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.access import clients as clients_module
from posthouse.access.clients import Clients


def test_a_failure_is_forgotten_after_ten_minutes_and_a_64_counts_as_one() -> None:
    now = 1000.0
    clients = Clients(lambda: now)
    assert [clients.failed("2001:db8::1"), clients.failed("2001:db8::2"), clients.failed("192.0.2.1")] == [
        1.0,
        2.0,
        1.0,
    ]
    now += 601
    assert clients.failed("2001:db8::3") == 1.0


def test_connections_are_counted_while_they_are_open() -> None:
    clients = Clients(lambda: 0.0)
    assert [clients.connected(f"192.0.2.{number}", "imap") for number in (1, 1, 2)] == [1, 2, 1]
    assert clients.connected("192.0.2.1", "pop3") == 1
    clients.disconnected("192.0.2.1", "imap")
    assert clients.connected("192.0.2.1", "imap") == 2


def test_addresses_without_a_connection_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_module, "ADDRESSES_KEPT", 4)
    now = 0.0
    clients = Clients(lambda: now)
    for number in range(1, 5):
        now += 1
        clients.failed(f"192.0.2.{number}")
    clients.connected("192.0.2.1", "imap")
    clients.failed("192.0.2.5")
    assert [clients.failed(f"192.0.2.{number}") for number in (1, 2, 4)] == [2.0, 1.0, 2.0]


@given(st.lists(st.tuples(st.sampled_from(["192.0.2.1", "2001:db8::1", "x"]), st.sampled_from(["imap", "pop3"]))))
def test_nothing_is_kept_of_clients_that_went(visits: list[tuple[str, str]]) -> None:
    clients = Clients(lambda: 0.0)
    for visit in visits:
        clients.connected(*visit)
    for visit in reversed(visits):
        clients.disconnected(*visit)
    assert clients._known == {}
