"""The servers, each in a folder of its own: Postfix, Dovecot's LMTP, and Posthouse.

Postfix and Posthouse get the same main.cf and the same master.cf lines for what both have.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time

from bench.peer import PeerFailed, free_port, wait_for_port
from posthouse.testkit.master_lines import SERVICES

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
myhostname = bench.example
mydomain = bench.example
myorigin = bench.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtp_dns_support_level = disabled
smtp_host_lookup = native
relayhost = [127.0.0.1]:{sink}
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
default_process_limit = 100
"""

MASTER_CF = "127.0.0.1:{port} inet n - n - - smtpd\n" + SERVICES

STORE_MASTER_CF = "127.0.0.1:{port} inet n - n - - lmtpd\nstore unix - - n - - store\n"
IMAP_MASTER_CF = "127.0.0.1:{port} inet n - n - - imapd\nstore unix - - n - - store\n"
IMAP_MAIN_CF = """\
imapd_tls_auth_only = no
account_databases = passwd-file:{folder}/accounts
mail_store_directory = {folder}/mail
"""
ACCOUNT = "user@store.example"
"""Whom the IMAP servers know, by this name as the password, too."""
STORE_MAIN_CF = """\
virtual_mailbox_domains = store.example
virtual_mailbox_maps = static:user
virtual_transport = store
mail_store_directory = {folder}/mail
"""

DOVECOT_CONF = """\
protocols = {protocol}
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
info_log_path = {folder}/log
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
mail_fsync = optimized
ssl = no
disable_plaintext_auth = no
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

DOVECOT_LMTP = """\
service lmtp {{
  user = {user}
  process_min_avail = 2
  client_limit = 1
  process_limit = 100
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""
DOVECOT_IMAP = """\
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


class PostfixPeer:
    """A private Postfix, or whatever answers to its commands."""

    def __init__(
        self, folder: str, *, name: str = "postfix", commands: str = "", store: bool = False, imap: bool = False
    ) -> None:
        self.name = name
        self.folder = self.config = folder
        self.commands = commands or "/usr/sbin/"
        self.port = free_port()
        self.sink_port = free_port()
        self._store = store
        self._imap = imap

    @property
    def pid(self) -> int:
        """Its master's process number."""
        with open(f"{self.folder}/spool/pid/master.pid", encoding="ascii") as file:
            return int(file.read())

    def start(self) -> None:
        """Write its configuration and start it."""
        if not os.path.exists(f"{self.commands}postfix"):
            raise PeerFailed(f"{self.commands}postfix is not installed")
        for part in ("", "/spool", "/data", "/mail"):
            os.makedirs(self.folder + part)
        if os.geteuid() == 0:
            try:
                owner = pwd.getpwnam("postfix")
            except KeyError as error:
                raise PeerFailed("there is no user postfix") from error
            for part in ("/data", "/mail"):
                os.chown(self.folder + part, owner.pw_uid, owner.pw_gid)
        main, master = MAIN_CF, MASTER_CF
        if self._store:
            main, master = main + STORE_MAIN_CF, STORE_MASTER_CF + master.split("\n", 1)[1]
        if self._imap:
            main, master = main + IMAP_MAIN_CF, IMAP_MASTER_CF + master.split("\n", 1)[1]
            with open(f"{self.folder}/accounts", "w", encoding="ascii") as file:
                file.write(f"{ACCOUNT}:{{PLAIN}}{ACCOUNT}\n")
            os.chmod(f"{self.folder}/accounts", 0o644)
        with open(f"{self.folder}/main.cf", "w", encoding="ascii") as file:
            file.write(main.format(folder=self.folder, sink=self.sink_port))
        with open(f"{self.folder}/master.cf", "w", encoding="ascii") as file:
            file.write(master.format(port=self.port))
        self.resume()

    def resume(self) -> None:
        """Start it as it is configured. Raises PeerFailed."""
        try:
            done = self._postfix("start")
        except subprocess.TimeoutExpired as error:
            raise PeerFailed("postfix start did not return") from error
        if done.returncode != 0:
            raise PeerFailed(f"postfix start: exit {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
        try:
            wait_for_port(self.port)
        except PeerFailed:
            self.stop()
            raise

    def stop(self) -> None:
        """postfix stop, and the process number of master where that does not help."""
        try:
            self._postfix("stop")
        except (OSError, subprocess.TimeoutExpired):
            _stop_by_pid_file(f"{self.folder}/spool/pid/master.pid")

    def _postfix(self, verb: str) -> "subprocess.CompletedProcess[bytes]":
        # Daemons keep the descriptors they inherit: files, not pipes, or run() would wait for them for ever.
        with open(f"{self.folder}/{verb}.out", "w+b") as out:
            done = subprocess.run(
                [f"{self.commands}postfix", "-c", self.config, verb], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                timeout=60,
            )  # fmt: skip
            out.seek(0)
            done.stderr = out.read()
        return done


def posthouse_peer(folder: str, *, store: bool = False, imap: bool = False) -> PostfixPeer:
    """This tree's own commands."""
    commands = os.path.dirname(sys.executable) + "/"
    return PostfixPeer(folder, name="posthouse", commands=commands, store=store, imap=imap)


class DovecotPeer:
    """A private Dovecot that takes LMTP into Maildirs, or hands them out by IMAP to anybody."""

    def __init__(self, folder: str, *, imap: bool = False) -> None:
        self.name = "dovecot"
        self.folder = self.config = folder
        self.commands = ""
        self.port = free_port()
        self.sink_port = 0
        self._protocol, self._service = ("imap", DOVECOT_IMAP) if imap else ("lmtp", DOVECOT_LMTP)

    @property
    def pid(self) -> int:
        """Its master's process number."""
        with open(f"{self.folder}/run/master.pid", encoding="ascii") as file:
            return int(file.read())

    def start(self) -> None:
        """Write its configuration and start it."""
        program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise PeerFailed("dovecot is not installed")
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        import grp

        for part in ("", "/run", "/state", "/mail"):
            os.makedirs(self.folder + part)
        os.chown(f"{self.folder}/mail", owner.pw_uid, owner.pw_gid)
        config = f"{self.folder}/dovecot.conf"
        with open(config, "w", encoding="ascii") as file:
            file.write(
                (DOVECOT_CONF + self._service).format(
                    folder=self.folder, user=owner.pw_name, group=grp.getgrgid(owner.pw_gid).gr_name, uid=owner.pw_uid,
                    gid=owner.pw_gid, port=self.port, protocol=self._protocol,
                )
            )  # fmt: skip
        with open(f"{self.folder}/start.out", "w+b") as out:
            done = subprocess.run([program, "-c", config], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
            out.seek(0)
            if done.returncode != 0:
                raise PeerFailed(f"dovecot: exit {done.returncode}: {out.read().decode(errors='replace')[-500:]}")
        try:
            wait_for_port(self.port)
        except PeerFailed:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop its master process."""
        _stop_by_pid_file(f"{self.folder}/run/master.pid")


def _stop_by_pid_file(path: str) -> None:
    try:
        with open(path, encoding="ascii") as file:
            pid = int(file.read().split()[0])
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, IndexError):
        return
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except OSError:
            return
        time.sleep(0.05)
