import json
import subprocess
import sys
from pathlib import Path

import pytest

from posthouse.commands.postconf import main

MAIN = "compatibility_level = 3.6\nmyhostname = mail.example.com\nmydomain = example.com\nmynetworks = 127.0.0.0/8\n"
MASTER = "smtp inet n - n - - smtpd\nslow unix - - n - - smtp\n  -o syslog_name=postfix/$service_name\n"


class Postconf:
    def __init__(self, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self.folder = folder
        self.capture = capfdbinary
        self.write(MAIN)
        (folder / "master.cf").write_text(MASTER)

    def write(self, text: str) -> None:
        (self.folder / "main.cf").write_text(text)

    def __call__(self, *arguments: str) -> tuple[str, list[str], int]:
        status = main(["-c", str(self.folder), *arguments])
        sys.stdout.flush()
        out, err = self.capture.readouterr()
        place = str(self.folder)
        return out.decode().replace(place, "@"), sorted(err.decode().replace(place, "@").splitlines()), status


@pytest.fixture
def postconf(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Postconf:
    return Postconf(tmp_path, capfdbinary)


def test_n_shows_what_is_set(postconf: Postconf) -> None:
    assert postconf("-n") == (
        "compatibility_level = 3.6\nconfig_directory = @\nmydomain = example.com\n"
        "myhostname = mail.example.com\nmynetworks = 127.0.0.0/8\n",
        [],
        0,
    )


def test_names_are_shown_in_the_order_asked_and_expanded(postconf: Postconf) -> None:
    assert postconf("-hx", "mydestination", "myorigin") == (
        "mail.example.com, localhost.example.com, localhost\nmail.example.com\n",
        [],
        0,
    )


def test_defaults_do_not_read_main_cf(postconf: Postconf) -> None:
    assert postconf("-d", "smtpd_banner")[0] == "smtpd_banner = $myhostname ESMTP $mail_name\n"


def test_an_unknown_name_is_a_warning(postconf: Postconf) -> None:
    assert postconf("nosuch") == ("", ["postconf: warning: nosuch: unknown parameter"], 0)


def test_unused_and_undefined_names_are_warned_about(postconf: Postconf) -> None:
    postconf.write(MAIN + "mynetwork = 10.0.0.0/8\nrelayhost = $nosuch\n")
    assert postconf("-h", "relayhost")[1] == [
        "postconf: warning: @/main.cf: undefined parameter: nosuch",
        "postconf: warning: @/main.cf: unused parameter: mynetwork=10.0.0.0/8",
    ]


def test_service_parameters_come_with_their_service(postconf: Postconf) -> None:
    assert (
        postconf("slow_destination_rate_delay")[0] == "slow_destination_rate_delay = $default_destination_rate_delay\n"
    )
    assert postconf("fast_destination_rate_delay")[1] == [
        "postconf: warning: fast_destination_rate_delay: unknown parameter"
    ]


def test_our_own_parameters_are_shown_when_set_and_not_among_the_defaults(postconf: Postconf) -> None:
    postconf.write(MAIN + "posthouse_workers = 2\n")
    assert "posthouse_workers = 2\n" in postconf("-n")[0]
    assert "posthouse_workers" not in postconf("-d")[0]
    assert postconf("-d", "posthouse_workers")[0] == "posthouse_workers = 1\n"


def test_a_broken_line_is_fatal(postconf: Postconf) -> None:
    postconf.write("relay host = foo\n")
    expected = "postconf: fatal: @/main.cf, line 1: missing '=' after attribute name: \"relay host = foo\""
    assert ("", [expected], 1) == postconf("-n")


def test_a_missing_master_cf_is_a_warning_for_main_cf_and_fatal_for_itself(postconf: Postconf) -> None:
    (postconf.folder / "master.cf").unlink()
    text = "open @/master.cf: No such file or directory"
    assert ("mydomain = example.com\n", [f"postconf: warning: {text}"], 0) == postconf("mydomain")
    assert ("", [f"postconf: fatal: {text}"], 1) == postconf("-M")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-d", "-n"], "specify one of -d -n"),
        (["-X", "a=b"], "specify one of -e -X"),
        (["-M", "-h"], "with option -M, do not specify -h"),
        (["-e"], "-e requires name=value argument"),
        (["-X"], "missing service argument"),
        (["-C", "nosuch"], 'unknown -C option value "nosuch" in "nosuch"'),
        (["-M", "a/b/c"], "-M option requires service_name[/type]"),
        (["-Me", "smtp=x"], "-Me, -MX or -M# requires service_name/type"),
        (["-Pe", "smtp/inet/a=b c"], "-Pe does not accept whitespace in parameter value"),
        (["-Fe", "smtp/inet/chroot=x"], 'invalid chroot field "x" in "x"'),
    ],
)
def test_wrong_requests_are_fatal(postconf: Postconf, arguments: list[str], complaint: str) -> None:
    assert ("", [f"postconf: fatal: {complaint}"], 1) == postconf(*arguments)


