"""DNS messages: bytes to values and back, both sides, without I/O.

parse_message() undoes encode_message(). Names are str in presentation form without the final
dot: bytes that are no printable ASCII, dots and backslashes inside a label are escaped as
RFC 1035 section 5.1 says. The data of a record is presentation form too (see `Resource`).
For all bytes parse_message() gives a Message or raises DnsFormatError, in linear time: each
compression pointer must lead backwards, and a name has at most 255 octets.

Standards: RFC 1035 section 4 (messages); RFC 3596 (AAAA); RFC 2782 (SRV); RFC 6698 section 2.1 (TLSA);
RFC 6891 (EDNS0); RFC 3225 (DO); RFC 4035 section 3.2.3 (AD).
"""

from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from posthouse.wire.dns_name import DnsFormatError, read_name, split_labels

RTYPES: dict[str, int] = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "DNAME": 39,
    "OPT": 41,
    "TLSA": 52,
    "ANY": 255,
}
RTYPE_NAMES = {number: name for name, number in RTYPES.items()}

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

CLASS_IN = 1
MESSAGE_LIMIT = 65_535
"""RFC 1035 section 4.2.2: what a length in two octets can say."""
RECORD_LIMIT = 4_000
"""Records taken from one message; a message within MESSAGE_LIMIT cannot hold more that mean anything."""

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
"""RFC 1035 section 4.1.1 and RFC 4035 section 3.2: the bits of the flags word."""
EDNS_DO = 0x8000


@dataclass(frozen=True, slots=True)
class Question:
    """RFC 1035 section 4.1.2."""

    name: str
    rtype: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource record, RFC 1035 section 4.1.3.

    data: A and AAAA an address; NS, CNAME, DNAME, PTR, MX a name; TXT its strings joined; SRV "priority weight
    port target"; TLSA "usage selector matching hex"; SOA "mname rname serial refresh retry expire minimum";
    others RFC 3597 form, "\\# length hex".
    """

    name: str
    rtype: str
    ttl: int
    data: str
    preference: int = 0
    """MX only."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, RFC 1035 section 4.1. The OPT record of EDNS0 is told by payload_size and dnssec_ok."""

    ident: int
    flags: int = 0
    rcode: int = NOERROR
    questions: tuple[Question, ...] = field(default=())
    answers: tuple[Resource, ...] = field(default=())
    authority: tuple[Resource, ...] = field(default=())
    additional: tuple[Resource, ...] = field(default=())
    payload_size: int = 0
    """RFC 6891 section 6.2.3; 0: the message has no OPT record."""
    dnssec_ok: bool = False


def encode_query(ident: int, name: str, rtype: str, *, payload_size: int = 1232, dnssec_ok: bool = False) -> bytes:
    """A recursive query. AD asks that the answer's AD bit mean something (RFC 6840 section 5.7)."""
    return encode_message(
        Message(ident, RD | AD, questions=(Question(name, rtype),), payload_size=payload_size, dnssec_ok=dnssec_ok)
    )


def type_number(rtype: str) -> int:
    """The number of a type name; TYPE123 as RFC 3597 section 5 writes it."""
    number = RTYPES.get(rtype)
    if number is None:
        digits = rtype[4:]
        if not rtype.startswith("TYPE") or not digits.isascii() or not digits.isdigit() or int(digits) > 0xFFFF:
            raise DnsFormatError(f"unknown record type {rtype}")
        number = int(digits)
    return number


