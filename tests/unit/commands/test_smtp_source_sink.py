"""smtp-source and smtp-sink, one against the other."""

import dataclasses
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.commands import smtp_sink, smtp_source
from posthouse.commands.smtp_sink import Server
from posthouse.commands.smtp_sink_options import parse_options


@contextmanager
def sink(path: Path, *options: str) -> Iterator[Server]:
    """A sink on a socket of the folder, in a thread; it ends with its -M or -n."""
    parsed = parse_options([*options, "-u", "nobody", f"unix:{path}/sink", "50"])
    server = Server(dataclasses.replace(parsed, identity=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server._listening:  # The name is there a moment before anybody listens under it.
        thread.join(0.001)
    yield server
    thread.join(20)
    assert not thread.is_alive()


def say(path: Path, *lines: str) -> list[str]:
    """The replies to a dialogue, without its banner."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"{path}/sink")
        client.sendall("".join(f"{line}\r\n" for line in lines).encode())
        replies = client.makefile("rb").read().decode().splitlines()
    return replies[1:]


def test_every_message_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sink(tmp_path, "-n", "60") as server:
        options = ["-s", "5", "-m", "60", "-l", "4096", "-r", "3"]
        assert smtp_source.main([*options, f"unix:{tmp_path}/sink"]) == 0
    assert server.messages == 60
    assert capsys.readouterr() == ("", "")


def test_lmtp_gets_a_reply_for_each_recipient(tmp_path: Path) -> None:
    with sink(tmp_path, "-L", "-n", "2") as server:
        assert smtp_source.main(["-L", "-r", "3", "-m", "2", f"unix:{tmp_path}/sink"]) == 0
    assert server.messages == 2


def test_the_counters_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sink(tmp_path, "-c", "-n", "1"):
        say(tmp_path, "HELO x", "MAIL FROM:<>", "RCPT TO:<a>", "DATA", ".", "QUIT")
    assert capsys.readouterr().out == "sess=0 quit=0 mesg=1\rsess=1 quit=1 mesg=1\r"


def test_replies_are_postfixs(tmp_path: Path) -> None:
    with sink(tmp_path, "-n", "1", "-f", "vrfy", "-r", "noop"):
        replies = say(tmp_path, "FOO", "RCPT TO:<a>", "DATA", "MAIL FROM:<>", "MAIL", "VRFY x", "NOOP", "", "QUIT")
    assert replies == [
        "500 5.5.1 Error: unknown command",
        "503 5.5.1 Error: need MAIL command",
        "503 5.5.1 Error: need RCPT command",
        "250 2.1.0 Ok",
        "503 5.5.1 Error: nested MAIL command",
        "500 5.3.0 Error: command failed",
        "450 4.3.0 Error: command failed",
        "500 5.5.2 Error: unknown command",
        "221 Bye",
    ]


def test_mail_is_kept_as_it_came(tmp_path: Path) -> None:
    with sink(tmp_path, "-n", "1", "-D", f"{tmp_path}/kept", "-S", "start\\n"):
        say(tmp_path, "EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "S: x", "", "..dot", ".", "QUIT")
    lines = (tmp_path / "kept").read_text().splitlines()
    assert lines[:6] == [
        "start",
        "X-Client-Addr: 127.0.0.1",
        "X-Client-Proto: ESMTP",
        "X-Helo-Args: x",
        "X-Mail-Args: <a@b>",
        "X-Rcpt-Args: <c@d>",
    ]
    assert lines[9:] == ["S: x", "", ".dot", ""]


def test_a_refusal_ends_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sink(tmp_path, "-n", "1", "-f", "rcpt"):
        assert smtp_source.main([f"unix:{tmp_path}/sink"]) == 1
    assert capsys.readouterr().err == ("smtp-source: fatal: recipient rejected: 500 5.3.0 Error: command failed\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-m", "0", "x"], "bad message count: 0"),
        (["-l", "0", "x"], "bad message length: 0"),
        (["-s", "0", "x"], "bad session count: 0"),
        (["-R", "1", "-w", "1", "x"], "do not use -w and -R options at the same time"),
        (["-F", "/nonexistent", "x"], "open /nonexistent: No such file or directory"),
        (["unix:/nonexistent"], "connect: No such file or directory"),
    ],
)
def test_the_source_refuses(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert smtp_source.main(arguments) == 1
    assert capsys.readouterr().err == f"smtp-source: fatal: {complaint}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-u", "nosuchuser", "x:1", "1"], "unknown user: nosuchuser"),
        (["-t", "0", "x:1", "1"], "bad timeout: 0"),
        (["-m", "0", "x:1", "1"], "bad concurrency limit: 0"),
        (["-f", "bogus", "x:1", "1"], "unknown command: bogus"),
        (["-W", "x", "x:1", "1"], "invalid command delay argument: x"),
    ],
)
def test_the_sink_refuses(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert smtp_sink.main(arguments) == 1
    assert capsys.readouterr().err == f"smtp-sink: fatal: {complaint}\n"
