"""mail(1), the sending half."""

import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

import posthouse
from posthouse.commands import mail, mail_send, sendmail

ROOT = str(Path(posthouse.__file__).parents[1])


class FakeSendmail:
    """Takes what is handed over, as sendmail.main does: arguments, and the message on descriptor 0."""

    def __init__(self) -> None:
        self.status = 0
        self.sent: list[tuple[list[str], bytes]] = []

    def __call__(self, arguments: list[str]) -> int:
        with os.fdopen(os.dup(0), "rb") as file:
            self.sent.append((arguments, file.read()))
        return self.status


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A home of its own, and a sendmail that only listens. Standard input is as before afterwards."""
    fake = FakeSendmail()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sendmail, "main", fake)
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    kept = os.dup(0)
    fake.home = tmp_path
    yield fake
    os.dup2(kept, 0)
    os.close(kept)


def run(monkeypatch: pytest.MonkeyPatch, text: bytes, *arguments: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
    return mail.main(list(arguments))


def header_of(content: bytes) -> list[str]:
    return content.partition(b"\n\n")[0].decode().split("\n")


def test_a_text_and_a_subject_become_a_message(house, monkeypatch) -> None:
    assert run(monkeypatch, b"haha\n", "-s", "from desktop", "tony@tony.test") == 0
    assert house.sent == [(["-i", "--", "tony@tony.test"], b"To: tony@tony.test\nSubject: from desktop\n\nhaha\n")]


def test_options_may_come_after_addresses(house, monkeypatch) -> None:
    assert run(monkeypatch, b"x\n", "a@example.net", "-s", "late", "b@example.net") == 0
    ((arguments, content),) = house.sent
    assert arguments[-2:] == ["a@example.net", "b@example.net"]
    assert header_of(content) == ["To: a@example.net, b@example.net", "Subject: late"]


def test_copies_go_to_everybody_and_blind_ones_stand_nowhere(house, monkeypatch) -> None:
    run(monkeypatch, b"x\n", "-c", "c@example.net, d@example.net", "-b", "secret@example.net", "a@example.net")
    ((arguments, content),) = house.sent
    assert arguments[2:] == ["a@example.net", "c@example.net", "d@example.net", "secret@example.net"]
    assert header_of(content) == ["To: a@example.net", "Cc: c@example.net, d@example.net"]


def test_a_sender_is_handed_on(house, monkeypatch) -> None:
    run(monkeypatch, b"x\n", "-r", "cron@example.net", "-v", "a@example.net")
    assert house.sent[0][0] == ["-i", "-f", "cron@example.net", "-v", "--", "a@example.net"]


def test_a_field_is_added(house, monkeypatch) -> None:
    run(monkeypatch, b"x\n", "-a", "X-Job: nightly", "-a", "Reply-To: Jörg <j@example.net>", "a@example.net")
    assert header_of(house.sent[0][1])[1:] == ["X-Job: nightly", "Reply-To: =?UTF-8?B?SsO2cmc=?= <j@example.net>"]


def test_a_field_without_a_colon_is_refused(house, monkeypatch, capsys) -> None:
    assert run(monkeypatch, b"x\n", "-a", "nightly", "a@example.net") == 1
    assert capsys.readouterr().err == "mail: -a nightly: a header field (Name: text) is expected\n"
    assert house.sent == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("-s", "one\ntwo\n\nbody", "a@example.net"),
        ("-a", "X-A: one\n\nbody", "a@example.net"),
        ("-s", "x", "a@example.net\nBcc: b@example.net"),
        ("-c", "c@example.net\r\nX-B: 1", "a@example.net"),
    ],
)
def test_no_argument_adds_a_field_or_ends_the_header(house, monkeypatch, arguments) -> None:
    run(monkeypatch, b"text\n", *arguments)
    header, _, body = house.sent[0][1].partition(b"\n\n")
    assert body == b"text\n"
    names = [line.partition(b":")[0] for line in header.split(b"\n") if not line.startswith(b" ")]
    assert set(names) <= {b"To", b"Cc", b"Subject", b"X-A"}


def test_a_subject_beyond_ascii_is_encoded_in_short_words() -> None:
    words = mail_send.encoded_text("Grüße " * 20).split("\n ")
    assert len(words) > 1
    assert all(len(word) <= 75 and word.startswith("=?UTF-8?B?") for word in words)
    from posthouse.message.mime_words import decode_words

    assert decode_words(" ".join(words).encode()) == "Grüße " * 20


def test_a_name_beyond_ascii_is_encoded_and_its_address_is_not(house, monkeypatch) -> None:
    run(monkeypatch, b"x\n", "Jörg <j@example.net>")
    arguments, content = house.sent[0]
    assert arguments[2:] == ["j@example.net"]
    assert header_of(content) == ["To: =?UTF-8?B?SsO2cmc=?= <j@example.net>"]


def test_a_text_beyond_ascii_says_its_charset(house, monkeypatch) -> None:
    run(monkeypatch, "Grüße\n".encode(), "a@example.net")
    assert header_of(house.sent[0][1])[1:] == [
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]


def test_bytes_that_are_no_utf8_arrive_as_they_are_and_are_not_called_so(house, monkeypatch) -> None:
    run(monkeypatch, b"Gr\xfc\xdfe\n", "a@example.net")
    content = house.sent[0][1]
    assert content.endswith(b"\n\nGr\xfc\xdfe\n")
    assert b"charset=unknown-8bit" in content


def test_a_content_type_of_the_writer_is_kept_alone(house, monkeypatch) -> None:
    run(monkeypatch, "ü\n".encode(), "-a", "Content-Type: text/html; charset=utf-8", "a@example.net")
    assert house.sent[0][1].lower().count(b"content-type") == 1


def test_a_last_line_without_its_end_gets_one(house, monkeypatch) -> None:
    run(monkeypatch, b"no end", "a@example.net")
    assert house.sent[0][1].endswith(b"\n\nno end\n")


def test_an_empty_text_is_sent_with_a_word(house, monkeypatch, capsys) -> None:
    assert run(monkeypatch, b"", "-s", "x", "a@example.net") == 0
    assert capsys.readouterr().err == "Null message body; hope that's ok\n"
    assert len(house.sent) == 1


def test_with_E_an_empty_text_is_not_sent(house, monkeypatch) -> None:
    assert run(monkeypatch, b"", "-E", "-s", "x", "a@example.net") == 0
    assert house.sent == []


def test_recipients_are_wanted(house, monkeypatch, capsys) -> None:
    assert run(monkeypatch, b"x", "-s", "x") == 1
    assert "you must specify recipients" in capsys.readouterr().err


def test_an_unknown_option_is_refused(house, monkeypatch, capsys) -> None:
    assert run(monkeypatch, b"x", "-q", "a@example.net") == 1
    assert capsys.readouterr().err.startswith("mail: option -q not recognized\nusage: mail")


def test_what_cannot_be_sent_is_kept_for_its_writer_alone(house, monkeypatch, capsys) -> None:
    house.status = 75
    assert run(monkeypatch, b"precious\n", "-s", "x", "a@example.net") == 1
    letter = house.home / "dead.letter"
    assert letter.read_bytes() == b"To: a@example.net\nSubject: x\n\nprecious\n"
    assert letter.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().err == "mail: the message was not sent; it is in ~/dead.letter\n"


def test_a_large_text_is_handed_over_whole(house, monkeypatch) -> None:
    run(monkeypatch, b"x" * 99 + b"\n" + b"line\n" * 100_000, "a@example.net")
    assert house.sent[0][1].count(b"line\n") == 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@x b@x", ["a@x", "b@x"]),
        ("a@x, b@x,", ["a@x", "b@x"]),
        ("Joe Doe <j@x>, b@x", ["Joe Doe <j@x>", "b@x"]),
        ("", []),
    ],
)
def test_a_typed_list_has_commas_or_blanks(text: str, expected: list[str]) -> None:
    assert mail_send.addresses(text) == expected


class Terminal:
    """The command at a terminal of its own; its sendmail prints what it gets."""

    RUN = (
        f"import os, sys\nsys.path.insert(0, {ROOT!r})\n"
        "from posthouse.commands import mail, sendmail\n"
        "def take(arguments):\n"
        "    open(os.environ['SENT'], 'wb').write(' '.join(arguments).encode() + b'\\n' + os.read(0, 1 << 20))\n"
        "    return 0\n"
        "sendmail.main = take\n"
        "sys.exit(mail.main(sys.argv[1:]))"
    )

    def __init__(self, home: Path, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.sent = home / "sent"
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "SENT": str(self.sent), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", self.RUN, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode("utf-8", "surrogateescape"))

    def expect(self, text: str) -> None:
        """Read until the screen shows it."""
        while text not in self.said:
            assert select.select([self.master], [], [], 20)[0], f"no {text!r} in {self.said!r}"
            self.said += os.read(self.master, 4096).decode("utf-8", "replace")
        self.said = self.said.partition(text)[2]

    def end(self) -> int:
        """Let it end, with its terminal read so that it cannot wait for room there."""
        while select.select([self.master], [], [], 20)[0]:
            try:
                if not os.read(self.master, 4096):
                    break
            except OSError:
                break
        status = self.process.wait(timeout=20)
        os.close(self.master)
        return status


def test_a_message_is_typed_at_a_terminal_and_ends_with_a_dot(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "tony@tony.test")
    terminal.expect("Subject: ")
    terminal.type("hello\nline one\nline two\n.\n")
    terminal.expect("EOT")
    assert terminal.end() == 0
    assert (tmp_path / "sent").read_text() == (
        "-i -- tony@tony.test\nTo: tony@tony.test\nSubject: hello\n\nline one\nline two\n"
    )


def test_the_end_of_input_ends_the_text_too(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "-s", "x", "tony@tony.test")
    terminal.type("only line\n\x04")
    terminal.expect("EOT")
    assert terminal.end() == 0
    assert (tmp_path / "sent").read_text().endswith("\n\nonly line\n")


def test_tilde_escapes_change_the_message(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("from a file\n")
    terminal = Terminal(tmp_path, "-s", "old", "a@example.net")
    terminal.type("~s new\n~t b@example.net\n~c c@example.net\n~b d@example.net\n~r ~/notes\n")
    terminal.expect("notes")
    terminal.type("~~tilde\n~w ~/copy\n~p\n")
    terminal.expect("(continue)")
    terminal.type("~.\n")
    terminal.expect("EOT")
    assert terminal.end() == 0
    arguments, *content = (tmp_path / "sent").read_text().split("\n")
    assert arguments == "-i -- a@example.net b@example.net c@example.net d@example.net"
    assert content == [
        *("To: a@example.net, b@example.net", "Cc: c@example.net", "Subject: new"),
        *("", "from a file", "~tilde", ""),
    ]
    assert (tmp_path / "copy").read_text() == "from a file\n~tilde\n"


def test_an_unknown_escape_lists_them(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "-s", "x", "a@example.net")
    terminal.type("~j\n")
    terminal.expect("~w file")
    terminal.type("~x\n")
    assert terminal.end() == 1
    assert not (tmp_path / "sent").exists()
    assert not (tmp_path / "dead.letter").exists()


def test_giving_up_keeps_the_text(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "-s", "x", "a@example.net")
    terminal.type("half\n~q\n")
    assert terminal.end() == 1
    assert (tmp_path / "dead.letter").read_text() == "To: a@example.net\nSubject: x\n\nhalf\n"


class Typist:
    """Stands in for input(): lines, and exceptions that a terminal's keys make."""

    def __init__(self, *events: str | type[BaseException]) -> None:
        self.events = list(events)

    def __call__(self, prompt: str = "") -> str:
        event = self.events.pop(0)
        if isinstance(event, str):
            return event
        raise event


