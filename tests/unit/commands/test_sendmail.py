import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import posthouse
from posthouse.commands.sendmail_options import SendmailOptions, UsageError, directory_of, parse_options, split_words
from posthouse.envelope.envelope import Trace
from posthouse.host.maildrop import dropped, read_drop
from posthouse.wire.intake import END, Submission

HERE = str(Path(posthouse.__file__).parents[1])
RUN = (
    f"import sys\nsys.path.insert(0, {HERE!r})\n"
    "from posthouse.commands.sendmail import main\nsys.exit(main(sys.argv[1:]))"
)
WARNING = "postdrop: warning: unable to look up public/pickup: No such file or directory\n"
MESSAGE = b"From: me@example.com\nTo: you@example.net\nSubject: test\n\nHello\n.\nAfter dot\n"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "spool/posthouse/maildrop").mkdir(parents=True)
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nmyhostname = mail.example.com\nqueue_directory = {tmp_path}/spool\n"
        f"data_directory = {tmp_path}/data\n"
    )
    return tmp_path


def sendmail(house: Path, *arguments: str, stdin: bytes = MESSAGE) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, *arguments],
        input=stdin,
        capture_output=True,
        env={"MAIL_CONFIG": str(house), "PATH": os.environ["PATH"]},
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


SAID = "Mail Delivery Status Report will be mailed to <s@x>.\n"


def test_v_asks_for_a_report_of_the_first_attempt(house: Path) -> None:
    assert sendmail(house, "-v", "-fs@x", "a@x.example") == (0, SAID + WARNING)
    ((submission, content),) = waiting(house)
    assert submission.trace is Trace.RECORD
    assert content.startswith(b"From: me@example.com\r\n")


def test_bv_hands_over_a_probe_and_reads_nothing(house: Path) -> None:
    assert sendmail(house, "-bv", "-fs@x", "a@x.example", "b") == (0, SAID + WARNING)
    ((submission, content),) = waiting(house)
    assert submission.trace is Trace.VERIFY
    assert content == b"From: s@x\r\nSubject: probe\r\nTo:\ta@x.example,\r\n\tb\r\n\r\n"


def waiting(house: Path) -> list[tuple[Submission, bytes]]:
    return [read_drop(one.path) for one in dropped(str(house / "spool"))]


def test_a_message_waits_in_the_maildrop_when_nobody_listens(house: Path) -> None:
    assert sendmail(house, "-f", "sender@example.com", "you@example.net", "two@example.org") == (0, WARNING)
    ((submission, content),) = waiting(house)
    assert submission.sender == "sender@example.com"
    assert [r.address for r in submission.recipients] == ["you@example.net", "two@example.org"]
    assert content == b"From: me@example.com\r\nTo: you@example.net\r\nSubject: test\r\n\r\nHello\r\n"


