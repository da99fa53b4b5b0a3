"""The local socket where mail(1) reads the store: the kernel says who calls, and who calls reads his own mail."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.commands import mail
from posthouse.config.master_cf import read_master_cf
from posthouse.config.read import read_configuration
from posthouse.envelope.content import Content, MemoryBody
from posthouse.host.log import FileSink
from posthouse.host.users import become, own_identity, user_identity
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.service import spool
from posthouse.service.access_worker import AccessWorker

ROOT = os.geteuid() == 0
READER = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
"""Who reads: root's mail is not served."""

MASTER = """\
local unix - n n - - local
store unix - - n - - store
"""


class House:
    """An access worker in a process of its own, and callers in others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool_file = folder / "var" / READER.pw_name
        self.socket = folder / "spool" / "posthouse" / "mailbox"
        self.pid = 0
        (folder / "home").mkdir()
        os.chown(folder / "home", READER.pw_uid, READER.pw_gid)

    def configure(self, *settings: str, accounts: str = "") -> None:
        (self.folder / "accounts").write_text(accounts)
        (self.folder / "main.cf").write_text(
            f"compatibility_level = 3.6\nmyhostname = mail.x.test\nmydestination = x.test\nmyorigin = x.test\n"
            f"local_recipient_maps =\nalias_maps =\nqueue_directory = {self.folder}/spool\n"
            f"data_directory = {self.folder}/data\nmail_store_directory = {self.folder}/store\n"
            f"mail_spool_directory = {self.folder}/var\naccount_databases = passwd-file:{self.folder}/accounts\n"
            "dns_servers = 127.0.0.1:1\n" + "".join(f"{setting}\n" for setting in settings)
        )
        (self.folder / "master.cf").write_text(MASTER)

    def deliver(self, *subjects: str, size: int = 0) -> None:
        async def put() -> None:
            store = NativeMailStore(self.folder / "store")
            for subject in subjects:
                header = f"From: ann@example.net\r\nSubject: {subject}\r\n".encode()
                await store.deliver(READER.pw_name, Content(header, MemoryBody(b"hello\r\n" + b"0123456\r\n" * size)))
            await store.close()

        # In a process of its own: the tests fork, and a thread that is ending meanwhile may hold what a child needs.
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(put())
            except BaseException:  # noqa: BLE001 - a child tells everything
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0

    def start(self) -> None:
        configuration = read_configuration(str(self.folder))
        spool.prepare(str(self.folder / "spool"), str(self.folder / "data"), own_identity())
        bound = spool.bind_mailbox(str(self.folder / "spool"), own_identity())
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid:
            bound.close()
            os.close(writer)
            assert os.read(reader, 1) == b"!", self.log()
            os.close(reader)
            return
        try:
            asyncio.run(self._serve(configuration, bound, writer))
        except BaseException:  # noqa: BLE001 - a child tells everything
            traceback.print_exc()
        finally:
            os._exit(1)

    async def _serve(self, configuration: object, bound: socket.socket, writer: int) -> None:
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        services = read_master_cf(str(self.folder / "master.cf"))
        worker = AccessWorker(configuration, services, FileSink(log, "mail.x.test"), (), mailbox_socket=bound)
        await worker.start()
        os.write(writer, b"!")
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()
        await worker.stop()
        os._exit(0)

    def stop(self) -> None:
        if self.pid:
            pid, self.pid = self.pid, 0
            os.kill(pid, signal.SIGTERM)
            assert os.waitpid(pid, 0)[1] == 0

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def mail(self, *arguments: str, lines: tuple[str, ...] = (), between: Callable[[], None] | None = None):
        """mail(1) of the reader: (status, what it printed). `between` runs before its last line is typed."""
        typed, typist = os.pipe()
        said, teller = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                os.close(said)
                os.close(typist)
                sys.stdin, sys.stdout = os.fdopen(typed), os.fdopen(teller, "w", 1)
                sys.stderr = sys.stdout
                if ROOT:
                    become(user_identity("nobody"))
                os.environ["MAIL_CONFIG"] = str(self.folder)
                at_home = pwd.struct_passwd((*READER[:5], str(self.folder / "home"), READER[6]))
                known = {READER.pw_name: at_home}
                real = pwd.getpwnam
                pwd.getpwuid = lambda uid: at_home  # nobody's home may not be there
                pwd.getpwnam = lambda name: known.get(name) or real(name)
                os.environ.pop("MAIL", None)
                status = mail.main(list(arguments))
            except BaseException:  # noqa: BLE001 - a child tells everything
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        os.close(typed)
        os.close(teller)
        os.write(typist, "".join(f"{line}\n" for line in lines[:-1]).encode())
        out = b""
        if between is not None:
            while out.count(b"Message ") < len(lines) - 1:
                chunk = os.read(said, 65536)
                assert chunk, out
                out += chunk
            between()
        os.write(typist, "".join(f"{line}\n" for line in lines[-1:]).encode())
        os.close(typist)
        while chunk := os.read(said, 65536):
            out += chunk
        os.close(said)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()

    def speak(self, *, uid: int = READER.pw_uid) -> bytes:
        """What a process of this uid is greeted with; then the service is left alone."""
        said, teller = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                if ROOT:
                    os.setresuid(uid, uid, uid)
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(20)
                    connection.connect(str(self.socket))
                    os.write(teller, connection.recv(4096))
            finally:
                os._exit(0)
        os.close(teller)
        with os.fdopen(said, "rb") as file:
            greeting = file.read()
        os.waitpid(pid, 0)
        return greeting


@pytest.fixture
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="posthouse-mailbox-"))
    folder.chmod(0o755)
    made = House(folder)
    made.configure("mailbox_transport = store")
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture
def running(house: House) -> House:
    house.start()
    return house


def test_the_caller_is_logged_in_by_its_uid(running: House) -> None:
    assert running.speak().startswith(b"* PREAUTH [CAPABILITY IMAP4rev1 ")
    running.stop()
    assert f"connect from local[uid={READER.pw_uid}]" in running.log()
    assert f"login: user=<{READER.pw_name}>, method=uid, rip=local, lip=local" in running.log()


def test_mail_lists_prints_and_keeps_what_the_store_has(running: House) -> None:
    running.deliver("first", "second")
    status, out = running.mail(lines=("1", "q"))
    assert status == 0, out
    assert '"INBOX": 2 messages 2 new' in out
    assert "Message 1:\nFrom: ann@example.net\nSubject: first\n\nhello\n" in out
    assert "Held 2 messages in INBOX" in out
    status, out = running.mail(lines=("x",))
    assert '"INBOX": 2 messages 1 unread' in out


def test_what_is_deleted_is_gone_and_what_is_left_by_x_is_not(running: House) -> None:
    running.deliver("first", "second", "third")
    assert running.mail(lines=("d 1 3", "x"))[0] == 0
    status, out = running.mail(lines=("d 1 3", "q"))
    assert "Held 1 message in INBOX" in out
    status, out = running.mail("-H")
    assert (status, out.count("\n")) == (0, 1)
    assert "second" in out


def test_the_check_for_mail_says_by_its_status(running: House) -> None:
    assert running.mail("-e") == (1, "")
    assert running.mail() == (1, f"No mail for {READER.pw_name}\n")
    running.deliver("first")
    assert running.mail("-e") == (0, "")


def test_a_message_of_many_pieces_is_saved_whole(running: House) -> None:
    running.deliver("large", size=(5 << 20) // 9)
    saved = running.folder / "saved"
    saved.touch()
    saved.chmod(0o666)
    status, out = running.mail(lines=(f"w 1 {saved}", "x"))
    assert status == 0, out
    assert saved.read_bytes() == b"hello\n" + b"0123456\n" * ((5 << 20) // 9)


def test_a_session_that_was_cut_off_goes_on_in_another(running: House) -> None:
    running.deliver("first", "second")

    def again() -> None:
        running.stop()
        running.start()

    status, out = running.mail(lines=("1", "q"), between=again)
    assert status == 0, out
    assert "Held 2 messages in INBOX" in out
    assert "1 unread" in running.mail(lines=("x",))[1]


def test_a_system_that_is_down_is_told_in_words(house: House) -> None:
    status, out = house.mail()
    assert (status, out) == (1, f"mail: {house.socket}: the mail system is not running\n")


def test_old_mail_in_the_spool_is_read_while_the_store_has_none(running: House) -> None:
    running.spool_file.parent.mkdir()
    running.spool_file.write_text("From ann@x  Mon Nov 23 10:00:00 2026\nSubject: old\n\nhello\n\n")
    if ROOT:
        os.chown(running.spool_file, READER.pw_uid, READER.pw_gid)
    status, out = running.mail(lines=("x",))
    assert status == 0, out
    assert f'"{running.spool_file}": 1 message' in out


def test_mail_of_others_in_the_store_is_refused(running: House) -> None:
    status, out = running.mail("-u", "daemon")
    assert status == 1
    assert out == "mail: mail of daemon is in the mail system's store, which shows it to daemon only\n"


def test_roots_mail_is_a_file_that_is_not_ours_to_read(running: House) -> None:
    assert running.mail("-u", "root") == (1, "No mail for root\n")


def test_mail_in_a_file_is_read_there(running: House) -> None:
    running.configure()
    assert running.mail() == (1, f"No mail for {READER.pw_name}\n")
    running.stop()
    assert "connect from" not in running.log()


def test_a_name_that_an_account_database_has_for_somebody_else_reads_nothing(house: House) -> None:
    house.configure("mailbox_transport = store", accounts=f"{READER.pw_name}:{{PLAIN}}x:54321:54321::/home/x\n")
    house.start()
    assert house.speak() == b"* BYE This user has no mail here.\r\n"


@pytest.mark.skipif(not ROOT, reason="only root can be other users")
@pytest.mark.parametrize("uid", [0, 54321])
def test_root_and_numbers_without_a_name_have_no_mail_here(running: House, uid: int) -> None:
    assert running.speak(uid=uid) == b"* BYE This user has no mail here.\r\n"
