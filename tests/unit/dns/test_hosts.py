"""/etc/hosts."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from posthouse.dns.hosts import HostsFile, parse_hosts


def test_names_and_addresses_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost loop # c\n::1 localhost\nbad line\n192.0.2.1 Mail.example\n")
    hosts = HostsFile(str(path))
    assert hosts.name_of("127.0.0.1") == "localhost"
    assert hosts.addresses_of("LOCALHOST.") == ("127.0.0.1", "::1")
    assert hosts.addresses_of("mail.example") == ("192.0.2.1",)
    assert hosts.name_of("192.0.2.2") == ""


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert HostsFile(str(tmp_path / "none")).name_of("127.0.0.1") == ""


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    parse_hosts(text)
