"""A private Dovecot on loopback and high ports, with accounts in Maildirs and mbox spools."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.system.machine import eventually

CONFIGURATION = """\
protocols = imap pop3
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
info_log_path = {folder}/log
default_internal_user = {login}
default_login_user = {login}
default_internal_group = {group}
first_valid_uid = 1
mail_max_userip_connections = 1000
mbox_lazy_writes = no
ssl = no
disable_plaintext_auth = no
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = static
  args = password=word
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass(frozen=True, slots=True)
class PrivateDovecot:
    """Where it listens. Its accounts, with the password "word", are native0, native1, …, maildir0, … (both in Maildirs)
    and mbox0, …."""

    folder: Path
    imap: int
    pop3: int


ACCOUNTS = 100
MAILDIR = "maildir:~/Maildir"


def start(folder: Path) -> PrivateDovecot:
    """Write its configuration and start it; the test is skipped where Dovecot is missing."""
    program = shutil.which("dovecot", path="/usr/sbin:/usr/bin")
    if program is None or not Path("/usr/lib/dovecot/imap").exists():
        pytest.skip("needs dovecot-imapd (Debian: apt-get install dovecot-imapd dovecot-pop3d)")
    root = os.geteuid() == 0
    owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
    made = PrivateDovecot(folder, free_port(), free_port())
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "homes").mkdir()
    users = []
    for number in range(ACCOUNTS):
        for kind, mail in (("native", MAILDIR), ("maildir", MAILDIR), ("mbox", "mbox:~/folders:INBOX=~/spool")):
            home = folder / "homes" / f"{kind}{number}"
            home.mkdir()
            os.chown(home, owner.pw_uid, owner.pw_gid)
            users.append(f"{kind}{number}::{owner.pw_uid}:{owner.pw_gid}::{home}::userdb_mail={mail}\n")
    (folder / "users").write_text("".join(users))
    login = "dovecot" if root else owner.pw_name
    group = "dovecot" if root else grp.getgrgid(owner.pw_gid).gr_name
    (folder / "conf").write_text(
        CONFIGURATION.format(folder=folder, login=login, group=group, imap=made.imap, pop3=made.pop3)
    )
    with (folder / "start").open("w+b") as out:
        done = subprocess.run(
            [program, "-c", str(folder / "conf")], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60
        )
        out.seek(0)
        assert done.returncode == 0, out.read()
    return made


def stop(dovecot: PrivateDovecot) -> None:
    """Stop its master process and wait for its end."""
    file = dovecot.folder / "run" / "master.pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not Path("/proc", str(pid)).exists(), "the end of dovecot")
