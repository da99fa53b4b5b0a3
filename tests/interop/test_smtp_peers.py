"""swaks, and the real Postfix's smtp-source and smtp-sink, speak with us."""

import mailbox
import os
import subprocess
from pathlib import Path

import pytest

from tests.interop.peers import Ours, peer
from tests.system.machine import eventually, run


def subjects(folder: Path) -> list[str]:
    """The subjects of a Maildir."""
    if not (folder / "cur").exists():
        return []
    return [message["Subject"] for message in mailbox.Maildir(folder, factory=None, create=False)]


def swaks(ours: Ours, *options: str, port: int = 0) -> tuple[int, str]:
    """Exit status and transcript of one dialogue."""
    program = peer("swaks")
    if "--tls" in options and "TLS supported" not in run([program, "--support"]).out:
        pytest.skip("needs libnet-ssleay-perl, for swaks to speak TLS (Debian: apt-get install libnet-ssleay-perl)")
    ran = run([program, "--server", "127.0.0.1", "--port", str(port or ours.smtp), "--timeout", "20", *options])
    return ran.status, ran.out + ran.err


def test_swaks_delivers_in_plain_text(ours: Ours) -> None:
    status, said = swaks(ours, "--from", "a@client.test", "--to", "ann@virt.test", "--header", "Subject: plain swaks")
    assert status == 0, said
    eventually(lambda: "plain swaks" in subjects(ours.folder / "boxes" / "ann"))


def test_swaks_delivers_over_starttls(ours: Ours) -> None:
    status, said = swaks(
        ours, "--tls", "--from", "a@client.test", "--to", "ann@virt.test", "--header", "Subject: tls swaks"
    )
    assert status == 0, said
    assert "=== TLS started with cipher" in said
    eventually(lambda: "tls swaks" in subjects(ours.folder / "boxes" / "ann"))
    ours.instance.logged(r"Anonymous TLS connection established from unknown\[127\.0\.0\.1\]: TLSv1\.3 with cipher")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in_on_the_submission_port(ours: Ours, mechanism: str) -> None:
    who = ("--auth", mechanism, "--auth-user", "ann@virt.test")
    options = ("--tls", "--from", "ann@virt.test", "--to", "ann@virt.test", "--header", f"Subject: by {mechanism}")
    status, said = swaks(ours, *options, *who, "--auth-password", "annspw", port=ours.submission)
    assert status == 0, said
    assert "235 2.7.0 Authentication successful" in said
    eventually(lambda: f"by {mechanism}" in subjects(ours.folder / "boxes" / "ann"))
    ours.instance.logged(
        rf"submission/smtpd\[\d+\]: \w+: client=.*, sasl_method={mechanism}, sasl_username=ann@virt\.test"
    )


def test_a_wrong_password_is_refused(ours: Ours) -> None:
    who = ("--auth", "PLAIN", "--auth-user", "ann@virt.test", "--auth-password", "wrong")
    status, said = swaks(ours, "--tls", "--from", "ann@virt.test", "--to", "ann@virt.test", *who, port=ours.submission)
    assert status == 28, said  # swaks: AUTH failed
    assert "535 5.7.8 Error: authentication failed" in said


def test_no_login_is_offered_without_tls(ours: Ours) -> None:
    status, said = swaks(ours, "--quit-after", "EHLO", port=ours.submission)
    assert status == 0, said
    assert "AUTH" not in said and "250-STARTTLS" in said


@pytest.mark.parametrize("per_connection", ["one message per connection", "many messages per connection"])
def test_smtp_source_through_us_to_smtp_sink_loses_nothing(ours: Ours, per_connection: str) -> None:
    source, sink = peer("smtp-source", package="postfix"), peer("smtp-sink", package="postfix")
    count = 200
    options = ["-d"] if per_connection.startswith("many") else []
    # The sink writes each message to a file of its own; started by root it is somebody else.
    dump = ours.folder / "boxes" / per_connection.replace(" ", "-")
    dump.mkdir()
    dump.chmod(0o777)
    whose = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([sink, *whose, "-d", f"{dump}/message.", f"127.0.0.1:{ours.sink}", "100"]) as running:
        try:
            eventually(lambda: listens(ours.sink), "smtp-sink")
            start = len(ours.instance.text())
            ran = run(
                [source, *options, "-s", "10", "-l", "4096", "-m", str(count)]
                + ["-f", "a@client.test", "-t", "b@far.test", f"127.0.0.1:{ours.smtp}"]
            )
            assert ran.status == 0, ran
            eventually(lambda: ours.instance.text()[start:].count("to=<b@far.test>") >= count, "all deliveries")
        finally:
            running.terminate()
    sent = [line for line in ours.instance.text()[start:].splitlines() if "to=<b@far.test>" in line]
    assert [line for line in sent if "status=sent (250 2.0.0 Ok)" not in line] == []
    files = list(dump.iterdir())
    assert len(files) == count
    assert len({file.read_bytes().partition(b"Message-Id:")[2].split()[0] for file in files}) == count


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in tcp_lines())


def tcp_lines() -> list[str]:
    """The kernel's list of sockets."""
    return Path("/proc/net/tcp").read_text().splitlines()[1:]
