"""DNS messages, both ways, against dnspython and against any bytes."""

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.dns import AD, QR, RA, Message, Question, Resource, encode_message, encode_query, parse_message
from posthouse.wire.dns_name import DnsFormatError, split_labels

RECORDS = [
    Resource("mail.example.com", "A", 300, "192.0.2.1"),
    Resource("mail.example.com", "AAAA", 300, "2001:db8::1"),
    Resource("example.com", "MX", 60, "mail.example.com", 10),
    Resource("example.com", "MX", 60, "", 0),
    Resource("example.com", "NS", 60, "ns.example.com"),
    Resource("www.example.com", "CNAME", 60, "example.com"),
    Resource("1.2.0.192.in-addr.arpa", "PTR", 60, "mail.example.com"),
    Resource("example.com", "TXT", 60, "v=spf1 " + "x" * 400),
    Resource("_submission._tcp.example.com", "SRV", 60, "0 1 587 mail.example.com"),
    Resource("_25._tcp.mail.example.com", "TLSA", 60, "3 1 1 " + "00ff" * 16),
    Resource("example.com", "SOA", 60, "ns.example.com root.example.com 1 2 3 4 5"),
    Resource("example.com", "TYPE99", 60, "\\# 2 abcd"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.rtype)
def test_a_record_survives_the_wire(record: Resource) -> None:
    message = Message(7, QR | RA | AD, 0, (Question(record.name, record.rtype),), (record,))
    assert parse_message(encode_message(message)) == message


@pytest.mark.parametrize("record", [r for r in RECORDS if r.rtype not in ("TXT", "TYPE99")], ids=lambda r: r.rtype)
def test_dnspython_reads_the_same_record(record: Resource) -> None:
    parsed = dns.message.from_wire(encode_message(Message(7, QR, 0, (), (record,))))
    data = record.data
    if record.rtype == "MX":
        data = f"{record.preference} {data or '.'}"
    if record.rtype in ("MX", "NS", "CNAME", "PTR", "SRV") and not data.endswith("."):
        data += "."
    if record.rtype == "SOA":
        data = data.replace("com ", "com. ")
    assert parsed.answer == [dns.rrset.from_text(record.name + ".", record.ttl, "IN", record.rtype, data)]


def test_a_query_asks_for_recursion_with_edns() -> None:
    query = dns.message.from_wire(encode_query(258, "example.com", "MX", dnssec_ok=True))
    assert (query.id, query.edns, query.payload, bool(query.ednsflags & 0x8000)) == (258, 0, 1232, True)
    assert query.question[0].to_text() == "example.com. IN MX"


def test_an_odd_label_is_escaped_and_survives() -> None:
    record = Resource(r"a\.b.c\\d.\000.example", "CNAME", 1, r"\255.example")
    assert parse_message(encode_message(Message(1, QR, 0, (), (record,)))).answers == (record,)


def test_a_pointer_loop_is_an_error() -> None:
    data = encode_query(1, "example.com", "A", payload_size=0)
    with pytest.raises(DnsFormatError):
        parse_message(data[:12] + b"\xc0\x0c" + data[-4:])


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5), "\\"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(DnsFormatError):
        split_labels(name)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_a_format_error(data: bytes) -> None:
    try:
        message = parse_message(data)
    except DnsFormatError:
        return
    assert message.ident == int.from_bytes(data[:2], "big")


@given(st.integers(0, 200), st.integers(0, 255), st.sampled_from(RECORDS))
def test_a_damaged_message_gives_a_message_or_a_format_error(place: int, octet: int, record: Resource) -> None:
    data = bytearray(encode_message(Message(1, QR, 0, (Question("example.com", "A"),), (record, RECORDS[2]))))
    data[place % len(data)] = octet
    try:
        parse_message(bytes(data))
    except DnsFormatError:
        pass
