"""The MIME scanner: structure by offsets, for well-formed mail as the email package sees it, and for any bytes."""

import email
import email.message
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import DEPTH_LIMIT, PART_LIMIT, scan
from posthouse.message.structure import Part

MIXED = (
    b"From: a@x\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="outer"; charset=x\r\n\r\n'
    b"preamble\r\n"
    b"--outer\r\n"
    b"Content-Type: multipart/alternative;\r\n boundary=inner\r\n\r\n"
    b"--inner\r\n\r\nplain\r\nlines\r\n"
    b"--inner  \r\nContent-Type: TEXT/HTML; charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n<p>\r\n"
    b"--inner--\r\n"
    b"epilogue of inner\r\n"
    b"--outer\r\n"
    b"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename*0=a; filename*1=b.eml\r\n\r\n"
    b"Subject: inside\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n"
    b"--d\r\n\r\nSubject: digested\r\n\r\nbody\r\n--d--\r\n"
    b"--outer--\r\n"
    b"epilogue\r\n"
)


def shape(part: Part) -> object:
    return (f"{part.type}/{part.subtype}", [shape(each) for each in part.parts])


def test_a_nested_message_has_its_shape() -> None:
    assert shape(scan(MIXED)) == (
        "multipart/mixed",
        [
            ("multipart/alternative", [("text/plain", []), ("text/html", [])]),
            (
                "message/rfc822",
                [("multipart/digest", [("message/rfc822", [("text/plain", [])])])],
            ),
        ],
    )


def test_offsets_cut_out_exactly_the_body() -> None:
    root = scan(MIXED)
    plain = root.section((1, 1))
    html = root.section((1, 2))
    inside = root.section((2,))
    assert plain is not None
    assert html is not None
    assert inside is not None
    assert MIXED[plain.body_start : plain.body_end] == b"plain\r\nlines"
    assert plain.lines == 2
    assert MIXED[html.header_start : html.body_start].startswith(b"Content-Type: TEXT/HTML")
    assert (html.encoding, html.parameters) == ("quoted-printable", (("charset", "utf-8"),))
    assert MIXED[inside.body_start : inside.body_end].endswith(b"--d--")
    assert (inside.disposition, inside.disposition_parameters) == ("attachment", (("filename", "ab.eml"),))
    assert MIXED[root.body_start : root.body_end] == MIXED.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("numbers", "type_"),
    [
        ((), "multipart/mixed"),
        ((1,), "multipart/alternative"),
        ((1, 2), "text/html"),
        ((1, 2, 1), None),
        ((2,), "message/rfc822"),
        ((2, 1), "message/rfc822"),
        ((2, 1, 1), "text/plain"),
        ((3,), None),
        ((0,), None),
    ],
)
def test_sections_are_numbered_as_in_rfc_3501(numbers: tuple[int, ...], type_: str | None) -> None:
    part = scan(MIXED).section(numbers)
    assert (None if part is None else f"{part.type}/{part.subtype}") == type_


def test_a_message_without_parts_is_part_one() -> None:
    root = scan(b"Subject: x\r\n\r\nbody\r\n")
    assert root.section((1,)) == root
    assert root.section((2,)) is None
    assert (root.type, root.subtype, root.lines, root.size) == ("text", "plain", 1, 6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ("text/plain", [])),
        (b"\r\n", ("text/plain", [])),
        (b"no header at all", ("text/plain", [])),
        (b"Content-Type: nonsense\r\n\r\n", ("text/plain", [])),
        (b"Content-Type: multipart/mixed\r\n\r\n--\r\n--\r\n", ("multipart/mixed", [])),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n", ("multipart/mixed", [])),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", ("multipart/mixed", [("text/plain", [])])),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb\r\n--b--\r\n", ("multipart/mixed", [])),
        # a header that a boundary cuts ends there
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b\r\n\r\nx\r\n--b--",
            ("multipart/mixed", [("text/html", []), ("text/plain", [])]),
        ),
        # an outer boundary ends everything inside
        (
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
            b"Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n",
            ("multipart/mixed", [("multipart/mixed", [("text/plain", [])]), ("text/plain", [])]),
        ),
        # a boundary used again inside belongs to the outer one
        (
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"
            b"--a\r\n\r\nx\r\n--a--\r\n",
            ("multipart/mixed", [("multipart/mixed", []), ("text/plain", [])]),
        ),
        # RFC 2046 section 5.2.1: an encoded message is opaque
        (
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n",
            ("message/rfc822", []),
        ),
        (b"Content-Type: message/rfc822\r\n\r\n", ("message/rfc822", [("text/plain", [])])),
    ],
)
def test_malformed_mail_is_the_simplest_thing_it_can_be(data: bytes, expected: object) -> None:
    assert shape(scan(data)) == expected