def test_an_unknown_option_shows_the_usage(postconf: Postconf) -> None:
    usage, unknown = postconf("-Z")[1]
    assert usage.startswith("postconf: fatal: usage: postconf [-a (server SASL types)]")
    assert unknown == "postconf: invalid option -- 'Z'"


def test_entries_fields_and_settings_are_shown(postconf: Postconf) -> None:
    line = "slow       unix  -       -       n       -       -       smtp"
    assert f"{line} -o syslog_name=postfix/slow\n" == postconf("-Mx", "slow")[0]
    assert f"{line}\n    -o syslog_name=postfix/$service_name\n" == postconf("-Mf", "slow/unix")[0]
    assert postconf("-F", "slow/unix/chroot")[0] == "slow/unix/chroot = n\n"
    assert postconf("-P")[0] == "slow/unix/syslog_name = postfix/$service_name\n"
    assert postconf("-M", "fast")[1] == ['postconf: warning: unmatched request: "fast"']


def test_edits_change_the_files(postconf: Postconf) -> None:
    assert postconf("relayhost=[mail.example.net]:587") == ("", [], 0)
    assert postconf("relayhost")[0] == "relayhost = [mail.example.net]:587\n"
    assert postconf("-P", "slow/unix/smtp_helo_timeout=5s") == ("", [], 0)
    assert postconf("-P", "slow/unix/smtp_helo_timeout")[0] == "slow/unix/smtp_helo_timeout = 5s\n"
    assert postconf("-MX", "slow/unix") == ("", [], 0)
    assert postconf("-M")[0] == "smtp       inet  n       -       n       -       -       smtpd\n"


def test_it_imports_nothing_slow() -> None:
    code = "import sys; import posthouse.commands.postconf; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set() == set(loaded) & {"asyncio", "ssl", "socket", "email", "typing", "ipaddress", "apsw"}


def test_notices_are_shown_in_the_words_of_the_template_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.cf").write_text("myhostname = host.example.com\n")
    template = tmp_path / "bounce.cf"
    template.write_text("failure_template = <<END\nSubject: x\n\nWritten at $myhostname.\nEND\n")
    assert main(["-c", str(tmp_path), "-b", str(template)]) == 0
    out = capfd.readouterr().out
    assert out.startswith("expanded_failure_text = <<EOF\nWritten at host.example.com.\nEOF\n\nexpanded_delay_text")
    assert main(["-c", str(tmp_path), "-b", f"{tmp_path}/none"]) == 1
    assert capfd.readouterr().err == f"postfix/bounce: fatal: open {tmp_path}/none: No such file or directory\n"


def test_templates_are_shown_as_a_template_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.cf").write_text("myhostname = host.example.com\n")
    assert main(["-c", str(tmp_path), "-t"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("failure_template = <<EOF\nCharset: us-ascii\nFrom: Mail Delivery System <MAILER-DAEMON>\n")
    assert "The mail server $myhostname could not" in out


def test_each_thing_is_a_json_object_in_a_line(postconf: Postconf) -> None:
    def objects(*arguments: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in postconf(*arguments)[0].splitlines()]

    assert objects("-j", "mail_name") == [{"name": "mail_name", "value": "Postfix"}]
    assert objects("-jM", "slow") == [
        {
            "service": "slow",
            "type": "unix",
            "private": "-",
            "unprivileged": "-",
            "chroot": "n",
            "wakeup": "-",
            "process_limit": "-",
            "command": "smtp -o syslog_name=postfix/$service_name",
        }
    ]
    assert objects("-jF", "slow/unix/chroot") == [{"service": "slow", "type": "unix", "field": "chroot", "value": "n"}]
    assert objects("-jxP") == [{"service": "slow", "type": "unix", "parameter": "syslog_name", "value": "postfix/slow"}]
    assert len(objects("-jn")) == len(postconf("-n")[0].splitlines())
    assert postconf("-jh", "mail_name")[1:] == (["postconf: fatal: specify one of -h -j"], 1)
    assert postconf("-jm")[1:] == (["postconf: fatal: with option -m, do not specify -j"], 1)


def test_names_that_nobody_reads_may_go_untold(postconf: Postconf) -> None:
    postconf("nobody_reads_this=x")
    assert len(postconf("-n")[1]) == 1
    assert postconf("-nq")[1] == []
    assert postconf("-qe", "a=b")[1:] == (["postconf: fatal: specify one of -e -q"], 1)
