"""The queue's commands and sendmail's options beside Postfix's, on a queue that they act on, and on a missing one.

Held messages keep still, so that both sides can be asked at leisure. A fatal error of Postfix's commands waits a
second before it ends: what changes nothing is asked side by side.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.pair import Side, pair
from tests.system.machine import Ran, eventually

MAIN_CF = """\
defer_transports = smtp
fast_flush_domains = flushed.test
transport_maps = inline:{ other.test=smtp:[127.0.0.1]:@sink@, flushed.test=smtp:[127.0.0.1]:@sink@ }
"""
MESSAGE = "Subject: x\n\nbody\n"
TO = "t@far.test"

REFUSED: tuple[tuple[str, ...], ...] = (
    *(
        ("-n", TO),
        ("-bx",),
        ("-b", "word"),
        ("-?",),
        ("-n", "-?"),
        ("-?", "-n"),
        ("-h",),
        ("-B8bitmime", TO),
        ("-Bx", "-n"),
    ),
    *(
        ("-qR",),
        ("-qI",),
        ("-qS",),
        ("-qx",),
        ("-qRa.test", TO),
        ("-qIABC", TO),
        ("-q", TO),
        ("-qRa.test", "-qIABC", TO),
    ),
    *(
        ("-qIbad/id",),
        ("-qRbad dom",),
        ("-qRnot.test",),
        ("-Xlog", TO),
        ("-X", TO),
        ("-XVab", TO),
        ("-XV+", TO),
        ("-Vab", TO),
    ),
    *(("-bp", TO), ("-bi", TO), ("-bd", TO), ("-bl", TO), ("-bs", TO), ("-bp", "-t"), ("-bv", "-t"), ("-bv", "-v", TO)),
    *(
        ("-bv", "-bp", "-v"),
        ("-oA",),
        ("-N", TO),
        ("-R", TO),
        ("-Nx", "-Ry", "-n"),
        ("-V", TO),
        ("-C", "/nonexistent", "-bx"),
    ),
    *(
        ("-bx", "-C/nonexistent"),
        ("-C", "/etc/passwd"),
        ("-q1", "-C/nonexistent"),
        ("-q1", "-n"),
        ("-t",),
        (),
        ("-bi", "-oA/nonexistent"),
    ),
)
QUIET: tuple[tuple[str, ...], ...] = (
    *(
        ("-q1", "-bp", TO),
        ("-bp", "-q5m"),
        ("-q1", "-bs"),
        ("-bs", "-q1"),
        ("-q1", "-t"),
        ("-q1", "-bv", TO),
        ("-q1", "-qRx.test"),
    ),
    *(("-bh",), ("-bH", TO), ("-bh", "-q1")),
)
"""What does nothing."""

SENT: tuple[tuple[tuple[str, ...], str | bytes], ...] = (
    *(
        ((option, TO), MESSAGE)
        for option in ("-i", "-oi", "-om", "-oAx", "-odi", "-em", "-ep", "-m", "-G", "-U", "-Ltag", "-hX")
    ),
    *(
        ((option, TO), MESSAGE)
        for option in ("-Nnever", "-NFAILURE,Delay", "-Nnever,delay", "-N ", "-Rfull", "-Rx", "-Venv id", "-B8BITMIME")
    ),
    *(
        ((*options, TO), MESSAGE)
        for options in (("-V", "ab"), ("-V", "+="), ("-V+=",), ("-XV",), ("-XV+=",), ("-f", "a", "-r", "b"))
    ),
    *(
        (("-f", "s@pair.test", "--", word), MESSAGE)
        for word in (
            "|cmd",
            "/file/name",
            '"q q"@far.test',
            "@a.test:b@far.test",
            "group: a@far.test, b@far.test;",
            "a@far.test,b@far.test",
            "",
            "<>",
            "a b@far.test",
            "Name <a@far.test>",
            "(c) a@far.test",
            "@far.test",
            "a@@far.test",
            '"',
            "(",
            "<",
            "a;b@far.test",
            "a@[1.2.3.4]",
            "é@far.test",
            "a@far.test\nb@far.test",
            ":include:/x",
            "a@far.test.",
            "undisclosed-recipients:;",
            "-x@far.test",
        )
    ),
    *(
        (("-f", "s@pair.test", "-t"), head)
        for head in (
            "To: a@far.test\nBcc: b@far.test\nCc: c@far.test\n\nb\n",
            "To: a@far.test,\n b@far.test\n\t, c@far.test\n\nb\n",
            "To:\n\nb\n",
            "Resent-Bcc: b@far.test\nResent-To: r@far.test\nBcc: c@far.test\n\nb\n",
            "To: <@a.test,@b.test:b@far.test>\n\nb\n",
            'To: "a b"@far.test, group: x@far.test, y@far.test;\n\nb\n',
            "To : sp@far.test\n\nb\n",
            "\n\n",
            "Subject: x\n\nTo: a@far.test\n",
            "From x@y Mon\nTo: a@far.test\n\nb\n",
            "junk line\nTo: a@far.test\n\nb\n",
            "To: a@far.test b@far.test\n\nb\n",
            "",
            "To: a@far.test\r\nCc: b@far.test\r\n\r\nbody\r\n",
            "X: " + "y" * 5000 + "\nTo: a@far.test\n\nb\n",
        )
    ),
    *(
        (("-f", "s@pair.test", *dots, TO), data)
        for dots in ((), ("-i",))
        for data in (
            b"\n",
            b".\n",
            b"A: b\n\nx\n.\ny\n",
            b"A: b\n\nx\0y\n",
            b"A: b\n\nx\ry\n",
            b"A: b\n\nno newline",
            b"From a\nFrom b\nA: b\n\n",
            b">From a\nA: b\n\n",
            b"A: b\n\n" + b"z" * 10000 + b"\n",
            b"A: b\r\n\r\nx\r\n.\r\ny\r\n",
            b"A: b\n\n..\n..x\n.x\n",
            b"\xff\xfe\n",
            b" lead\nA: b\n\n",
            b"A b: c\n\nx\n",
            b"A: b\n\n. \nq\n",
        )
    ),
)
"""What is sent, and stays deferred."""

OTHERS: tuple[tuple[tuple[str, ...], str], ...] = (
    *((("postkick", *words), "") for words in (("private", "nosuch", "x"), ("nosuch", "pickup", "x"), ("x",))),
    *((("postsuper", *words), "") for words in (("-s", "nosuch"), ("-x",), ("-d", "ALL", "nosuch"))),
    *((("postqueue", *words), "") for words in (("-i", "NO/"), ("-x",), ("-s", "not.test"))),
    (("postmap", "/nonexistent/a"), ""),
    (("postalias", "/nonexistent/a"), ""),
    *((("postcat", *words), "") for words in (("-q", "NOSUCH"), ("-qs", "x", "A"), ("/nonexistent",), ("/etc/hosts",))),
)
LOGGED = r"postfix/(sendmail|postsuper|postmap|postalias): "
IDS = (
    f"4444444444\n\nbad/id\r\n\r\nx y\n{'A' * 255}\n{'B' * 256}\nCé\n\tX\n\x1b[0m\ndeferred/A/A12345\n 123456\nab\0cd\n"
)


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    with pair(MAIN_CF) as both:
        yield both


def _told(side: Side, ran: Ran) -> tuple[int, str, list[str]]:
    out, err = (re.sub(r"/usr/s?bin/", "", side.calm(text)) for text in (ran.out, ran.err))
    return ran.status, out, err.splitlines()


def _each(side: Side, lines: Sequence[tuple[tuple[str, ...], str | bytes]]) -> list[tuple[object, ...]]:
    """What each command said, asked side by side."""
    with ThreadPoolExecutor(8) as threads:
        ran = threads.map(lambda line: side.run(*line[0], stdin=line[1]), lines)
        return [(line[0], *_told(side, one)) for line, one in zip(lines, ran, strict=True)]


def _alike(sides: tuple[Side, Side], play: Callable[[Side], list[object]]) -> None:
    """Both play it, and tell the same."""
    with ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(play, sides)
    assert ours == theirs


def test_what_changes_nothing_is_said_and_logged_alike(sides: tuple[Side, Side]) -> None:
    lines = [(("sendmail", *words), "") for words in (*REFUSED, *QUIET)] + list(OTHERS)

    def play(side: Side) -> list[object]:
        said = _each(side, lines)
        return [*said, sorted(side.lines(LOGGED))]

    _alike(sides, play)


def _emptied(side: Side) -> None:
    side.do("postsuper", "-d", "ALL")
    assert side.queue() == []


def test_what_is_sent_waits_in_the_queue_alike(sides: tuple[Side, Side]) -> None:
    def play(side: Side) -> list[object]:
        lines = [(("sendmail", "-V", f"n{number}.", *words), data) for number, (words, data) in enumerate(SENT)]
        said: list[object] = list(_each(side, lines))
        side.settled(60)
        found = []
        for entry in side.queue():
            shown = side.do("postcat", "-qe", str(entry["queue_id"]))
            number = re.search(r"envelope_id=(n\d+)\.", shown)
            records = [
                line.replace('dsn_orig_rcpt=rfc822;"', "dsn_orig_rcpt=rfc822;")
                for line in side.calm(shown).splitlines()
                if re.match(
                    r"named_attribute: (ret_flags|notify_flags|rewrite_context)|sender:|verp|orig|recip|done", line
                )
            ]
            content = side.calm(side.do("postcat", "-qbh", str(entry["queue_id"])))
            if "\n\n" not in content.rstrip("\n"):
                content = content.rstrip("\n")  # a header alone: a row has the blank line behind it
            found.append((number and number[1], sorted(records), content))
        _emptied(side)
        return [*said, *sorted(found, key=repr)]

    _alike(sides, play)


def _sent(side: Side, name: str) -> str:
    """A message to name@far.test, deferred; its id."""
    side.do("sendmail", "-f", "s@pair.test", f"{name}@far.test", stdin=MESSAGE)
    side.settled()
    (found,) = (e for e in side.queue() if e["recipients"][0]["address"] == f"{name}@far.test")  # type: ignore[index]  # JSON
    return str(found["queue_id"])


def test_messages_are_held_expired_and_removed_alike(sides: tuple[Side, Side]) -> None:
    def play(side: Side) -> list[object]:
        ids = {name: _sent(side, name) for name in "abcdef"}
        told: list[object] = []

        def do(*words: str, stdin: str = "", user: str = "") -> None:
            ran = side.run("postsuper", *(word.format(**ids) for word in words), stdin=stdin.format(**ids), user=user)
            err = ran.err
            for name, queue_id in ids.items():
                err = err.replace(queue_id, f"<{name}>")
            held = sorted((e["recipients"][0]["address"], e["queue_name"], e["forced_expire"]) for e in side.queue())  # type: ignore[index]  # JSON
            told.append((words, ran.status, ran.out, err.splitlines(), held))

        for option in ("-d", "-f", "-h", "-r"):
            do(option, "-", stdin=IDS)
            do(option, "-", stdin=IDS, user="postfix")
            do(option, "")
        do("-h", "{a}", "-h", "{b}", "deferred")
        do("-h", "-", stdin="{c}\n{d}\r\n{a}\n{c}\n {e}\n{e} \n{d}")
        do("-e", "{a}", "-e", "-", stdin="{c}\n{c}\n")
        do("-h", "{f}", "-H", "{b}", "-d", "{e}")
        do("-d", "{b}", "hold")
        do("-d", "{b}", "nosuch", "deferred")
        do("-d", "{b}", "deferred", "nosuch")
        do("-h", "ALL", "-d", "-", stdin="{d}\n")
        do("-H", "ALL", "deferred")
        do("-d", "ALL", "hold", "nosuch")
        assert side.queue() == []
        return told

    _alike(sides, play)


def test_a_flush_sends_what_defer_transports_keep_back(sides: tuple[Side, Side]) -> None:
    def play(side: Side) -> list[object]:
        _emptied(side)
        before = len(side.capture.got)
        for name in ("a@other.test", "b@other.test", "c@flushed.test", "d@other.test"):
            side.do("sendmail", "-f", "s@pair.test", name, stdin=MESSAGE)
        side.settled()
        (first,) = (e for e in side.queue() if e["recipients"][0]["address"] == "a@other.test")  # type: ignore[index]  # JSON
        told: list[object] = []
        for words, count in (
            (("postqueue", "-i", str(first["queue_id"])), 1),
            (("postqueue", "-s", "flushed.test"), 2),
            (("sendmail", "-q"), 4),
        ):
            side.do(*words)
            eventually(lambda count=count: len(side.capture.got) == before + count, f"{side.name}: {words}")  # type: ignore[misc]  # a default
            side.settled()
            told.append(sorted(got.recipient for got in side.capture.got[before:]))
        assert side.queue() == []
        return told

    _alike(sides, play)


def test_a_system_that_is_down_and_one_without_a_queue_directory(sides: tuple[Side, Side]) -> None:
    """The last: the queues are removed."""
    lines: list[tuple[tuple[str, ...], str | bytes]] = [
        *(
            ((*words,), "")
            for words in (
                ("postqueue", "-p"),
                ("postqueue", "-f"),
                ("postqueue", "-i", "ABC"),
                ("postqueue", "-s", "flushed.test"),
                ("mailq",),
                ("sendmail", "-q"),
                ("postcat", "-q", "ABC"),
                ("postsuper", "-d", "ABC"),
                ("postsuper", "-s"),
                ("postkick", "public", "pickup", "W"),
                ("postkick", "private", "bounce", "x"),
                ("postkick", "public", "nosuch", "x"),
            )
        ),
    ]
    send: tuple[tuple[str, ...], str | bytes] = (("sendmail", "-f", "s@far.test", "m@far.test"), MESSAGE)

    def play(side: Side) -> list[object]:
        (side.folder / "mail.log").chmod(0o666)  # Postfix's commands open it themselves now, as its owner
        _emptied(side)
        side.do("postfix", "-c", str(side.folder / "etc"), "stop")
        told: list[object] = list(_each(side, lines))
        told += _each(side, [send])
        told += [_told(side, side.run("postkick", "public", "pickup", "W", user="nobody"))]
        listed = side.calm(side.do("mailq"))
        told.append([line for line in listed.splitlines() if "@far.test" in line][-1].split()[-1])
        shutil.rmtree(side.folder / "spool")
        told += _each(side, [*lines, send, (("qshape",), "")])
        assert not (side.folder / "spool").exists()
        (side.folder / "spool").mkdir()
        return told

    _alike(sides, play)
