"""A client's verified name."""

from pathlib import Path

import pytest

from posthouse.dns.hosts import HostsFile
from posthouse.dns.ptr import ClientName, NameStatus, client_name
from posthouse.dns.resolver import Answer, DnsRetry, Record

POINTERS = {
    "1.2.0.192.in-addr.arpa": "mail.example.com",
    "2.2.0.192.in-addr.arpa": "forged.example.com",
    "3.2.0.192.in-addr.arpa": "retry.example.com",
    "5.2.0.192.in-addr.arpa": "10.0.0.1",
    "6.2.0.192.in-addr.arpa": "nosuch.example.com",
}
ADDRESSES = {"mail.example.com": "192.0.2.1", "forged.example.com": "198.51.100.1"}


class Zone:
    async def query(self, name: str, rtype: str) -> Answer:
        if name.startswith(("retry", "4.2.0.192")):
            raise DnsRetry("try again")
        data = (POINTERS if rtype == "PTR" else ADDRESSES).get(name)
        return Answer((Record(name, rtype, 60, data),)) if data else Answer((), nxdomain=True)


OK, RETRY, FAIL = NameStatus.OK, NameStatus.RETRY, NameStatus.FAIL


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", ClientName("mail.example.com", "mail.example.com", OK, OK)),
        ("192.0.2.2", ClientName("unknown", "forged.example.com", FAIL, OK)),
        ("192.0.2.3", ClientName("unknown", "retry.example.com", RETRY, OK)),
        ("192.0.2.4", ClientName("unknown", "unknown", RETRY, RETRY)),
        ("192.0.2.5", ClientName("unknown", "unknown", FAIL, FAIL)),
        ("192.0.2.6", ClientName("unknown", "nosuch.example.com", FAIL, OK)),
        ("192.0.2.99", ClientName("unknown", "unknown", FAIL, FAIL)),
        ("2001:db8::1", ClientName()),
        ("no address", ClientName()),
    ],
)
async def test_a_name_counts_only_when_it_points_back(address: str, expected: ClientName) -> None:
    assert await client_name(address, Zone()) == expected


async def test_a_name_that_does_not_point_back_is_warned_of() -> None:
    warnings: list[str] = []
    await client_name("192.0.2.2", Zone(), warn=warnings.append)
    await client_name("192.0.2.6", Zone(), warn=warnings.append)
    assert warnings == [
        "hostname forged.example.com does not resolve to address 192.0.2.2",
        "hostname nosuch.example.com does not resolve to address 192.0.2.6: Name or service not known",
    ]


async def test_the_hosts_file_is_asked_first(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    found = await client_name("127.0.0.1", Zone(), hosts=HostsFile(str(path)))
    assert found == ClientName("localhost", "localhost", OK, OK)
