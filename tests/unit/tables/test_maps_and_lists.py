"""Maps in Postfix's search order, and match lists."""

from collections.abc import Callable

import pytest

from posthouse.config.configuration import Configuration
from posthouse.tables.maps import open_maps
from posthouse.tables.match_list import open_client_list, open_match_list
from posthouse.tables.table import TableRetry, drive

Write = Callable[[str, str], str]


@pytest.fixture
def configuration() -> Configuration:
    values = {"myhostname": "mail.example.com", "mydestination": "$myhostname, localhost", "compatibility_level": "3.6"}
    return Configuration("/nonexistent", values, dict.fromkeys(values, "main.cf:1"))


@pytest.mark.parametrize(
    ("address", "value", "extension"),
    [
        ("u+x@ex.com", "full", ""),
        ("U+y@EX.com", "base", "+y"),
        ("root@mail.example.com", "bare", ""),
        ("root+z@localhost", "bare", "+z"),
        ("b+e@localhost", "bare with extension", ""),
        ("root@elsewhere.com", None, ""),
        ("q+r@x.y", "domain", "+r"),
        ("q@x.y", "domain", ""),
        ("u+@ex.com", "base", "+"),
        ("root", "bare", ""),
        ("root+a", "bare", "+a"),
        ("", None, ""),
    ],
)
def test_addresses_are_looked_up_by_parts(
    configuration: Configuration, address: str, value: str | None, extension: str
) -> None:
    rows = "u+x@ex.com=full, u@ex.com=base, root=bare, {b+e=bare with extension}, @x.y=domain"
    maps = open_maps(f"inline:{{{rows}}}", configuration, "virtual_alias_maps")
    found = drive(maps.lookup_address(address, "+"))
    assert (None if found is None else (found[0].value, found[1])) == (None if value is None else (value, extension))


def test_pattern_tables_see_only_whole_addresses(configuration: Configuration, file: Write) -> None:
    path = file("r", "/^@x/ domain\n/^u@x$/ base\n/^w/ whole\n")
    maps = open_maps(f"regexp:{path}", configuration, "virtual_alias_maps")
    assert drive(maps.lookup_address("u+e@x", "+")) is None
    assert drive(maps.lookup_address("w+e@x", "+")) is not None


def test_the_first_table_that_has_a_key_decides(configuration: Configuration) -> None:
    maps = open_maps("inline:{a=1} inline:{a=2,b=3}", configuration, "x_maps")
    assert [row and row.value for row in (drive(maps.lookup("a")), drive(maps.lookup("b")))] == ["1", "3"]
    assert drive(maps.lookup("")) is None
    assert not open_maps("", configuration, "x_maps")


def test_a_table_that_cannot_be_asked_stops_the_search(configuration: Configuration, warnings: list[str]) -> None:
    maps = open_maps("fail:x static:y", configuration, "x_maps")
    with pytest.raises(TableRetry):
        drive(maps.lookup("a"))
    assert warnings == ['fail:x lookup error for "a"']


@pytest.mark.parametrize(
    ("value", "parents", "name", "expected"),
    [
        ("example.com", True, "example.com", "example.com"),
        ("example.com", True, "a.b.EXAMPLE.com", "example.com"),
        ("example.com", True, "badexample.com", None),
        ("example.com", False, "a.example.com", None),
        (".example.com", False, "a.example.com", ".example.com"),
        (".example.com", False, "example.com", None),
        ("!a.example.com, example.com", True, "a.example.com", None),
        ("!a.example.com, example.com", True, "b.example.com", "example.com"),
        ("!!example.com", True, "example.com", "example.com"),
        ("inline:{example.com=x}", True, "a.example.com", "inline:{example.com=x}: example.com -> x"),
        ("inline:{.example.com=x}", False, "a.example.com", "inline:{.example.com=x}: .example.com -> x"),
        ("inline:{example.com=x}", False, "a.example.com", None),
        ("static:all", True, "x", "static:all: x -> all"),
        ("[1.2.3.4], [IPv6:::1]", False, "[1.2.3.4]", "[1.2.3.4]"),
        ("[1.2.3.4], [IPv6:::1]", False, "[ipv6:::1]", "[IPv6:::1]"),
        ("1.2.3.4/8, a.example", False, "a.example", "a.example"),
        ("example.com.", False, "example.com", "example.com."),
        ("", True, "x", None),
    ],
)
def test_domains(configuration: Configuration, value: str, parents: bool, name: str, expected: str | None) -> None:
    found = open_match_list(value, configuration, "relay_domains", parent_domains=parents)
    assert drive(found.matches(name)) == expected


@pytest.mark.parametrize(
    ("value", "address", "expected"),
    [
        ("127.0.0.0/8", "127.1.2.3", "127.0.0.0/8"),
        ("127.0.0.0/8", "128.0.0.1", None),
        ("!10.0.0.1, 10.0.0.0/8", "10.0.0.1", None),
        ("!10.0.0.1, 10.0.0.0/8", "10.0.0.2", "10.0.0.0/8"),
        ("1.2.3.4", "1.2.3.4", "1.2.3.4"),
        ("[::1]", "::1", "[::1]"),
        ("[2001:db8::]/32", "2001:db8:1::1", "[2001:db8::]/32"),
        ("[::1]/128", "::1", "[::1]/128"),
        ("[::]/0", "1.2.3.4", None),
        ("inline:{1.2.3.4=OK}", "1.2.3.4", "inline:{1.2.3.4=OK}: 1.2.3.4 -> OK"),
        ("inline:{1.2.3.4=REJECT}, 1.2.3.0/24", "1.2.3.4", None),
        ("inline:{{1.2.3.4=reject no}}, 1.2.3.0/24", "1.2.3.5", "1.2.3.0/24"),
        ("host.example.com", "9.9.9.9", "host.example.com"),
        ("example.com", "9.9.9.9", "example.com"),
    ],
)
def test_clients(configuration: Configuration, value: str, address: str, expected: str | None) -> None:
    found = open_client_list(value, configuration, "mynetworks")
    assert drive(found.matches("host.example.com", address)) == expected


def test_files_of_patterns(configuration: Configuration, file: Write, warnings: list[str]) -> None:
    inner = file("inner", "c.example\n")
    path = file("list", f"# ours\na.example,\n  b.example !d.example\n{inner}\n")
    found = open_match_list(path, configuration, "mydestination", parent_domains=False)
    assert drive(found.matches("b.example")) == f"b.example ({path}, line 2)"
    assert drive(found.matches("c.example")) == f"c.example ({inner}, line 1)"
    assert drive(found.matches("d.example")) is None
    turned = open_match_list(f"!{path} static:x", configuration, "mydestination", parent_domains=False)
    assert drive(turned.matches("a.example")) is None
    assert drive(turned.matches("d.example")) is not None


@pytest.mark.parametrize("value", ["/nonexistent/list", "10.0.0.1/8", "hash:/nonexistent/t"])
def test_what_cannot_be_read_means_try_later(configuration: Configuration, warnings: list[str], value: str) -> None:
    found = open_client_list(value, configuration, "mynetworks")
    with pytest.raises(TableRetry):
        drive(found.matches("x.example", "1.2.3.4"))
    assert len(warnings) in (1, 3)


def test_files_that_name_each_other_are_found_out(configuration: Configuration, file: Write) -> None:
    path = file("list", "")
    file("list", path)
    found = open_match_list(path, configuration, "mydestination", parent_domains=False)
    with pytest.raises(TableRetry, match="name each other"):
        drive(found.matches("x"))
