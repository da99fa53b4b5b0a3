import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.header import canonical, field_text, field_value, first, scan_fields, without_from_line
from posthouse.message.header_recipients import header_recipients
from posthouse.message.incoming_lines import IncomingLines


def test_fields_are_told_by_offset() -> None:
    header = b"Subject: a\r\n\tb\r\nTo : x\r\n"
    fields, end = scan_fields(header)
    assert [(f.name, header[f.value : f.end]) for f in fields] == [(b"subject", b" a\r\n\tb\r\n"), (b"to", b" x\r\n")]
    assert end == len(header)
    assert field_value(header, fields[0]) == "a\tb"
    assert field_text(header, fields[0]) == "Subject: a\n\tb"
    assert first(fields, b"to") == fields[1]
    assert first(fields, b"cc") is None


@pytest.mark.parametrize("line", [b"no colon\r\n", b" leading\r\n", b"a b: c\r\n", b"\r\n", b": x\r\n"])
def test_the_first_line_that_is_no_field_ends_the_header(line: bytes) -> None:
    fields, end = scan_fields(b"A: b\r\n" + (b"B: c\r\n" if line.startswith(b" ") else b"") + line + b"C: d\r\n")
    if line.startswith(b" "):
        assert fields[-1].name == b"c"  # a continuation, not an end
    else:
        assert (len(fields), end) == (1, 6)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb", b"a\r\nb"),
        (b"a\rb\r\n", b"a b\r\n"),
        (b"\n\r\n", b"\r\n\r\n"),
    ],
)
def test_lines_end_in_crlf_and_nothing_else_does(raw: bytes, expected: bytes) -> None:
    assert canonical(raw) == expected


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b": ", b" "]), max_size=30).map(b"".join))
def test_canonical_form_is_stable(raw: bytes) -> None:
    once = canonical(raw)
    assert canonical(once) == once
    assert once.count(b"\r") == once.count(b"\n") == once.count(b"\r\n")
    fields, end = scan_fields(once)
    assert 0 <= end <= len(once)
    assert all(field.start < field.value <= field.end <= end for field in fields)


def test_an_mbox_from_line_becomes_a_field() -> None:
    assert without_from_line(b"From joe Mon\r\nA: b\r\n") == b"X-Mailbox-Line: From joe Mon\r\nA: b\r\n"
    assert without_from_line(b"From: joe\r\n") == b"From: joe\r\n"


def read(raw: bytes, size: int, *, dot_ends: bool) -> bytes:
    lines = IncomingLines(dot_ends=dot_ends)
    out = b"".join(lines.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    return out + lines.finish()


@pytest.mark.parametrize(
    ("raw", "dot_ends", "expected"),
    [
        (b"A: b\n\nx\n.\nrest\n", True, b"A: b\r\n\r\nx\r\n"),
        (b"A: b\n\nx\n.\nrest", False, b"A: b\r\n\r\nx\r\n.\r\nrest\r\n"),
        (b"x\n.", True, b"x\r\n"),
        (b".\nrest\n", True, b""),
        (b"..\n", True, b"..\r\n"),
        (b"From joe\n>From joe\nA: b\n", True, b"A: b\r\n"),
        (b"A: b\r\n\r\nx\r\n.\r\ny", True, b"A: b\r\n\r\nx\r\n"),
        (b"", True, b""),
    ],
)
def test_a_lone_dot_ends_a_message_unless_told_otherwise(raw: bytes, dot_ends: bool, expected: bytes) -> None:
    for size in (1, 2, 3, 1000):
        assert read(raw, size, dot_ends=dot_ends) == expected


def test_recipients_of_a_header() -> None:
    header = b"To: a@x, b@x\r\nCc: C <c@x>\r\nBcc: d@x\r\nFrom: e@x\r\n"
    assert [address for address, _ in header_recipients(header)] == ["a@x", "b@x", "c@x", "d@x"]


def test_resent_recipients_replace_the_others() -> None:
    header = b"To: a@x\r\nResent-To: b@x\r\nResent-Bcc: c@x\r\n"
    assert [address for address, _ in header_recipients(header)] == ["b@x", "c@x"]


def test_resent_fields_that_name_nobody_leave_the_others() -> None:
    assert header_recipients(b"Resent-From: r@x\r\nResent-To:\r\nTo: a@x\r\n") == [("a@x", "")]


def test_a_source_route_is_told_apart() -> None:
    header = b"To: <@r.x,@[1.2.3.4]:a@x>, b@x\r\n"
    assert header_recipients(header) == [("a@x", "@r.x,@[1.2.3.4]:a@x"), ("b@x", "")]


@given(st.text("\r\na.", max_size=40).map(str.encode))
def test_a_run_of_carriage_returns_is_a_line_end_or_blanks(content: bytes) -> None:
    expected = re.sub(rb"\r+\n", b"\n", content).replace(b"\r", b" ").replace(b"\n", b"\r\n")
    assert canonical(content) == expected


@pytest.mark.parametrize("chunk", [b"\r" * 250_000, b"\r" * 250_000 + b"a\n", b"\r\r\n" * 80_000])
def test_line_ends_cost_time_by_their_number_only(chunk: bytes) -> None:
    started = time.process_time()
    canonical(chunk)
    assert time.process_time() - started < 1.0
