"""XCLIENT and XFORWARD beside Postfix: the same sessions, and replies, log lines and delivered messages must be the
same."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest

from tests.interop.pair import Side, pair
from tests.system.machine import eventually

MAIN_CF = """
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_authorized_xforward_hosts = 127.0.0.0/8
smtpd_delay_reject = no
smtpd_client_restrictions = check_client_access inline:{ {9.9.9.9=REJECT bad} {8.8.8.8=521 go} {7.7.7.7=WARN seen}}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
"""

LETTER = "MAIL FROM:<a@b.test>|RCPT TO:<root@pair.test>|DATA|Subject: y\r\n\r\nb\r\n."
NOWHERE = "MAIL FROM:<a@b.test>|RCPT TO:<r@nowhere.test>"

XCLIENT = (
    *("XCLIENT", "XCLIENT NAME", "XCLIENT foo=bar", "XCLIENT NAME=a.b ADDR=1.2.3.4|EHLO x|" + NOWHERE),
    *("NAME=cl.test ADDR=1.2.3.4 PORT=99 HELO=hh.test PROTO=ESMTP|" + LETTER, "NAME=cl.test ADDR=1.2.3.4|" + LETTER),
    *("NAME=cl.test ADDR=1.2.3.4|EHLO two|" + LETTER, "HELO=[UNAVAILABLE]|" + LETTER, "HELO=J+C3+BC.test|" + LETTER),
    *("NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]|" + LETTER, "NAME=[tempunavail] ADDR=1.2.3.4|NOOP"),
    *("ADDR=9.9.9.9|EHLO two|NOOP|QUIT", "ADDR=8.8.8.8|EHLO two", "ADDR=7.7.7.7|EHLO two|QUIT", "PROTO=smtp|" + LETTER),
    *("ADDR=::1", "ADDR=IPv6:::1|" + LETTER, "ADDR=IPV6:2001:DB8::1|NOOP", "ADDR=1.2.3", "ADDR=[1.2.3.4]", "ADDR="),
    *(
        "ADDR=01.2.3.4|NOOP",
        "ADDR=::ffff:1.2.3.4",
        "ADDR=[TEMPUNAVAIL]",
        "NAME=",
        "NAME=bad_name!",
        "NAME=foo_bar.test|NOOP",
    ),
    *(
        "NAME=a..b",
        "NAME=1.2.3.4",
        "NAME=-foo.test",
        "NAME=foo.",
        "NAME=foo+2Ebar|NOOP",
        "NAME=foo+ZZ",
        f"NAME={'x' * 300}",
    ),
    *("PORT=0", "PORT=70000", "PORT=x", "PORT=1234567", "PORT=[TEMPUNAVAIL]", "PROTO=FOO", "PROTO=[UNAVAILABLE]"),
    *("LOGIN=joe|" + LETTER, "LOGIN=joe|EHLO two|" + LETTER, "LOGIN=[UNAVAILABLE]|NOOP", "LOGIN=", "HELO=[1.2.3.4]"),
    *(
        "DESTADDR=5.6.7.8 DESTPORT=77|NOOP",
        "DESTADDR=x",
        "DESTPORT=x",
        "DESTPORT=[UNAVAILABLE]",
        "HELO=",
        "HELO=a@b|" + NOWHERE,
    ),
    *("NAME=x.test NAME=y.test|NOOP", "NAME=x.test FOO=bar|NOOP", "ADDR=1.2.3.4|XCLIENT ADDR=3.4.5.6|EHLO w|NOOP"),
    *("MAIL FROM:<a@b.test>|XCLIENT NAME=x|RSET|XCLIENT NAME=x", "XFORWARD NAME=x|XCLIENT NAME=y|XFORWARD NAME=z"),
)

XFORWARD = (
    *(
        "XFORWARD",
        "XFORWARD NAME",
        "XFORWARD foo=x",
        "XFORWARD IDENT=Q1|" + LETTER,
        "PORT=3|" + LETTER,
        "HELO=h|" + LETTER,
    ),
    *("NAME=n ADDR=1.2.3.4 PORT=1 PROTO=ESMTP HELO=h IDENT=i SOURCE=LOCAL|" + LETTER, "NAME=only.test|" + LETTER),
    *(
        "NAME=n ADDR=1.2.3.4|XFORWARD PORT=5 HELO=hh SOURCE=REMOTE PROTO=SMTP IDENT=ABC|" + LETTER,
        "ADDR=1.2.3.4|" + LETTER,
    ),
    *(
        "NAME=n ADDR=1.2.3.4|" + NOWHERE + "|RSET|" + LETTER,
        "NAME=fw.test|EHLO again|" + LETTER,
        "SOURCE=LOCAL|" + LETTER,
    ),
    *(
        "ADDR=x",
        "PORT=x",
        "PROTO=x",
        "SOURCE=x",
        "ADDR=::1",
        "NAME=",
        "HELO=",
        "IDENT=",
        "NAME=bad_!",
        f"IDENT={'x' * 300}",
    ),
    *("IDENT=a+20b+0Ac|" + LETTER, f"PROTO={'x' * 70}", "PROTO=[UNAVAILABLE]", "NAME=[TEMPUNAVAIL]", "PORT=1234567"),
    *("NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE] SOURCE=[UNAVAILABLE] IDENT=[UNAVAILABLE]|" + LETTER,),
    *("NAME=n.t ADDR=[UNAVAILABLE]|" + LETTER, "ADDR=IPv6:::1 NAME=v6.test|" + LETTER),
)


def _script(command: str, words: str) -> str:
    """As it is where it is whole; behind an EHLO and the command where it is only its argument."""
    return words if words.startswith((command, "MAIL")) else f"EHLO one|{command} {words}"


SCRIPTS = (
    *(_script("XCLIENT", words) for words in XCLIENT),
    *(_script("XFORWARD", words) for words in XFORWARD),
    *(
        "HELO one|XCLIENT NAME=cl.test|" + LETTER,
        LETTER,
        "EHLO one|xclient name=lower.test addr=1.2.3.4|EHLO x|" + NOWHERE,
    ),
)


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    """Both, with IPv6."""
    with pair(MAIN_CF) as both:
        yield both


def _converse(side: Side, script: str) -> list[str]:
    """What is answered to each command."""
    said: list[str] = []
    with socket.create_connection(("127.0.0.1", side.smtp), timeout=60) as connection:
        file = connection.makefile("rb")
        for command in ("", *script.split("|")):
            if command:
                with contextlib.suppress(ConnectionError):  # after 521 both have hung up
                    connection.sendall(command.encode() + b"\r\n")
            while True:
                line = _line(file)
                said.append(side.calm(line))
                if line[3:4] != "-":
                    break
            if not said[-1]:
                break
    return said


def _line(file: BinaryIO) -> str:
    """The next line; nothing at the end, a reset too: that is how an end looks to who was still talking."""
    try:
        return file.readline().decode().rstrip()
    except ConnectionResetError:
        return ""


def _play(side: Side, script: str) -> tuple[list[str], list[str], str]:
    for path in (side.folder / "mail").iterdir():
        path.unlink()
    mark = len(side.text())
    said = _converse(side, script)
    eventually(lambda: "disconnect from" in side.text()[mark:], side.text()[mark:])
    side.settled()
    lines = side.lines("postfix/(smtpd|cleanup|local)", mark)
    return said, sorted(line for line in lines if "clock" not in line and "time stamps" not in line), _mail(side)


def _mail(side: Side) -> str:
    return side.mailbox("root") + side.mailbox("nobody")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script[:60].encode("unicode_escape").decode())
def test_the_session_goes_as_with_postfix(sides: tuple[Side, Side], script: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(lambda side: _play(side, script), sides)
    assert ours == theirs
