"""pflogsumm and fail2ban read our log as they read Postfix's."""

import base64
import re
import smtplib
import socket
from pathlib import Path

import pytest

from tests.interop.peers import Ours, peer
from tests.system.machine import eventually, run

OUTSIDE = "127.0.0.66"
"""A client outside mynetworks."""


def client(ours: Ours, source: str) -> smtplib.SMTP:
    """A session from a chosen address."""
    made = smtplib.SMTP(local_hostname="client.test", timeout=60, source_address=(source, 0))
    made.connect("127.0.0.1", ours.smtp)
    made._host = "ours.test"  # type: ignore[attr-defined]  # starttls() takes the name from the constructor alone
    made.ehlo()
    return made


@pytest.fixture(scope="module")
def log(ours: Ours, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines of some known traffic: 3 delivered, 2 rejected, 1 bounced, 1 deferred, 1 failed login, 1 broken off."""
    eventually(
        lambda: not re.search('"(incoming|active|maildrop)"', ours.instance.do("postqueue", "-j")), "others' mail"
    )
    start = len(ours.instance.text())
    with client(ours, "127.0.0.1") as session:
        for number in range(3):
            session.sendmail("a@client.test", ["ann@virt.test"], f"Subject: {number}\r\n\r\nx\r\n")
        # Nobody listens where dead.test goes; nobody@virt.test is refused at once.
        session.sendmail("ann@virt.test", ["someone@dead.test"], "Subject: waits\r\n\r\nx\r\n")
        session.mail("a@client.test")
        assert session.rcpt("nobody@virt.test")[0] == 550
        session.rset()
    # Submitted here an unknown recipient is found out at delivery, and the message bounces.
    ours.instance.do("sendmail", "-f", "ann@virt.test", "nobody@virt.test", stdin="Subject: comes back\n\nx\n")
    with client(ours, OUTSIDE) as session:
        session.mail("a@client.test")
        assert session.rcpt("x@elsewhere.test")[0] == 454
        session.rset()
        session.starttls()
        session.ehlo()
        wrong = base64.b64encode(b"\0ann@virt.test\0wrong").decode()
        assert session.docmd("AUTH", f"PLAIN {wrong}")[0] == 535
    with client(ours, OUTSIDE) as session:
        for _ in range(6):
            session.docmd("NONSENSE")
    with socket.create_connection(("127.0.0.1", ours.smtp), timeout=60, source_address=(OUTSIDE, 0)) as broken:
        broken.recv(100)
        broken.sendall(b"EHLO client.test\r\n")
        broken.recv(1000)
    ours.instance.logged(r"lost connection after EHLO from unknown\[127\.0\.0\.66\]", after=start)
    ours.instance.logged(r"too many errors after UNKNOWN from unknown\[127\.0\.0\.66\]", after=start)
    ours.instance.logged(r"to=<someone@dead\.test>.*status=deferred", after=start)
    ours.instance.logged(r"to=<nobody@virt\.test>.*status=bounced", after=start)
    eventually(lambda: ours.instance.text()[start:].count("status=sent (delivered to maildir)") >= 4)
    file = tmp_path_factory.mktemp("log") / "mail.log"
    file.write_text(ours.instance.text()[start:])
    return file


def test_pflogsumm_counts_what_happened(log: Path) -> None:
    ran = run([peer("pflogsumm"), "--problems_first", str(log)])
    assert (ran.status, ran.err) == (0, "")
    totals = {name: int(number) for number, name in re.findall(r"^ +(\d+)k? +([a-z]+)", ran.out, re.MULTILINE)}
    assert totals["delivered"] == 4
    assert totals["bounced"] == 1
    assert totals["rejected"] == 2
    assert totals["deferred"] == 1
    # Each section names who was concerned, so the lines were understood.
    assert "Relay access denied" in ran.out
    assert "User unknown in virtual mailbox table" in ran.out
    assert "Connection refused" in ran.out


@pytest.mark.parametrize(
    ("mode", "lines"),
    [
        ("more", ("Relay access denied", "User unknown", "too many errors")),
        ("normal", ("Relay access denied", "User unknown", "too many errors")),
        ("auth", ("SASL PLAIN authentication failed",)),
        ("ddos", ("lost connection after EHLO", "auth=0/1")),
        ("extra", ("SASL PLAIN authentication failed", "Relay access denied")),
        ("errors", ("too many errors",)),
        ("aggressive", ("SASL PLAIN authentication failed", "Relay access denied", "lost connection after EHLO")),
    ],
)
def test_fail2ban_finds_the_client_in_each_mode(log: Path, mode: str, lines: tuple[str, ...]) -> None:
    program = peer("fail2ban-regex", package="fail2ban")
    ran = run([program, "--print-all-matched", str(log), f"postfix[mode={mode}]"])
    assert ran.status == 0, ran
    matched = ran.out[ran.out.index("|- Matched line(s):") :] if "|- Matched line(s):" in ran.out else ""
    assert [text for text in lines if text not in matched] == [], ran.out
