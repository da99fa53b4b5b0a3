"""Addresses that are read at a glance are read as any list is."""

from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.message.structure_envelope import MessageAddress, _read_list, parse_addresses

pieces = st.sampled_from(
    [
        b"Joe",
        b" ",
        b"\t",
        b'"',
        b"B. Good",
        b"<",
        b">",
        b"joe",
        b"@",
        b"example.com",
        b".",
        b",",
        b":",
        b";",
        b"(",
        b")",
    ]
    + [b"\\", b"[", b"]", b"\xe9", b"=?utf-8?q?x?=", b"\r\n ", b"a+b_c=d-e", b"@x.test", b"<joe@example.com>", b"'"]
)


@given(st.lists(pieces, max_size=8).map(b"".join))
@example(b"<a@b.test>")
@example(b" Joe  <a@b.test> ")
@example(b'"Joe" x <a@b.test>')
@example(b'""<a@b.test>')
@example(b"a..b@.test.")
@example(b"a@b.test\n")
def test_a_glance_and_a_reading_agree(value: bytes) -> None:
    assert parse_addresses(value) == _read_list(value)


def test_a_plain_address_is_taken_apart() -> None:
    joe = MessageAddress(b"Joe Good", None, b"joe", b"example.com")
    assert parse_addresses(b'"Joe Good" <joe@example.com>') == (joe,) == parse_addresses(b"Joe Good <joe@example.com>")
    assert parse_addresses(b"joe@example.com") == (MessageAddress(None, None, b"joe", b"example.com"),)
