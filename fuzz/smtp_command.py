"""SMTP command lines: any bytes give a value or a reply, however they are cut; nothing is lost or made up."""

import random

from rounds import main

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


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
