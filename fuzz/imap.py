"""IMAP commands: any bytes give commands or a clean BAD, however they are cut, and every argument parser agrees.

No octet of a refused literal is read as a command: the words hidden in literals never come out as verbs.
"""

import random
from collections.abc import Callable

from rounds import main

from posthouse.wire.imap.client import ResponseReader
from posthouse.wire.imap.cursor import Cursor
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.fetch import parse_fetch
from posthouse.wire.imap.mailboxes import (
    parse_create,
    parse_list,
    parse_mailbox,
    parse_rename,
    parse_select,
    parse_status,
)
from posthouse.wire.imap.reader import Broken, Command, CommandReader
from posthouse.wire.imap.search import BadCharset, parse_search
from posthouse.wire.imap.store import parse_store

SEEDS = [
    b'a LOGIN {4}\r\ntony "pa\\"ss"\r\n',
    b'b UID FETCH 1:*,4 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS ("Date" From)]<0.5> BODY[TEXT]) (CHANGEDSINCE 5'
    b" VANISHED)\r\n",
    b'c APPEND {5+}\r\nINBOX (\\Seen $x) "17-Jul-1996 02:44:25 -0700" {12+}\r\n'
    b"X HIDDEN\r\nab (\\Draft) {10}\r\nX HIDDEN\r\n\r\n",
    b'd SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR FROM "x" (NOT SENTSINCE 1-Feb-1994 1:5)'
    b" HEADER Message-Id {2+}\r\nab\r\n",
    b"e STORE 1:2 (UNCHANGEDSINCE 9) +FLAGS.SILENT (\\Deleted)\r\n",
    b'f LIST (SUBSCRIBED) "" (% "a*") RETURN (STATUS (MESSAGES) CHILDREN)\r\n',
    b"g SELECT INBOX (QRESYNC (1 2 1:5 (1,2 3,4)))\r\n",
    b"h CREATE x (USE (\\Sent))\r\ni STATUS x (MESSAGES UIDNEXT)\r\nj RENAME a b\r\nk LOGIN {900+}\r\nl NOOP\r\n",
    b"* 2 FETCH (FLAGS (\\Seen) BODY[HEADER.FIELDS (A B)]<0> {3}\r\na)b)\r\n* OK [X y] z\r\n",
]
ALPHABET = b'\r\n\0 ()[]{}<>"\\*%+&~$,:.\xff\xc3aA10'
PARSERS: list[Callable[[Cursor], object]] = [
    parse_search,
    parse_store,
    parse_select,
    parse_create,
    parse_rename,
    parse_list,
    parse_status,
    parse_mailbox,
    lambda cursor: parse_fetch(cursor, uid=True),
]


def read(pieces: list[bytes]) -> list[object]:
    reader = CommandReader(500, 200)
    found: list[object] = []
    message: list[bytes] = []
    for piece in pieces:
        reader.receive(piece)
        while True:
            if reader.message_left:
                chunk = reader.take_message()
                if not chunk:
                    break
                message.append(chunk)
                continue
            event = reader.next_event()
            if event is None:
                break
            if message:
                found.append(b"".join(message))
                message.clear()
            if isinstance(event, Command):
                found.append((event.tag, event.verb, event.cursor.data, event.cursor.at))
                continue
            found.append(event)
            if isinstance(event, Broken) and event.fatal:
                return found
    return found


def check(data: bytes, source: random.Random) -> None:
    cut = source.randint(0, len(data))
    whole = read([data])
    assert whole == read([data[:cut], data[cut:]]) == read([data[n : n + 1] for n in range(len(data))])
    for event in whole:
        if isinstance(event, tuple):
            arguments = event[2][event[3] :]
            for parse in PARSERS:
                try:
                    parse(Cursor(arguments))
                except (ImapSyntaxError, BadCharset):
                    pass
    responses = ResponseReader()
    responses.receive(data)
    try:
        while responses.next_response() is not None:
            pass
    except ImapSyntaxError:
        pass


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
