"""POP3 lines and dots: lines do not depend on how bytes are cut, and a client undoes what DotStuffer does.

Run as `python fuzz/pop3.py SECONDS [SEED]`.
"""

import random
import sys
import time

from posthouse.wire.pop3.command import parse_command
from posthouse.wire.pop3.content import DotStuffer, unstuff
from posthouse.wire.pop3.lines import LineReader

ALPHABET = b"\r\n. \0USERpass\xff\xc3\xa9+"


def cut(data: bytes, source: random.Random) -> list[bytes]:
    pieces = []
    while data:
        size = source.randint(1, 30)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def lines(pieces: list[bytes], limit: int) -> list[tuple[bytes, bool]]:
    reader = LineReader(limit)
    found: list[tuple[bytes, bool]] = []
    for piece in pieces:
        reader.receive(piece)
        while (line := reader.next_line()) is not None:
            found.append((line, reader.too_long))
    return found


def check(data: bytes, source: random.Random) -> None:
    limit = source.randint(3, 40)
    found = lines([data], limit)
    assert found == lines(cut(data, source), limit)
    for line, _ in found:
        assert len(line) < limit
        parse_command(line)
    canonical = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    stuffer = DotStuffer()
    sent = b"".join(stuffer.stuff(piece) for piece in cut(canonical, source)) + stuffer.end()
    assert b"\r\n.\r\n" not in sent[:-1]
    whole = canonical if not canonical or canonical.endswith(b"\r\n") else canonical + b"\r\n"
    assert unstuff(sent) == whole


def main() -> None:
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)  # noqa: S311
    source = random.Random(seed)  # noqa: S311
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = bytes(source.choice(ALPHABET) for _ in range(source.randint(0, 200)))
        try:
            check(data, source)
        except AssertionError:
            print(f"seed {seed}: {data!r}")
            raise
        count += 1
    print(f"{count} inputs, seed {seed}")


if __name__ == "__main__":
    main()
