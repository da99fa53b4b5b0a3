"""The queue's commands, given the same command lines beside Postfix: `./dev differential commands [SEED] [COUNT]`.

Both hold the same messages. What a command says is compared without ids, times and sizes, its exit status as it is;
as root and as an ordinary user.
"""

import re
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.interop.differential import generated, scarce, tried
from tests.interop.fair_choice import one_of, some
from tests.interop.pair import Side, pair

MAIN_CF = "defer_transports = smtp\nsmtpd_client_connection_count_limit = 0\n"
MESSAGES = (("a@far.test",), ("b@far.test", "c@far.test"), ("d@other.test",))

COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "postqueue": (("-p", "-j", "-i", "-s", "-c", "-pj", "--"), ("NOSUCH", "far.test", "bad domain", "-", "")),
    "mailq": (("-x", "-bp", "--"), ("word", "")),
    "postsuper": (
        ("-d", "-h", "-H", "-r", "-e", "-f", "-x", "-dx"),
        ("4444444444", "bad/id", "ALL", "nosuchqueue", "", "x.y"),
    ),
    "postcat": (("-q", "-b", "-e", "-h", "-o", "-d", "-x", "-bh", "-r"), ("4444444444", "bad/id", "/nonexistent", "")),
    "newaliases": (("-x",), ("word",)),
}
"""Options and arguments: none of them changes what is in the queue."""

HARMLESS = {"-d", "-h", "-H", "-r", "-e", "-f"}


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    """Both, with the same deferred messages."""
    with pair(MAIN_CF) as both:
        for side in both:
            for recipients in MESSAGES:
                side.do("sendmail", "-f", "sender@pair.test", *recipients, stdin="Subject: x\n\nbody\n")
            side.settled()
        yield both


def told(side: Side, argv: tuple[str, ...], user: str) -> tuple[int, list[str], list[str]]:
    """Status, output and complaints."""
    ran = side.run(*argv, user=user, stdin="")
    # getopt(3) and postcat name the path by which they were started.
    out, err = (re.sub(r"/usr/s?bin/", "", side.calm(text)) for text in (ran.out, ran.err))
    return ran.status, sorted(re.sub(r" +\d+(?= DATE)", " SIZE", out).splitlines()), sorted(err.splitlines())


def lines(name: str) -> st.SearchStrategy[tuple[str, list[str], list[str], str]]:
    """Command lines of one command."""
    options, words = COMMANDS[name]
    return st.tuples(st.just(name), some(options, most=3), some(words, most=2), one_of(("", "nobody")))


@pytest.mark.parametrize("name", COMMANDS)
def test_command_lines_are_answered_alike(sides: tuple[Side, Side], name: str) -> None:
    @generated(lines(name), 0.02, 6)
    def check(made: tuple[str, list[str], list[str], str]) -> None:
        command, options, words, user = made
        if command == "postsuper" and "ALL" in words and not user:
            return  # that would change the queue
        if user and command != "postsuper":
            return  # Postfix's set-gid commands take no private configuration from an ordinary user
        tried("commands", (command, *(f"{command} {option}" for option in options)))
        argv = (command, *options, *words)
        theirs, ours = (told(side, argv, user) for side in sides)
        assert theirs == ours, (argv, user)

    check()


def test_every_command_was_tried() -> None:
    assert scarce("commands", ["postqueue", "postcat"]) == []
