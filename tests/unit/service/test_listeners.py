"""Where the system listens, as inet_interfaces, inet_protocols and master.cf say."""

import os
import socket
import stat
from pathlib import Path

import pytest

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service, read_master_cf
from posthouse.host.interfaces import InterfaceAddress
from posthouse.service import listeners
from posthouse.service.listeners import Endpoint, bind, own_addresses, service_endpoints

CARRIED = (
    InterfaceAddress("lo", "127.0.0.1", 8, True),
    InterfaceAddress("lo", "::1", 128, True),
    InterfaceAddress("eth0", "192.0.2.7", 24, False),
    InterfaceAddress("eth0", "2001:db8::7", 64, False),
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "interface_addresses", lambda: CARRIED)


def service(tmp_path: Path, name: str, kind: str = "inet") -> Service:
    master = tmp_path / "master.cf"
    master.write_text(f"\n{name} {kind} n - n - - smtpd\n")
    (found,) = read_master_cf(str(master))
    return found


def endpoints(tmp_path: Path, name: str, **values: str) -> list[str]:
    configuration = Configuration(str(tmp_path), {"inet_protocols": "all", **values})
    return [f"{e.host} {e.port}" for e in service_endpoints(service(tmp_path, name), configuration)]


@pytest.mark.parametrize(
    ("interfaces", "protocols", "expected"),
    [
        ("all", "all", ["0.0.0.0 2525", ":: 2525"]),
        ("all", "ipv4", ["0.0.0.0 2525"]),
        ("all", "ipv6", [":: 2525"]),
        ("all", "ipv4, ipv6", ["0.0.0.0 2525", ":: 2525"]),
        ("loopback-only", "all", ["127.0.0.1 2525", "::1 2525"]),
        ("loopback-only", "ipv4", ["127.0.0.1 2525"]),
        ("127.0.0.3", "all", ["127.0.0.3 2525"]),
        ("[::1], 127.0.0.1", "all", ["::1 2525", "127.0.0.1 2525"]),
        ("127.0.0.1 127.0.0.1", "all", ["127.0.0.1 2525"]),
        ("::1", "ipv4", []),
    ],
)
def test_a_port_alone_listens_where_inet_interfaces_says(
    tmp_path: Path, interfaces: str, protocols: str, expected: list[str]
) -> None:
    assert endpoints(tmp_path, "2525", inet_interfaces=interfaces, inet_protocols=protocols) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("127.0.0.3:25", ["127.0.0.3 25"]),
        ("127.0.0.3:smtp", ["127.0.0.3 25"]),
        ("[::1]:2525", ["::1 2525"]),
        ("[127.0.0.2]:2525", ["127.0.0.2 2525"]),
        (":2525", ["0.0.0.0 2525", ":: 2525"]),
        ("smtp", ["0.0.0.0 25", ":: 25"]),
    ],
)
def test_a_service_may_name_its_address(tmp_path: Path, name: str, expected: list[str]) -> None:
    assert endpoints(tmp_path, name, inet_interfaces="all") == expected


def test_a_named_address_is_heard_whatever_inet_interfaces_says(tmp_path: Path) -> None:
    assert endpoints(tmp_path, "127.0.0.3:25", inet_interfaces="loopback-only") == ["127.0.0.3 25"]


def test_a_service_of_type_unix_listens_nowhere(tmp_path: Path) -> None:
    configuration = Configuration(str(tmp_path), {})
    assert service_endpoints(service(tmp_path, "relay", "unix"), configuration) == ()


def test_an_unknown_port_name_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 2: .*no-such-port/tcp"):
        endpoints(tmp_path, "127.0.0.1:no-such-port")


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown inet_protocols value "ipv5" in "ipv4 ipv5"'):
        endpoints(tmp_path, "2525", inet_protocols="ipv4, ipv5")


@pytest.mark.parametrize(
    ("interfaces", "proxies", "expected"),
    [
        ("all", "", {"127.0.0.1", "::1", "192.0.2.7", "2001:db8::7"}),
        ("loopback-only", "", {"127.0.0.1", "::1"}),
        ("127.0.0.3", "", {"127.0.0.3"}),
        ("loopback-only", "198.51.100.1", {"127.0.0.1", "::1", "198.51.100.1"}),
    ],
)
def test_ours_is_what_interfaces_carry(tmp_path: Path, interfaces: str, proxies: str, expected: set[str]) -> None:
    values = {"inet_interfaces": interfaces, "proxy_interfaces": proxies, "inet_protocols": "all"}
    assert own_addresses(Configuration(str(tmp_path), values)) == expected


def test_two_workers_share_an_address_and_strangers_do_not() -> None:
    first = bind(Endpoint("127.0.0.1", 0), shared=True)
    port = first.getsockname()[1]
    second = bind(Endpoint("127.0.0.1", port), shared=True)
    with pytest.raises(OSError, match="in use"):
        bind(Endpoint("127.0.0.1", port), shared=False)
    first.close()
    second.close()


def test_a_connection_is_accepted() -> None:
    listening = bind(Endpoint("127.0.0.1", 0), shared=True)
    with listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        listening.accept()[0].close()


def test_a_path_is_bound_over_a_dead_socket_and_over_nothing_else(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    bind(Endpoint(path, 0), shared=False).close()
    bind(Endpoint(path, 0), shared=False).close()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    other = tmp_path / "file"
    other.write_text("kept")
    with pytest.raises(OSError, match="in use"):
        bind(Endpoint(str(other), 0), shared=False)
    assert other.read_text() == "kept"
