"""POP3's grammar: any bytes give lines that do not depend on how they are cut, each a command or a bad one; what is
sent with its dots doubled reads back the same (the invariant)."""

import random

from rounds import main

from posthouse.wire.pop3.apop import digest_fits
from posthouse.wire.pop3.command import Command, parse_command
from posthouse.wire.pop3.content import DotStuffer, unstuff
from posthouse.wire.pop3.lines import LineReader
from posthouse.wire.pop3.reply import parse_reply

SEEDS = [
    b"USER tony\r\nPASS with blanks in it\r\nAPOP tony c4c9334bac560ecc979e58001b3e22fb\r\n",
    b"TOP 1 10\nRETR 18446744073709551616\r\nUIDL\r\nAUTH PLAIN =\r\n..\r\n.\r\n",
    b"+OK 2 320\r\n-ERR [IN-USE] no\r\n+ \r\n",
]
ALPHABET = b"\r\n\0 .+-=[]<>\xffaA10"


def lines(pieces: list[bytes], limit: int) -> list[tuple[bytes, bool]]:
    """Every line of the pieces, and whether it was too long."""
    reader = LineReader(limit)
    found = []
    for piece in pieces:
        reader.receive(piece)
        while (line := reader.next_line()) is not None:
            found.append((line, reader.too_long))
    return found


def check(data: bytes, source: random.Random) -> None:
    """One input; its first byte says where the rest is cut."""
    step = data[0] % 7 + 1 if data else 1
    cut = [data[place : place + step] for place in range(0, len(data), step)]
    limit = len(data) % 40 + 2
    found = lines([data], limit)
    assert found == lines(cut, limit)
    for line, _ in found:
        command = parse_command(line)
        if isinstance(command, Command):
            assert parse_command(bytes(command).removesuffix(b"\r\n")) == command
        parse_reply(line)
        digest_fits("<1@mail.example>", "secret", line.decode("utf-8", "surrogateescape"))
    canonical = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    stuffer = DotStuffer()
    pieces = [canonical[place : place + step] for place in range(0, len(canonical), step)]
    sent = b"".join(map(stuffer.stuff, pieces)) + stuffer.end()
    whole = canonical if canonical.endswith(b"\r\n") or not canonical else canonical + b"\r\n"
    assert unstuff(sent) == whole
    assert b"\r\n.\r\n" not in sent[:-1]


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