class _Writer:
    """A message being written, with the places where names stand (for compression)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.places: dict[tuple[bytes, ...], int] = {}

    def number(self, value: int, octets: int) -> None:
        try:
            self.data += value.to_bytes(octets, "big")
        except OverflowError as error:
            raise DnsFormatError(f"number out of range: {value}") from error

    def name(self, name: str, *, compress: bool = True) -> None:
        labels = split_labels(name)
        for i in range(len(labels)):
            rest = tuple(label.lower() for label in labels[i:])
            place = self.places.get(rest)
            if place is not None and compress:
                self.number(0xC000 | place, 2)
                return
            if place is None and len(self.data) < 0x4000:
                self.places[rest] = len(self.data)
            self.data.append(len(labels[i]))
            self.data += labels[i]
        self.data.append(0)


def _fields(data: str, count: int) -> list[str]:
    fields = data.split()
    if len(fields) != count:
        raise DnsFormatError(f"expected {count} fields in record data: {data[:100]}")
    return fields


def _integer(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise DnsFormatError(f"not a number in record data: {text[:20]}")
    return int(text)


def _write_data(writer: _Writer, record: Resource) -> None:
    rtype, data = record.rtype, record.data
    if rtype in ("A", "AAAA"):
        try:
            writer.data += (IPv4Address(data) if rtype == "A" else IPv6Address(data)).packed
        except AddressValueError as error:
            raise DnsFormatError(str(error)) from error
    elif rtype in ("NS", "CNAME", "PTR", "DNAME"):
        writer.name(data, compress=rtype != "DNAME")
    elif rtype == "MX":
        writer.number(record.preference, 2)
        writer.name(data)
    elif rtype == "TXT":
        raw = data.encode("utf-8", "surrogateescape")
        for i in range(0, len(raw) or 1, 255):
            piece = raw[i : i + 255]
            writer.data.append(len(piece))
            writer.data += piece
    elif rtype == "SRV":
        *numbers, target = _fields(data, 4)
        for number in numbers:
            writer.number(_integer(number), 2)
        writer.name(target, compress=False)
    elif rtype == "TLSA":
        *numbers, digest = _fields(data, 4)
        for number in numbers:
            writer.number(_integer(number), 1)
        writer.data += _unhex(digest)
    elif rtype == "SOA":
        mname, rname, *numbers = _fields(data, 7)
        writer.name(mname)
        writer.name(rname)
        for number in numbers:
            writer.number(_integer(number), 4)
    else:
        fields = data.split()
        if len(fields) not in (2, 3) or fields[0] != "\\#":
            raise DnsFormatError(f"data of type {rtype} is not in RFC 3597 form")
        writer.data += _unhex(fields[2] if len(fields) == 3 else "")


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise DnsFormatError(f"bad hexadecimal data: {text[:20]}") from error


def _read_data(message: bytes, rtype: str, start: int, end: int) -> tuple[str, int]:
    """Data in presentation form, and the preference."""
    if rtype in ("A", "AAAA"):
        if end - start != (4 if rtype == "A" else 16):
            raise DnsFormatError(f"{rtype} record with {end - start} octets")
        raw = message[start:end]
        return str(IPv4Address(raw) if rtype == "A" else IPv6Address(raw)), 0
    if rtype in ("NS", "CNAME", "PTR", "DNAME"):
        return _whole_name(message, start, end), 0
    if rtype == "MX":
        return _whole_name(message, start + 2, end), int.from_bytes(message[start : start + 2], "big")
    if rtype == "TXT":
        pieces = bytearray()
        while start < end:
            length = message[start]
            if start + 1 + length > end:
                raise DnsFormatError("TXT string runs out of its record")
            pieces += message[start + 1 : start + 1 + length]
            start += 1 + length
        return pieces.decode("utf-8", "surrogateescape"), 0
    if rtype == "SRV":
        if end - start < 7:
            raise DnsFormatError("short SRV record")
        numbers = [int.from_bytes(message[i : i + 2], "big") for i in range(start, start + 6, 2)]
        target = _whole_name(message, start + 6, end)
        return f"{numbers[0]} {numbers[1]} {numbers[2]} {target or '.'}", 0
    if rtype == "TLSA":
        if end - start < 4:
            raise DnsFormatError("short TLSA record")
        return f"{message[start]} {message[start + 1]} {message[start + 2]} {message[start + 3 : end].hex()}", 0
    if rtype == "SOA":
        mname, start = read_name(message, start)
        rname, start = read_name(message, start)
        if end - start != 20:
            raise DnsFormatError("SOA record of a wrong length")
        numbers = [int.from_bytes(message[i : i + 4], "big") for i in range(start, end, 4)]
        return f"{mname or '.'} {rname or '.'} {' '.join(map(str, numbers))}", 0
    return f"\\# {end - start} {message[start:end].hex()}".rstrip(), 0


def _whole_name(message: bytes, start: int, end: int) -> str:
    name, after = read_name(message, start)
    if after != end:
        raise DnsFormatError("name and record end at different places")
    return name


# --- messages


def encode_message(message: Message) -> bytes:
    """The bytes of a message, names compressed. Raises DnsFormatError when a value does not fit."""
    writer = _Writer()
    counts = (
        len(message.questions),
        len(message.answers),
        len(message.authority),
        len(message.additional) + (message.payload_size > 0),
    )
    writer.number(message.ident, 2)
    writer.number(message.flags & 0xFFF0 & ~0x7800 | message.rcode & 0xF, 2)
    for count in counts:
        writer.number(count, 2)
    for question in message.questions:
        writer.name(question.name)
        writer.number(type_number(question.rtype), 2)
        writer.number(CLASS_IN, 2)
    for record in (*message.answers, *message.authority, *message.additional):
        writer.name(record.name)
        writer.number(type_number(record.rtype), 2)
        writer.number(CLASS_IN, 2)
        writer.number(record.ttl, 4)
        place = len(writer.data)
        writer.number(0, 2)
        _write_data(writer, record)
        length = len(writer.data) - place - 2
        if length > 0xFFFF:
            raise DnsFormatError("record too long")
        writer.data[place : place + 2] = length.to_bytes(2, "big")
    if message.payload_size:
        # RFC 6891 section 6.1.2: root name, type 41, payload size, extended rcode, version, flags, no options.
        writer.data.append(0)
        writer.number(RTYPES["OPT"], 2)
        writer.number(message.payload_size, 2)
        writer.number((message.rcode >> 4) << 24 | (EDNS_DO if message.dnssec_ok else 0), 4)
        writer.number(0, 2)
    if len(writer.data) > MESSAGE_LIMIT:
        raise DnsFormatError("message too long")
    return bytes(writer.data)


def parse_message(data: bytes) -> Message:
    """The message in the bytes. Records of a class other than IN are left out. Raises DnsFormatError."""
    if len(data) < 12:
        raise DnsFormatError("shorter than a header")
    ident, flags, questions, *counts = (int.from_bytes(data[i : i + 2], "big") for i in range(0, 12, 2))
    if questions + sum(counts) > RECORD_LIMIT:
        raise DnsFormatError("too many records")
    offset = 12
    asked: list[Question] = []
    for _ in range(questions):
        name, offset = read_name(data, offset)
        if offset + 4 > len(data):
            raise DnsFormatError("question runs out of the message")
        asked.append(Question(name, _type_name(int.from_bytes(data[offset : offset + 2], "big"))))
        offset += 4
    rcode = flags & 0xF
    payload_size, dnssec_ok = 0, False
    sections: list[tuple[Resource, ...]] = []
    for count in counts:
        records: list[Resource] = []
        for _ in range(count):
            name, offset = read_name(data, offset)
            if offset + 10 > len(data):
                raise DnsFormatError("record runs out of the message")
            number = int.from_bytes(data[offset : offset + 2], "big")
            klass = int.from_bytes(data[offset + 2 : offset + 4], "big")
            ttl = int.from_bytes(data[offset + 4 : offset + 8], "big")
            start = offset + 10
            offset = start + int.from_bytes(data[offset + 8 : offset + 10], "big")
            if offset > len(data):
                raise DnsFormatError("record data runs out of the message")
            if number == RTYPES["OPT"]:
                payload_size, dnssec_ok = max(klass, 1), bool(ttl & EDNS_DO)
                rcode |= ttl >> 24 << 4
            elif klass == CLASS_IN:
                rtype = _type_name(number)
                text, preference = _read_data(data, rtype, start, offset)
                # RFC 2181 section 8: a TTL with its top bit set is zero.
                records.append(Resource(name, rtype, ttl if ttl < 0x8000_0000 else 0, text, preference))
        sections.append(tuple(records))
    return Message(
        ident, flags & 0xFFF0, rcode, tuple(asked), sections[0], sections[1], sections[2], payload_size, dnssec_ok
    )


def _type_name(number: int) -> str:
    return RTYPE_NAMES.get(number) or f"TYPE{number}"
