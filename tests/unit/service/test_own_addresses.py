"""Which addresses are ours."""

import pytest

from posthouse.config.configuration import Configuration
from posthouse.host.interfaces import InterfaceAddress
from posthouse.service import listeners


@pytest.mark.parametrize("interfaces", ["all", "loopback-only"])
def test_addresses_of_a_protocol_that_is_off_are_not_ours(interfaces: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [InterfaceAddress("lo", "127.0.0.1", 8, True), InterfaceAddress("lo", "::1", 128, True)]
    monkeypatch.setattr(listeners, "interface_addresses", lambda: both)
    values = {"inet_interfaces": interfaces, "inet_protocols": "ipv4"}
    assert listeners.own_addresses(Configuration("/nowhere", values)) == {"127.0.0.1"}
