"""Name servers from dns_servers and from resolv.conf."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.dns.servers import SystemServers, parse_resolv_conf, parse_server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_a_server_is_an_address_with_or_without_port(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize("text", ["", "ns.example.com", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:x", "[::1", "[::1]5"])
def test_a_bad_server_is_refused(text: str) -> None:
    if text == "192.0.2.1:":
        assert parse_server(text) == ("192.0.2.1", 53)
        return
    with pytest.raises(ValueError, match="name server"):
        parse_server(text)


def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nnameserver 192.0.2.1\noptions timeout:1 attempts:3\n")
    now = [0.0]
    servers = SystemServers(str(path), lambda: now[0])
    assert servers.current().servers == (("192.0.2.1", 53),)
    assert (servers.current().timeout, servers.current().attempts) == (1.0, 3)
    path.write_text("nameserver 192.0.2.22\n")
    os.utime(path, ns=(1, 1))
    assert servers.current().servers == (("192.0.2.1", 53),)
    now[0] += 2
    assert servers.current().servers == (("192.0.2.22", 53),)
    path.unlink()
    now[0] += 2
    assert servers.current().servers == (("127.0.0.1", 53),)


@given(st.text())
def test_any_text_gives_servers(text: str) -> None:
    assert parse_resolv_conf(text).servers