def test_one_interrupt_warns_and_two_kill_the_letter(house, monkeypatch, capsys) -> None:
    monkeypatch.setattr("builtins.input", Typist("subject", "half", KeyboardInterrupt, KeyboardInterrupt))
    assert mail_send.typed(mail_send.Draft(["a@example.net"])) is False
    assert capsys.readouterr().out == "\n(Interrupt -- one more to kill letter)\n"
    assert (house.home / "dead.letter").read_text() == "To: a@example.net\nSubject: subject\n\nhalf\n"


def test_a_line_after_an_interrupt_takes_it_back(house, monkeypatch) -> None:
    events = Typist("subject", KeyboardInterrupt, "on", KeyboardInterrupt, ".")
    monkeypatch.setattr("builtins.input", events)
    draft = mail_send.Draft(["a@example.net"])
    assert mail_send.typed(draft) is True
    assert draft.lines == ["on\n"]


def test_an_interrupt_at_the_subject_gives_up(house, monkeypatch) -> None:
    monkeypatch.setattr("builtins.input", Typist(KeyboardInterrupt))
    assert mail_send.typed(mail_send.Draft(["a@example.net"])) is False


def test_bytes_typed_in_another_charset_arrive(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "-s", "x", "a@example.net")
    terminal.type("gr\udcfc\udcdfe\n.\n")
    assert terminal.end() == 0
    assert (tmp_path / "sent").read_bytes().endswith(b"\n\ngr\xfc\xdfe\n")


def test_the_text_is_edited_with_the_editor(tmp_path: Path) -> None:
    draft = mail_send.Draft(["a@example.net"])
    draft.lines = ["before\n"]
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho after >>"$1"\n')
    editor.chmod(0o755)
    os.environ["VISUAL"] = str(editor)
    try:
        mail_send.edit(draft)
    finally:
        del os.environ["VISUAL"]
    assert "".join(draft.lines) == "before\nafter\n"
