"""Headers and incoming lines: any bytes become canonical form, fields lie inside the header and do not overlap, and
cutting the bytes elsewhere changes nothing (the invariant)."""

import random

from rounds import main

from posthouse.message.header import canonical, field_text, field_value, scan_fields
from posthouse.message.header_recipients import header_recipients
from posthouse.message.incoming_lines import IncomingLines

SEEDS = [
    b"Received: from a by b;\r\n\tMon, 1 Jan 2026 00:00:00 +0000\r\nTo: a@b, c@d\r\n\r\nbody\r\n.\r\n",
    b"From me\nSubject:x\n y\nResent-To: e@f\nbad line\nBcc:\n\n.\n..\n",
    b"A:\rB: 1\r\n \r\n\r\n",
]
ALPHABET = b'\r\n\0 \t:.,<>@"\xff\xc3aA1'


def check(data: bytes, source: random.Random) -> None:
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
    main(SEEDS, ALPHABET, check)
