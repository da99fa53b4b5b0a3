"""Any bytes have a MIME structure: parts lie within each other, in order, within the message; words and
envelopes of any header are values. Nothing raises.
"""

import random

from rounds import main

from posthouse.message.mime import PART_LIMIT, scan
from posthouse.message.mime_words import decode_words
from posthouse.message.structure_envelope import envelope_of

SEEDS = [
    b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\nContent-Type: text/plain\r\n\r\nx\r\n'
    b"--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--a--\r\n",
    b"Content-Type: multipart/x;\r\n boundary*0=a; boundary*1*=%62\r\n\r\n--ab\n\n--ab--\n",
    b"From: =?utf-8?B?SsO2?= <j@x>, g: a@b;\r\nSubject: =?x?Q?_=41?=\r\n =?x?q?b?=\r\n\r\n",
]
ALPHABET = b'\r\n\0 ;:=?*-_/"\\()<>@,.%\xff\xc3aAb1'


def check(data: bytes, source: random.Random) -> None:
    root = scan(data)
    assert (root.header_start, root.body_end) == (0, len(data))
    count = 0
    for part in root.walk():
        count += 1
        assert part.header_start <= part.body_start <= part.body_end <= len(data)
        assert part.lines >= 0
        previous = part.body_start
        for inner in part.parts:
            assert previous <= inner.header_start
            assert inner.body_end <= part.body_end
            previous = inner.body_end
    assert count <= PART_LIMIT
    decode_words(data)
    envelope_of(data)


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
