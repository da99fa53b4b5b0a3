"""mailbox_spool_takeover = move: a user's spool goes into the store beneath his home, over IMAP, POP3 and mail(1)."""

import imaplib
import os
import poplib
import pwd
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.testkit.master_lines import SERVICES, STORE
from tests.system.machine import Instance, Ran, add_user, descendants, eventually, foreign_user, remove_user, uids

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a user of the system")

USER, PASSWORD = "phmover", "moverspw"
SMTP, IMAP, POP3 = 21025, 21143, 21110

MAIN = """\
compatibility_level = 3.6
myhostname = mail.x.test
mydestination = x.test
myorigin = x.test
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mail_owner = postfix
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_spool_directory = {folder}/mail
mailbox_spool_takeover = move
alias_maps =
biff = no
dns_servers = 127.0.0.1:1
account_databases = pam
imapd_tls_auth_only = no
pop3d_tls_auth_only = no
"""
MASTER = f"""\
127.0.0.1:{SMTP} inet n - n - - smtpd
127.0.0.1:{IMAP} inet n - n - - imapd
127.0.0.1:{POP3} inet n - n - - pop3d
{SERVICES}{STORE}"""


@dataclass(frozen=True, slots=True)
class House:
    """One instance and its user."""

    folder: Path
    instance: Instance

    @property
    def spool_file(self) -> Path:
        return self.folder / "mail" / USER

    @property
    def home(self) -> Path:
        return Path(pwd.getpwnam(USER).pw_dir)

    def post(self, *subjects: str) -> None:
        """Send to the user, and wait until each is delivered."""
        for subject in subjects:
            self.instance.do("sendmail", "-f", "ann@x.test", USER, stdin=f"Subject: {subject}\n\nhello\n")
        self.instance.logged(r"postfix/local.*status=sent", after=0)
        eventually(lambda: "Mail queue is empty" in self.instance.do("mailq"), "an empty queue")

    def imap(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", IMAP, timeout=60)
        client.login(USER, PASSWORD)
        return client

    def subjects(self) -> list[str]:
        """What INBOX has, in a session of its own."""
        client = self.imap()
        client.select()
        if client.untagged_responses["EXISTS"] == [b"0"]:
            client.logout()
            return []
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        client.logout()
        return [part[1].decode().partition(":")[2].strip() for part in found if isinstance(part, tuple)]

    def mail(self, *arguments: str, lines: str = "") -> Ran:
        """mail(1) of the user."""
        return self.instance.run("mail", *arguments, stdin=lines, user=USER)

    def reload(self) -> None:
        """Read the configuration anew, and wait for the end of those who had the old one."""
        master = self.instance.master()
        assert master is not None
        old = set(descendants(master))
        assert self.instance.postfix("reload").status == 0
        eventually(lambda: not old & set(descendants(master)), "the end of the old generation")

    def children(self) -> list[int]:
        """Processes of the instance that have the user's rights."""
        master = self.instance.master()
        number = pwd.getpwnam(USER).pw_uid
        return [] if master is None else [pid for pid in descendants(master) if uids(pid) == {number}]


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    assert not foreign_user(USER), f"this machine has a user or a home of this name: {USER}"
    folder = Path(tempfile.mkdtemp(prefix="posthouse-move-"))
    folder.chmod(0o755)
    configuration = folder / "etc"
    configuration.mkdir()
    (configuration / "main.cf").write_text(MAIN.format(folder=folder))
    (configuration / "master.cf").write_text(MASTER)
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", "root", "mail")
    (folder / "mail").chmod(0o2775)  # as Debian has /var/mail
    made = House(folder, Instance(configuration, folder / "log", folder / "spool"))
    try:
        remove_user(USER)
        add_user(USER, PASSWORD)
        made.instance.start()
        yield made
        made.instance.stop()
    finally:
        made.instance.kill()
        remove_user(USER)
        shutil.rmtree(folder)


@pytest.fixture
def house(built: House) -> House:
    """No mail anywhere."""
    client = built.imap()
    client.select()
    client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
    client.expunge()
    client.logout()
    return built


def test_a_login_moves_the_spool_into_the_store_beneath_the_home(house: House) -> None:
    house.post("one", "two", "three")
    assert house.spool_file.read_bytes().count(b"\nSubject: ") == 3
    assert house.subjects() == ["one", "two", "three"]
    assert house.spool_file.read_bytes() == b""
    assert house.subjects() == ["one", "two", "three"]
    owner = pwd.getpwnam(USER).pw_uid
    store = house.home / ".posthouse" / "accounts"
    assert store.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in store.rglob("*")} == {owner}
    assert list(store.rglob("mailbox.db"))


