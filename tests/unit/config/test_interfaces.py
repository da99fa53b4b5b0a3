import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.interfaces import machine_interfaces, network_of, parse_addresses


@pytest.mark.parametrize(
    ("interface", "style", "network"),
    [
        ("192.0.2.7/24", "subnet", "192.0.2.0/24"),
        ("192.0.2.7/24", "host", "192.0.2.7/32"),
        ("172.16.1.1/24", "class", "172.16.0.0/16"),
        ("10.1.1.1/24", "class", "10.0.0.0/8"),
        ("fd00::2/64", "subnet", "[fd00::]/64"),
        ("fd00::2/64", "host", "[fd00::2]/128"),
    ],
)
def test_networks_are_spelled_as_in_mynetworks(interface: str, style: str, network: str) -> None:
    assert network == network_of(ipaddress.ip_interface(interface), style)


def test_this_machine_has_a_loopback_address() -> None:
    assert any(interface.ip.is_loopback for interface in machine_interfaces())


@given(st.binary(max_size=120))
def test_any_netlink_answer_is_survived(data: bytes) -> None:
    found, _ = parse_addresses(data)
    assert len(found) <= len(data) // 16
