"""SMTP command lines: any bytes give a value or a reply, however they are cut; nothing is lost or made up.

Run as `python fuzz/smtp_command.py SECONDS [SEED]`.
"""

import random
import sys
import time

from posthouse.wire.smtp.command import parse_bdat, parse_mail, parse_rcpt
from posthouse.wire.smtp.data import DataReader
from posthouse.wire.smtp.dialogue import Dialogue

SEEDS = [
    b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME RET=FULL ENVID=x+2By SMTPUTF8 AUTH=<>\r\n",
    b'RCPT TO:<"a b"@[IPv6:::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b\r\n',
    b"RCPT TO:<@x,@y:joe@v.example.com>\r\nBDAT 12 LAST\r\n",
    b'EHLO (comment)\\"x <>\r\n..\r\n.\n.\r\r\n.\r\n',
]
ALPHABET = b'\r\n\0 <>@:;,.\\"()[]=+%\xff\xc3\xa9aA1'


def mutate(data: bytes, source: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(source.randint(1, 8)):
        place = source.randint(0, len(result))
        action = source.randint(0, 2)
        if action == 0:
            result.insert(place, source.choice(ALPHABET))
        elif action == 1 and place < len(result):
            del result[place : place + source.randint(1, 10)]
        else:
            piece = source.choice(SEEDS)
            result[place:place] = piece[: source.randint(0, len(piece))]
    return bytes(result)


def read_lines(pieces: list[bytes]) -> list[bytes]:
    dialogue = Dialogue(200)
    found = []
    for piece in pieces:
        dialogue.receive(piece)
        while (line := dialogue.next_line()) is not None:
            found.append(line)
    return found


def read_content(pieces: list[bytes]) -> tuple[bytes, bytes]:
    reader = DataReader()
    content, rest = b"", b""
    for piece in pieces:
        if reader.ended:
            rest += piece
        else:
            content += reader.receive(piece)
    return content, reader.leftover + rest


def check(data: bytes, source: random.Random) -> None:
    cut = source.randint(0, len(data))
    single = [data[n : n + 1] for n in range(len(data))]
    lines = read_lines([data])
    assert lines == read_lines([data[:cut], data[cut:]]) == read_lines(single)
    ended = data + b"\r\n.\r\n"
    assert read_content([ended]) == read_content([ended[:cut], ended[cut:]])
    for line in lines:
        argument = line.decode("utf-8", "surrogateescape").partition(" ")[2]
        for strict in (False, True):
            parse_mail(argument, strict=strict)
            parse_rcpt(argument, strict=strict)
        parse_bdat(argument)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    source = random.Random(seed)  # noqa: S311 - repeatable on purpose
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = mutate(source.choice(SEEDS), source)
        try:
            check(data, source)
        except Exception:
            print(f"seed {seed}, round {rounds}: {data!r}", file=sys.stderr)
            raise
        rounds += 1
    print(f"{rounds} rounds, seed {seed}: nothing found")


if __name__ == "__main__":
    main()