def listening(house: Path, reply: bytes) -> threading.Thread:
    """An intake socket that gives one reply."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(house / "spool/posthouse/intake"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            data = b""
            while not data.endswith(END):
                data += connection.recv(65536)
            connection.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_what_is_not_wanted_for_now_waits_in_the_maildrop(house: Path) -> None:
    text = b"F451 4.7.1 Service unavailable - try again later"
    thread = listening(house, b"%d:%b," % (len(text), text))
    body = b"x" * 70 + b"\n"
    assert sendmail(house, "-fs@x", "a@x.example", stdin=b"Subject: t\n\n" + body * 30_000) == (0, "")
    thread.join()
    ((submission, content),) = waiting(house)
    assert submission.sender == "s@x"
    assert content == b"Subject: t\r\n\r\n" + body.replace(b"\n", b"\r\n") * 30_000


@pytest.mark.parametrize("text", [b"F550 5.7.1 no", b"F454 4.3.0 Temporary lookup failure"])
def test_what_is_refused_or_may_not_be_submitted_waits_nowhere(house: Path, text: bytes) -> None:
    thread = listening(house, b"%d:%b," % (len(text), text))
    status, said = sendmail(house, "-fs@x", "a@x.example")
    thread.join()
    assert (status, said.split(": ")[-1]) == (75, text.decode().partition(" ")[2].partition(" ")[2] + "\n")
    assert waiting(house) == []


def test_ignored_options_are_accepted(house: Path) -> None:
    status, _ = sendmail(
        house,
        *("-oi", "-om", "-odb", "-oem", "-B8BITMIME", "-FJoe Full", "-fs@example.com", "-U", "-G", "-m", "-hc", "10"),
        "a@example.net",
        stdin=b"\nno headers\n",
    )
    assert status == 0
    ((submission, content),) = waiting(house)
    assert (submission.full_name, submission.body, submission.local_rewrite) == ("Joe Full", "8BITMIME", False)
    assert [r.address for r in submission.recipients] == ["10", "a@example.net"]
    assert content == b"\r\nno headers\r\n"


def test_recipients_from_the_header(house: Path) -> None:
    status, _ = sendmail(
        house, "-t", "-i", "extra@x.example", stdin=b"To: a@x.example, A@x.example\nBcc: b@x.example\n\n.\n"
    )
    assert status == 0
    ((submission, content),) = waiting(house)
    assert [r.address for r in submission.recipients] == ["extra@x.example", "a@x.example", "b@x.example"]
    assert content.endswith(b"\r\n\r\n.\r\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "fatal: root(0): Recipient addresses must be specified on the command line or via the -t option"),
        (("-t",), "fatal: root(0): No recipient addresses found in message header"),
        (("-bx",), "fatal: unsupported: -bx"),
        (("-n", "a@x"), "fatal: -n option not supported"),
        (("-C", "/nonexistent", "a"), "fatal: open /nonexistent/main.cf: No such file or directory"),
    ],
)
def test_failures_end_with_75(house: Path, arguments: tuple[str, ...], words: str) -> None:
    if os.getuid() != 0:
        words = words.replace("root(0)", "")
    status, text = sendmail(house, *arguments, stdin=b"Subject: x\n\n")
    assert status == 75
    assert words in text or os.getuid() != 0
    assert waiting(house) == []


def test_a_message_that_is_too_big_is_refused(house: Path) -> None:
    with open(house / "main.cf", "a", encoding="ascii") as file:
        file.write("message_size_limit = 1000\n")
    status, text = sendmail(house, "-f", "s@x", "a@x.example", stdin=b"x" * 70_000)
    assert status == 75
    assert text.endswith(f"sendmail: fatal: s@x({os.getuid()}): message file too big\n")
    assert waiting(house) == []


def test_delivery_status_options(house: Path) -> None:
    assert sendmail(house, "-N", "success,delay", "-R", "hdrs", "-V", "id+1 x", "a@x.example")[0] == 0
    ((submission, _),) = waiting(house)
    assert (submission.ret, submission.envid) == ("HDRS", "id+2B1+20x")
    assert int(submission.recipients[0].notify) == 2 | 8


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["-Z"], ("invalid option -- 'Z'", "invalid option -- 'Z'", "fatal: usage: sendmail [options]")),
        (["-L"], ("option requires an argument -- 'L'",) * 2 + ("fatal: usage: sendmail [options]",)),
        (["-Zn"], ("invalid option -- 'Z'", "invalid option -- 'Z'", "fatal: usage: sendmail [options]")),
        (["-nZ"], ("invalid option -- 'Z'", "fatal: -n option not supported")),
        (["-B", "x"], ("fatal: -B option needs 8BITMIME or 7BIT",)),
        (["-B8bitmime"], ("fatal: -B option needs 8BITMIME or 7BIT",)),
        (["-bv", "-t"], ("fatal: -t option cannot be used with -bv",)),
        (["-bv", "-v"], ("fatal: -v option cannot be used with -bv",)),
        (["-bv", "-bp", "-v"], ("fatal: -v option cannot be used with -bv",)),
        (["-bp", "-t"], ("fatal: -t can be used only in delivery mode",)),
        (["-b", "word"], ("fatal: unsupported: -bw",)),
        (["-qSx"], ("fatal: -qS is not implemented",)),
        (["-qR"], ("fatal: specify: -qRsitename",)),
        (["-qI"], ("fatal: specify: -qIqueueid",)),
        (["-Xlog"], ("fatal: unsupported: -Xl",)),
        (["-XV+"], ("fatal: -V requires two characters from -=+",)),
        (["-XVab"], ("fatal: -V requires two characters from -=+",)),
        (
            ["-Vab"],
            (
                "warning: option -Vab is deprecated with Postfix 2.3; specify -XVab instead",
                "fatal: -V requires two characters from -=+",
            ),
        ),
        (
            ["-Nx", "-Ry", "-n"],
            (
                'warning: unknown DSN NOTIFY command value "x" in "x"',
                "warning: bad -N option value -- ignored",
                "warning: bad -R option value -- ignored",
                "fatal: -n option not supported",
            ),
        ),
    ],
)
def test_usage_errors(arguments: list[str], lines: tuple[str, ...]) -> None:
    said: list[str] = []
    with pytest.raises(UsageError) as caught:
        parsed(arguments, said)
    assert (*said, str(caught.value)) == lines


def parsed(arguments: list[str], said: list[str]) -> SendmailOptions:
    words, recipients = split_words(arguments)
    directory_of(words, said.append)
    return parse_options(words, recipients, said.append, "-=+")


def options(arguments: list[str]) -> SendmailOptions:
    return parsed(arguments, [])


def test_modes() -> None:
    assert options(["-q"]).flush == ("-f",)
    assert options(["-qIABC"]).flush == ("-i", "ABC")
    assert options(["-qRx.example"]).flush == ("-s", "x.example")
    assert options(["-q5m"]).mode == options(["-bh"]).mode == "ignore"
    assert options(["-bl"]).mode == "d"
    assert options(["-I"]).mode == "i"
    assert options(["-ti", "--", "-x"]).recipients == ["-x"]
    assert options(["-qIABC", "-qRx.example", "-q"]).flush == ("-s", "x.example")
    assert options(["-q5m", "-bp"]).mode == options(["-bs", "-q1"]).mode == options(["-q1", "-t"]).mode == "ignore"
    assert options(["-q5m", "-bd"]).mode == "d"
    assert options(["-V+=", "a"]).verp == "+="
    assert options(["-N", " "]).notify == 0


def test_two_characters_after_a_lone_V_are_the_first_recipient() -> None:
    said: list[str] = []
    made = parsed(["-V", "+=", "a"], said)
    assert (made.verp, made.recipients) == ("", ["+=", "a"])
    assert said == ["warning: option -V is deprecated with Postfix 2.3; specify -XV instead"]
    assert options(["-V", "id+1", "a"]).envid == "id+1"


def test_C_takes_main_cf_or_its_folder() -> None:
    assert directory_of(split_words(["-C", "/etc/postfix", "-n", "-C/x/main.cf"])[0], print) == "/x/main.cf"


def test_a_fatal_error_is_in_the_mail_log(house: Path) -> None:
    log = house / "mail.log"
    with open(house / "main.cf", "a", encoding="ascii") as file:
        file.write(f"maillog_file = {log}\nmaillog_file_prefixes = {house}\n")
    assert sendmail(house, "-Ny", "-C", f"{house}/main.cf", "-bx")[0] == 75
    assert [line.partition("]: ")[2] for line in log.read_text().splitlines()] == [
        'warning: unknown DSN NOTIFY command value "y" in "y"',
        "warning: bad -N option value -- ignored",
        "fatal: unsupported: -bx",
    ]


def test_what_was_given_with_a_source_route_is_the_original_recipient(house: Path) -> None:
    text = b"To: <@r.example,@t.example:a@x.example>\n\nb\n"
    assert sendmail(house, "-t", "@r.example:b@x.example", stdin=text)[0] == 0
    ((submission, _),) = waiting(house)
    assert [(recipient.address, recipient.original) for recipient in submission.recipients] == [
        ("b@x.example", "@r.example:b@x.example"),
        ("a@x.example", "@r.example,@t.example:a@x.example"),
    ]


def test_other_words() -> None:
    assert options(["a", "-f", "b"]).recipients == ["a", "-f", "b"]


def test_smtp_on_standard_input(house: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, "-bs"],
        input=b"EHLO x\r\nDATA\r\nMAIL FROM:<a@b.c> BODY=8BITMIME\r\nRCPT TO:<x@y.z> NOTIFY=NEVER\r\nDATA\r\n"
        b"Subject: t\r\n\r\n..x\r\n.\r\nFOO\r\nQUIT\r\n",
        capture_output=True,
        env={"MAIL_CONFIG": str(house), "PATH": os.environ["PATH"]},
        timeout=60,
        check=False,
    )
    ((submission, content),) = waiting(house)
    assert (submission.sender, [r.address for r in submission.recipients]) == ("a@b.c", ["x@y.z"])
    assert content == b"Subject: t\r\n\r\n.x\r\n"
    replies = [line[:4] for line in done.stdout.decode().splitlines() if line[3:4] == " "]
    assert replies == ["220 ", "250 ", "503 ", "250 ", "250 ", "354 ", "250 ", "500 ", "221 "]
