"""mbsync keeps a Maildir and an account of ours the same, in both directions."""

import imaplib
import mailbox
import re
import ssl
from pathlib import Path

import pytest

from tests.interop.peers import Ours, peer
from tests.system.machine import Ran, run

CONFIGURATION = """\
IMAPAccount ours
Host localhost
Port {port}
User joe@virt.test
Pass joespw
{security}
CertificateFile {folder}/etc/cert.pem
SystemCertificates no

IMAPStore far
Account ours

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


def client(ours: Ours) -> imaplib.IMAP4_SSL:
    """joe's session."""
    context = ssl.create_default_context(cafile=str(ours.folder / "etc" / "cert.pem"))
    context.check_hostname = False
    made = imaplib.IMAP4_SSL("127.0.0.1", ours.imaps, ssl_context=context, timeout=60)
    made.login("joe@virt.test", "joespw")
    return made


def near(folder: Path) -> mailbox.Maildir:
    """The copy of INBOX."""
    return mailbox.Maildir(folder / "near" / "INBOX", factory=None, create=False)


@pytest.fixture(params=["TLS", "STARTTLS"])
def sync(request: pytest.FixtureRequest, ours: Ours, tmp_path: Path) -> "Sync":
    """mbsync, configured."""
    port = ours.imaps if request.param == "TLS" else ours.imap
    program = peer("mbsync", package="isync")
    version = run([program, "--version"]).out
    new = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= (1, 5)
    kind = "IMAPS" if request.param == "TLS" else "STARTTLS"
    (tmp_path / "near").mkdir()
    text = CONFIGURATION.format(
        port=port, folder=ours.folder, near=tmp_path / "near", security=f"{'TLSType' if new else 'SSLType'} {kind}"
    )
    (tmp_path / "mbsyncrc").write_text(text)
    return Sync(program, tmp_path)


class Sync:
    """One configured mbsync."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder

    def run(self) -> Ran:
        """Both sides are the same afterwards."""
        ran = run(
            [self.program, "-c", str(self.folder / "mbsyncrc"), "-a"],
            environment={"HOME": str(self.folder)},
            within=120,
        )
        assert ran.status == 0, ran
        return ran


def test_mbsync_carries_messages_flags_and_deletions_both_ways(ours: Ours, sync: Sync) -> None:
    with client(ours) as session:
        for name in ("one", "two", "three"):
            assert session.append("INBOX", "", "", f"Subject: {name}\r\n\r\nbody of {name}\r\n".encode())[0] == "OK"
        session.create("Lists")
        session.append("Lists", "", "", b"Subject: listed\r\n\r\nx\r\n")
    sync.run()
    copies = near(sync.folder)
    assert {message["Subject"] for message in copies} >= {"one", "two", "three"}
    assert (sync.folder / "near" / "Lists").is_dir()
    # Here one is read, two goes, four is new; there three is flagged.
    for key, message in list(copies.items()):
        if message["Subject"] == "one":
            message.set_subdir("cur")
            message.set_flags("S")
            copies[key] = message
        elif message["Subject"] == "two":
            copies.remove(key)
    copies.add(b"Subject: four\n\nfrom here\n")
    with client(ours) as session:
        session.select("INBOX")
        found = session.search(None, "SUBJECT", "three")[1][0].split()[0].decode()
        session.store(found, "+FLAGS", "\\Flagged")
    sync.run()
    with client(ours) as session:
        session.select("INBOX")
        assert session.search(None, "SUBJECT", "one", "SEEN")[1][0]
        assert not session.search(None, "SUBJECT", "two")[1][0]
        four = session.search(None, "SUBJECT", "four")[1][0].split()[0].decode()
        assert b"from here" in session.fetch(four, "(BODY.PEEK[TEXT])")[1][0][1]
    flags = {message["Subject"]: message.get_flags() for message in near(sync.folder)}
    assert "F" in flags["three"]
    # Nothing is left to do: the next run changes nothing.
    before = sorted(path.name for path in (sync.folder / "near" / "INBOX").rglob("*") if path.is_file())
    sync.run()
    assert sorted(path.name for path in (sync.folder / "near" / "INBOX").rglob("*") if path.is_file()) == before
    with client(ours) as session:
        session.select("INBOX")
        session.store("1:*", "+FLAGS", "\\Deleted")
        session.expunge()
        session.delete("Lists")
