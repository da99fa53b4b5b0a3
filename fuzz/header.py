"""Headers and incoming lines: any bytes become canonical form, fields lie inside the header and do not overlap, and
cutting the bytes elsewhere changes nothing (the invariant)."""

import sys

from posthouse.message.header import canonical, field_text, field_value, scan_fields
from posthouse.message.header_recipients import header_recipients
from posthouse.message.incoming_lines import IncomingLines


def fuzz(data: bytes) -> None:
    """One input."""
    once = canonical(data)
    assert canonical(once) == once
    fields, end = scan_fields(once)
    position = 0
    for field in fields:
        assert field.start == position < field.value <= field.end <= end
        position = field.end
        field_value(once, field)
        field_text(once, field)
    assert position == end
    header_recipients(once)
    for dot_ends in (False, True):
        whole = IncomingLines(dot_ends=dot_ends)
        expected = whole.feed(data) + whole.finish()
        cut = IncomingLines(dot_ends=dot_ends)
        assert b"".join(cut.feed(data[at : at + 1]) for at in range(len(data))) + cut.finish() == expected
        assert expected.count(b"\n") == expected.count(b"\r") == expected.count(b"\r\n")


if __name__ == "__main__":
    fuzz(sys.stdin.buffer.read())
