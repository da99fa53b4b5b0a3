"""mail(1), the reading half: a dialogue over an mbox or a Maildir."""

import os
import pwd
from pathlib import Path

import pytest

from posthouse.commands import mail, mail_read, mail_send, mail_where
from posthouse.commands.mail_where import Place
from posthouse.message.structure_envelope import MessageAddress

ME = pwd.getpwuid(os.getuid()).pw_name

FIRST = """\
From ann@example.net  Mon Nov 23 10:00:00 2026
From: Ann <ann@example.net>
To: me@example.com
Subject: first
Message-ID: <1@example.net>

hello

"""
SECOND = """\
From bob@example.net  Mon Nov 23 11:00:00 2026
From: bob@example.net
Reply-To: desk@example.net
To: me@example.com, cy@example.net
Cc: dee@example.net
Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=

Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\x1b[31m
From the other side

"""
THIRD = """\
From eve@example.net  Mon Nov 23 12:00:00 2026
From: eve@example.net
Subject: =?UTF-8?Q?three=0ABcc:_victim@example.net=1B[2J?=
Message-ID: =?UTF-8?Q?=0AX-Evil:?=

bye

"""


class Desk:
    """A mailbox and a terminal's lines."""

    def __init__(self, path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        self.path = path
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def mail(self, *arguments: str, lines: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """Run; (status, standard output, standard error). The end of input comes after the last line."""
        waiting = list(lines)

        def typed(prompt: str = "") -> str:
            if not waiting:
                raise EOFError
            return waiting.pop(0)

        self._monkeypatch.setattr("builtins.input", typed)
        status = mail.main(list(arguments))
        said = self._capsys.readouterr()
        return status, said.out, said.err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    entry = pwd.getpwuid(os.getuid())
    mine = pwd.struct_passwd((*entry[:5], str(folder), entry.pw_shell))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {ME: mine}[name])
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: mine)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def spool(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Desk:
    path = tmp_path / "spool"
    path.write_text(FIRST + SECOND + THIRD, encoding="utf-8")
    os.utime(path, (1, 1))
    monkeypatch.setenv("MAIL", str(path))
    return Desk(path, home, monkeypatch, capsys)


@pytest.fixture
def maildir(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Desk:
    path = tmp_path / "Maildir"
    for name in ("new", "cur", "tmp"):
        (path / name).mkdir(parents=True)
    for number, text in enumerate((FIRST, SECOND, THIRD), 1):
        (path / "new" / f"{number}.host").write_text(text.partition("\n")[2], encoding="utf-8")
    monkeypatch.setenv("MAIL", str(path))
    return Desk(path, home, monkeypatch, capsys)


@pytest.fixture(params=["spool", "maildir"])
def desk(request: pytest.FixtureRequest) -> Desk:
    return request.getfixturevalue(request.param)


def test_the_list_shows_who_and_what(desk: Desk) -> None:
    status, out, _ = desk.mail(lines=("x",))
    assert status == 0
    heading, counts, *rows = out.splitlines()
    assert heading == "Mail (Posthouse).  Type ? for help."
    assert counts == f'"{desk.path}": 3 messages 3 new'
    assert [row[:27].rstrip() for row in rows] == [
        ">N  1 ann@example.net",
        " N  2 bob@example.net",
        " N  3 eve@example.net",
    ]
    assert rows[0].endswith("first")
    assert rows[1].endswith("Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e")


def test_a_message_is_printed_with_the_fields_people_read(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("1", "x"))
    assert "Message 1:\nFrom: Ann <ann@example.net>\nTo: me@example.com\nSubject: first\n\nhello\n" in out
    assert "Message-ID" not in out


def test_Print_shows_every_field(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("P 1", "x"))
    assert "Message-ID: <1@example.net>\n" in out


def test_enter_prints_the_current_one_and_then_the_next(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("", "", "", "", "x"))
    assert [line for line in out.splitlines() if line.startswith(("Message", "At"))] == [
        *("Message 1:", "Message 2:", "Message 3:", "At EOF"),
    ]


def test_a_message_cannot_drive_the_terminal(desk: Desk) -> None:
    _, out, _ = desk.mail(lines=("P 1-3", "x"))
    assert "\x1b" not in out
    assert "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}?[31m" in out


def test_an_encoded_line_end_makes_no_field_of_its_own(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("3", "x"))
    assert "Subject: three Bcc: victim@example.net?[2J\n" in out


def test_quit_removes_what_was_deleted_and_marks_what_was_read(spool: Desk) -> None:
    status, out, _ = spool.mail("-N", lines=("d 1", "2", "q"))
    assert status == 0
    assert out.endswith(f"Held 2 messages in {spool.path}\n")
    text = spool.path.read_text(encoding="utf-8")
    assert "Subject: first" not in text
    second, third = text.split("From eve@")
    assert "\nStatus: R" in second
    assert "R" not in "".join(line for line in third.splitlines() if line.startswith("Status:"))


def test_quit_of_a_maildir_moves_and_flags(maildir: Desk) -> None:
    maildir.mail("-N", lines=("d 1", "2", "q"))
    names = sorted(path.name for folder in ("new", "cur") for path in (maildir.path / folder).iterdir())
    assert [name.partition(":")[0] for name in names] == ["2.host", "3.host"]
    assert names[0] == "2.host:2,S"


def test_exit_leaves_all_as_it_was(desk: Desk) -> None:
    def all_of_it() -> dict[str, bytes]:
        # Looking into a Maildir takes messages from new to cur, without a flag; that is the looker's duty.
        paths = [desk.path] if desk.path.is_file() else list(desk.path.glob("[nc]*/*"))
        return {path.name.removesuffix(":2,"): path.read_bytes() for path in paths}

    before = all_of_it()
    desk.mail(lines=("d 1", "2", "x"))
    assert all_of_it() == before
    assert " 3 new\n" in desk.mail(lines=("x",))[1]


def test_the_end_of_input_quits(desk: Desk) -> None:
    assert desk.mail("-N", lines=("d *",))[0] == 0
    assert desk.mail() == (1, "", f"No mail for {ME}\n")


def test_what_was_looked_at_is_no_longer_new(desk: Desk) -> None:
    desk.mail(lines=("q",))
    assert " 3 unread\n" in desk.mail(lines=("x",))[1]


def test_undelete_keeps_a_message(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("d1", "d 2-3", "u 1-2", "q"))
    assert out.endswith(f"Held 2 messages in {desk.path}\n")


def test_a_deleted_message_is_not_listed_or_printed(desk: Desk) -> None:
    _, out, _ = desk.mail("-N", lines=("d 2", "h", "2", "x"))
    assert "bob@" not in out
    assert "No applicable messages\n" in out


@pytest.mark.parametrize("line", ["4", "0", "1-9", "p 1-99999999999", "d \N{SUPERSCRIPT TWO}", "p a-b", "p -", "\x01"])
def test_a_list_that_names_no_message_is_refused_in_words(spool: Desk, line: str) -> None:
    status, out, _ = spool.mail("-N", lines=(line, "q"))
    assert status == 0
    assert out.endswith(f"Held 3 messages in {spool.path}\n")
    assert "Message 1:" not in out


def test_saving_appends_to_an_mbox(desk: Desk, tmp_path: Path) -> None:
    _, out, _ = desk.mail("-N", lines=(f"s 2 {tmp_path}/kept", f"s 1 {tmp_path}/kept", "x"))
    assert f'"{tmp_path}/kept" [New file]\n"{tmp_path}/kept" [Appended]\n' in out
    kept = (tmp_path / "kept").read_text(encoding="utf-8")
    assert kept.startswith("From bob@example.net  Mon Nov 23 11:00:00 2026\n") or desk.path.is_dir()
    assert "\n>From the other side\n\nFrom ann@example.net" in kept
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_writing_leaves_the_header_out(desk: Desk, tmp_path: Path) -> None:
    desk.mail("-N", lines=(f"w 1 {tmp_path}/text", "x"))
    assert (tmp_path / "text").read_text().strip() == "hello"


def test_a_file_that_cannot_be_written_is_told(desk: Desk, tmp_path: Path) -> None:
    _, out, _ = desk.mail("-N", lines=(f"s 1 {tmp_path}/none/kept", "s", "x"))
    assert f"{tmp_path}/none/kept: No such file or directory\nNo file specified.\n" in out


class Sent:
    """Notes the drafts that are handed over; they are in a child, so a file tells."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, draft: mail_send.Draft, *, verbose: bool = False) -> int:
        self.path.write_bytes(draft.content())
        return 0


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mail_send, "hand_over", Sent(tmp_path / "sent"))
    return tmp_path / "sent"


def test_a_reply_goes_where_the_sender_wants_it(spool: Desk, sent: Path) -> None:
    spool.mail("-N", lines=("r 2", "thanks", ".", "x"))
    assert sent.read_bytes().decode() == ("To: desk@example.net\nSubject: =?UTF-8?B?UmU6IEdyw7zDn2U=?=\n\nthanks\n")


def test_a_reply_to_everybody(spool: Desk, sent: Path) -> None:
    spool.mail("-N", lines=("R 2", "thanks", ".", "x"))
    assert sent.read_text().startswith("To: desk@example.net, me@example.com, cy@example.net, dee@example.net\n")


def test_a_reply_names_what_it_answers(spool: Desk, sent: Path) -> None:
    spool.mail("-N", lines=("r 1", "thanks", ".", "x"))
    assert "In-Reply-To: <1@example.net>\nReferences: <1@example.net>\n\n" in sent.read_text()


def test_a_reply_cannot_be_given_fields_by_what_it_answers(spool: Desk, sent: Path) -> None:
    spool.mail("-N", lines=("r 3", "thanks", ".", "x"))
    header = sent.read_text().partition("\n\n")[0]
    names = [line.partition(":")[0] for line in header.split("\n") if not line.startswith(" ")]
    assert names == ["To", "Subject", "In-Reply-To", "References"]


@pytest.mark.parametrize(
    ("local_part", "expected"),
    [(b"ann", "ann@x"), (b"a, b", '"a, b"@x'), (b"a\nBcc: b", r'"a\ Bcc: b"@x'), (b"-oQ/tmp", "-oQ/tmp@x")],
)
def test_an_address_stays_one_address(local_part: bytes, expected: str) -> None:
    assert mail_read.typed_address(MessageAddress(None, None, local_part, b"x")) == expected


def test_no_mail_is_told_and_exits_1(spool: Desk) -> None:
    spool.path.write_bytes(b"")
    assert spool.mail() == (1, "", f"No mail for {ME}\n")
    spool.path.unlink()
    assert spool.mail() == (1, "", f"No mail for {ME}\n")


def test_with_e_only_the_status_tells(desk: Desk) -> None:
    assert desk.mail("-e") == (0, "", "")


def test_with_e_and_no_mail_it_is_1(spool: Desk) -> None:
    spool.path.write_bytes(b"")
    assert spool.mail("-e") == (1, "", "")


def test_with_H_only_the_list_is_shown(desk: Desk) -> None:
    status, out, _ = desk.mail("-H")
    assert (status, len(out.splitlines())) == (0, 3)


def test_another_file_is_read(spool: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(FIRST)
    assert spool.mail("-H", "-f", str(other))[1].splitlines()[0].endswith("first")
    assert spool.mail("-f", str(tmp_path / "none")) == (1, "", f"{tmp_path}/none: No such file or directory\n")


def test_f_alone_is_the_users_own_mbox(spool: Desk) -> None:
    (spool.home / "mbox").write_text(SECOND, encoding="utf-8")
    assert "bob@example.net" in spool.mail("-H", "-f")[1]


def test_what_is_no_mailbox_is_refused_in_words(spool: Desk) -> None:
    spool.path.write_bytes(b"\x00\x01 no mail\n")
    assert spool.mail() == (1, "", f"mail: {spool.path}: {spool.path}: not an mbox file\n")


def test_an_unknown_user_is_refused_in_words(spool: Desk) -> None:
    assert spool.mail("-u", "nobody-of-this-name") == (1, "", "mail: no user nobody-of-this-name\n")


def test_the_place_is_where_local_delivery_puts_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIL", raising=False)
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nhome_mailbox = Maildir/\n")
    assert mail_where.place_of(ME) == Place(home / "Maildir", home)
    (tmp_path / "main.cf").write_text(f"compatibility_level = 3.6\nmail_spool_directory = {tmp_path}/var\n")
    assert mail_where.place_of(ME) == Place(tmp_path / "var" / ME, home)
    (home / "Maildir" / "cur").mkdir(parents=True)
    assert mail_where.place_of(ME) == Place(home / "Maildir", home)


def test_commands_that_do_not_exist_are_told(spool: Desk) -> None:
    assert 'Unknown command: "folder"\n' in spool.mail("-N", lines=("folder", "?", "x"))[1]


def test_a_long_list_comes_in_pages(spool: Desk) -> None:
    spool.path.write_text(FIRST * 45)
    _, out, _ = spool.mail("-N", lines=("h", "z", "z", "z", "z-", "x"))
    numbers = [int(line[2:5]) for line in out.splitlines() if "ann@example.net" in line]
    assert numbers == [*range(1, 21), *range(21, 41), *range(41, 46), *range(41, 46), *range(21, 41)]
    assert "On last screenful of messages\n" in out
