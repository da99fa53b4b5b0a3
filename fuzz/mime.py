"""Any bytes have a MIME structure: parts lie within each other, in order, within the message; words and
envelopes of any header are values. Nothing raises.

    python fuzz/mime.py [corpus folder]      needs atheris
"""

import sys

import atheris

with atheris.instrument_imports():
    from posthouse.message.mime import PART_LIMIT, scan
    from posthouse.message.mime_words import decode_words
    from posthouse.message.structure_envelope import envelope_of


def one(data: bytes) -> None:
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
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