@st.composite
def messages(draw: st.DrawFn, depth: int = 0) -> bytes:
    """Well-formed MIME."""
    kind = draw(st.sampled_from(["text", "multipart", "message"] if depth < 3 else ["text"]))
    if kind == "text":
        body = draw(st.lists(st.sampled_from([b"", b"text", b"--", b"--x", b"a: b"]), max_size=4))
        return b"Content-Type: text/plain\r\n\r\n" + b"\r\n".join(body)
    if kind == "message":
        return b"Content-Type: message/rfc822\r\n\r\n" + draw(messages(depth=depth + 1))
    boundary = b"b%d-%d" % (depth, draw(st.integers(0, 1 << 60)))
    parts = draw(st.lists(messages(depth=depth + 1), min_size=1, max_size=3))
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body + b"--" + boundary + b"--\r\n"


def oracle(message: email.message.Message) -> object:
    parts = message.get_payload() if message.is_multipart() else []
    assert isinstance(parts, list)
    return (message.get_content_type(), [oracle(part) for part in parts if isinstance(part, email.message.Message)])


@given(messages())
def test_well_formed_mail_has_the_shape_that_the_email_package_sees(data: bytes) -> None:
    assert shape(scan(data)) == oracle(email.message_from_bytes(data))


PIECES = [
    b"--a",
    b"--a--",
    b"--b",
    b"--b--",
    b"\r\n",
    b"\r\n\r\n",
    b"x",
    b"Content-Type: multipart/mixed; boundary=a\r\n",
]
PIECES += [
    b"Content-Type: multipart/digest; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"\n",
    b"\r",
    b" ",
    b"--",
]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)))
def test_any_octets_give_parts_that_lie_within_each_other(data: bytes) -> None:
    root = scan(data)
    assert (root.header_start, root.body_end) == (0, len(data))
    for part in root.walk():
        assert part.header_start <= part.body_start <= part.body_end <= len(data)
        assert part.lines >= 0
        previous = part.body_start
        for inner in part.parts:
            assert previous <= inner.header_start
            assert inner.body_end <= part.body_end
            previous = inner.body_end


def test_depth_and_number_are_bounded() -> None:
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (depth, depth) for depth in range(500)
    )
    assert sum(1 for _ in scan(deep).walk()) <= DEPTH_LIMIT + 1
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 500
    assert sum(1 for _ in scan(nested).walk()) <= DEPTH_LIMIT
    wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * (PART_LIMIT + 500)
    assert sum(1 for _ in scan(wide).walk()) == PART_LIMIT


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nA: b\r\n" * (size // 11),
        lambda size: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--x\r\n" * (size // 5),
        lambda size: b"Content-Type: text/plain; a=" + b'"\\' * (size // 2),
        lambda size: b"Content-Type: text/plain; " + b"(" * size,
        lambda size: b"Content-Type: text/plain; " + b"a*0=b;" * (size // 6),
        lambda size: b"Content-Type: text/plain" + b"\r\n " * (size // 3),
        lambda size: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n--b" * (size // 5),
        lambda size: b"Content-Type: message/rfc822\r\n\r\n" * (size // 32),
    ],
)
def test_hostile_mail_takes_linear_time(make: object) -> None:
    assert callable(make)
    times = []
    for size in (50_000, 400_000):
        data = make(size)
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            scan(data)
            best = min(best, time.process_time() - start)
        times.append(best)
    assert times[1] < max(times[0], 0.002) * 32  # 8 is linear, 64 would be quadratic


def test_random_mutations_of_real_mail_never_raise() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        data = bytearray(MIXED)
        for _ in range(chance.randrange(1, 8)):
            start = chance.randrange(len(data))
            data[start : start + chance.randrange(12)] = chance.choice(PIECES)
        scan(bytes(data))


def test_a_message_without_a_body_lies_within_what_holds_it() -> None:
    data = (
        b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n'
        b"Subject: x\r\n\r\n--a\r\n\r\nz\r\n--a--\r\n"
    )
    forwarded, text = scan(data).parts
    (inner,) = forwarded.parts
    assert forwarded.body_start == inner.header_start
    assert inner.body_start == inner.body_end == forwarded.body_end == data.index(b"--a\r\n\r\nz")
    assert data[text.body_start : text.body_end] == b"z"