def test_mail_that_comes_while_a_client_is_connected_shows_at_its_next_command(house: House) -> None:
    client = house.imap()
    client.select()
    house.post("meanwhile")
    client.noop()
    assert client.untagged_responses["EXISTS"][-1] == b"1"
    assert house.spool_file.read_bytes() == b""
    client.logout()


def test_an_idle_client_hears_of_new_mail_within_half_a_minute(house: House) -> None:
    with socket.create_connection(("127.0.0.1", IMAP), 60) as client, client.makefile("rb") as said:
        client.sendall(f"a LOGIN {USER} {PASSWORD}\r\nb SELECT INBOX\r\nc IDLE\r\n".encode())
        while not (line := said.readline()).startswith(b"+ "):
            assert line
        house.post("while idle")
        began = time.monotonic()
        while not (line := said.readline()).startswith(b"* 1 EXISTS"):
            assert line
        assert time.monotonic() - began < 30
        client.sendall(b"DONE\r\nd LOGOUT\r\n")
        while said.readline():
            pass


def test_pop3_moves_the_spool_too(house: House) -> None:
    house.post("by pop", "by pop too")
    client = poplib.POP3("127.0.0.1", POP3, timeout=60)
    client.user(USER)
    client.pass_(PASSWORD)
    assert client.stat()[0] == 2
    assert house.spool_file.read_bytes() == b""
    assert b"Subject: by pop" in client.retr(1)[1]
    client.dele(1)
    client.quit()
    assert house.subjects() == ["by pop too"]


def test_mail_reads_what_was_moved_and_what_is_to_be(house: House) -> None:
    house.post("moved")
    assert house.subjects() == ["moved"]
    assert house.mail("-e").status == 0
    house.post("new")
    ran = house.mail("-H")
    assert ran.status == 0, ran
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["moved", "new"]
    assert house.spool_file.read_bytes() == b""
    ran = house.mail(lines="p 2\nd 1\nq\n")
    assert "Subject: new" in ran.out
    assert "Held 1 message in INBOX" in ran.out
    assert house.subjects() == ["new"]
    house.instance.logged(rf"postfix/imapd.*: login: user=<{USER}>, method=uid, rip=local")


def test_mail_reads_nobody_elses(house: House) -> None:
    house.post("private")
    assert house.subjects() == ["private"]
    ran = house.instance.run("mail", "-u", USER, user="nobody")
    assert (ran.status, ran.out) == (1, "")
    ran = house.instance.run("mail", "-H", user="nobody")
    assert (ran.status, ran.out) == (1, "")


def spool_of(first: int, count: int) -> bytes:
    """An mbox of messages that are told apart by their subjects."""
    return b"".join(
        b"From ann@x.test  Mon Nov 23 10:00:00 2026\nSubject: n%d\n\n%b\n\n" % (number, b"text\n" * 400)
        for number in range(first, first + count)
    )


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_child_killed_in_the_middle_loses_nothing_and_doubles_nothing(house: House, delay: float) -> None:
    count = 1500
    for pid in house.children():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not house.children(), "no children")
    owner = pwd.getpwnam(USER)
    house.spool_file.write_bytes(spool_of(0, count))
    os.chown(house.spool_file, owner.pw_uid, owner.pw_gid)

    def login() -> None:
        try:
            house.imap().logout()
        except (imaplib.IMAP4.error, OSError):
            pass  # cut off, as it should be

    client = threading.Thread(target=login)
    client.start()
    (child,) = eventually(house.children, "a child with the user's rights")
    time.sleep(delay)  # a moment of the take-over, another one with each parameter
    os.kill(child, signal.SIGKILL)
    client.join()
    eventually(lambda: child not in house.children(), "the end of the child")
    for left in house.spool_file.parent.glob(f"{USER}.lock"):
        left.unlink()  # what stale_lock_time would see to after minutes
    found = house.subjects()
    assert sorted(found) == sorted(f"n{number}" for number in range(count))
    assert house.spool_file.read_bytes() == b""


def test_the_store_of_mailbox_transport_is_read_by_mail_and_imap_alike(house: House) -> None:
    house.instance.do("postconf", "-e", "mailbox_transport = store", f"mail_store_directory = {house.folder}/store")
    house.reload()
    try:
        house.instance.do("sendmail", USER, stdin="Subject: stored\n\nhello\n")
        house.instance.logged(r"relay=store, .*status=sent")
        ran = house.mail("-H")
        assert ran.status == 0, ran
        assert "stored" in ran.out
        assert house.subjects() == ["stored"]
    finally:
        house.instance.do("postconf", "-X", "mailbox_transport")
        house.reload()
