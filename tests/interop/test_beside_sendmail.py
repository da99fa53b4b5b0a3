"""sendmail beside Postfix's: senders, full names and headers of all kinds; what reaches a server must be the same."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.pair import Side, pair

MAIN_CF = "transport_maps = inline:{ other.test=smtp:[127.0.0.1]:@sink@ }\n"

SENDERS = (
    *((), ("-f", ""), ("-f", "<>"), ("-f", "a@b.test"), ("-f", "nobody"), ("-f", "<a@b.test>"), ("-r", "a@b.test")),
    *(("-f", "Full Name <x@y.test>"), ("-f", "x@y.test (Comment)"), ("-f", '"a b"@c.test'), ("-f", "MAILER-DAEMON")),
    *(("-f", "mailer-daemon@pair.test"), ("-f", "MAILER-DAEMON@x.test"), ("-f", "a@b.test", "-f", "c@d.test")),
)
NAMES = (
    *(
        (),
        ("-F", ""),
        ("-F", "Full Name"),
        ("-F", 'Q "uo" te'),
        ("-F", "Dr. (X) Y, Z"),
        ("-F", "Jürg Ä"),
        ("-F", "a\nb"),
    ),
    *(("-F", "back\\slash"), ("-F", "(paren"), ("-F", '"quoted"'), ("-F", "dot. x"), ("-F", "  blanks  ")),
)
FIELDS = (
    *("From: me", "From: Me <me>\nSubject: x", "From: ", "From: <>", "Resent-From: r@s.test", "Resent-To: r@s.test"),
    *("Resent-Date: x", "Resent-From: a@b\nResent-To: c@d\nFrom: q@w", "To: x@y", "Sender: s@t", "Return-Path: <x@y>"),
    *(
        "Errors-To: x@y",
        "Date: Mon, 1 Jan 2024 00:00:00 +0000",
        "Message-Id: <x>\nMessage-Id: <y>",
        "Cc: q",
        "from: low",
    ),
    *(
        "Resent-Message-Id: <x>",
        "Bcc: b@other.test",
        "Resent-Bcc: q@other.test",
        "Content-Length: 44",
        "Full-Name: F B",
    ),
    *("Received: from a", "Delivered-To: x@y", "X-Y: é", "Apparently-To: z"),
)
ROWS = (
    *(((*sender, *name), "Subject: x\n\nb\n") for sender in SENDERS for name in (NAMES if len(sender) < 4 else ((),))),
    *((("-f", "a@b.test", *more), f"{fields}\n\nb\n") for fields in FIELDS for more in ((), ("-G",))),
    *((("-f", "a@b.test", "-t"), f"{fields}\nTo: rcpt@other.test\n\nb\n") for fields in FIELDS),
)


@pytest.fixture(scope="module")
def results() -> Iterator[list[list[tuple[object, ...]]]]:
    """By side and row."""
    with pair(MAIN_CF) as sides, ThreadPoolExecutor(2) as threads:
        yield list(threads.map(_all, sides))


def _all(side: Side) -> list[tuple[object, ...]]:
    """Status, complaints, and what arrived: rows are told apart by a field."""
    ran = []
    for number, (options, text) in enumerate(ROWS):
        to = () if "-t" in options else ("--", "rcpt@other.test")
        ran.append(side.run("sendmail", *options, *to, stdin=f"X-Row: {number}.\n{text}"))
    side.settled(60)
    found: list[tuple[object, ...]] = []
    for number, one in enumerate(ran):
        mark = f"X-Row: {number}.\r\n".encode()
        got = sorted(
            (g.recipient, g.sender, side.calm(g.content.decode())) for g in side.capture.got if mark in g.content
        )
        found.append((one.status, side.calm(one.err), got))
    return found


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: repr(ROWS[number])[:70])
def test_the_same_message_arrives(results: list[list[tuple[object, ...]]], number: int) -> None:
    theirs, ours = results
    assert ours[number] == theirs[number], ROWS[number]
