"""One instance of ours for the peers to speak with, on high ports, and a private instance of the real Postfix."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.master_lines import SERVICES, STORE
from tests.free_port import free_port
from tests.interop.differential import report
from tests.interop.fair_choice import COUNT
from tests.interop.peers import Ours, Real
from tests.system.machine import Instance, eventually

REAL = Path("/usr/sbin/postfix")
REAL_DAEMONS = Path("/usr/lib/postfix/sbin")

OURS_MASTER_CF = """\
127.0.0.1:{smtp} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
    -o syslog_name=postfix/submission -o smtpd_tls_security_level=encrypt
    -o { smtpd_recipient_restrictions = permit_sasl_authenticated, reject }
127.0.0.1:{pop3} inet n - n - - pop3d
127.0.0.1:{pop3s} inet n - n - - pop3d -o pop3d_tls_wrappermode=yes
127.0.0.1:{imap} inet n - n - - imapd
127.0.0.1:{imaps} inet n - n - - imapd -o imapd_tls_wrappermode=yes
"""

OURS_MAIN_CF = """\
compatibility_level = 3.6
myhostname = ours.test
mydomain = ours.test
myorigin = $mydomain
mydestination =
mynetworks = 127.0.0.1/32
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_protocols = ipv4
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
virtual_mailbox_domains = virt.test
virtual_mailbox_maps = inline:{{ ann@virt.test=ann/, joe@virt.test=joe }}
virtual_mailbox_base = {folder}/boxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = inline:{{ joe@virt.test=store, far.test=smtp:[127.0.0.1]:{sink},
    dead.test=smtp:[127.0.0.1]:1, real.test=smtp:[127.0.0.1]:{real} }}
account_databases = passwd-file:{folder}/etc/accounts
smtpd_tls_cert_file = {folder}/etc/cert.pem
smtpd_tls_key_file = {folder}/etc/key.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
smtp_tls_security_level = may
smtpd_sasl_auth_enable = yes
smtpd_hard_error_limit = 5
smtpd_error_sleep_time = 0s
biff = no
"""

REAL_MASTER_CF = "127.0.0.1:{port} inet n - n - - smtpd\n" + SERVICES

REAL_MAIN_CF = """\
compatibility_level = 3.6
myhostname = real.test
mydomain = real.test
myorigin = $mydomain
mydestination =
mynetworks = 127.0.0.1/32
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
virtual_mailbox_domains = real.test
virtual_mailbox_maps = inline:{{ ann@real.test=ann/ }}
virtual_mailbox_base = {folder}/boxes
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
transport_maps = inline:{{ virt.test=smtp:[127.0.0.1]:{ours} }}
smtpd_tls_cert_file = {folder}/etc/cert.pem
smtpd_tls_key_file = {folder}/etc/key.pem
smtpd_tls_security_level = may
smtp_tls_security_level = encrypt
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
biff = no
"""


@pytest.fixture(scope="session")
def ours() -> Iterator[Ours]:
    """Our instance, running; as root it drops to postfix's user, otherwise it runs as whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-interop-"))
    folder.chmod(0o755)
    names = ("smtp", "submission", "pop3", "pop3s", "imap", "imaps", "sink", "real")
    ports = {name: free_port() for name in names}
    for name in ("etc", "spool", "boxes"):
        (folder / name).mkdir()
    uid, gid = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    (folder / "boxes").chmod(0o777)
    write_certificate(folder / "etc", "localhost", "127.0.0.1")
    main = OURS_MAIN_CF.format(folder=folder, uid=uid, gid=gid, **ports)
    (folder / "etc" / "main.cf").write_text(main)
    master = OURS_MASTER_CF
    for name, port in ports.items():
        master = master.replace("{" + name + "}", str(port))
    (folder / "etc" / "master.cf").write_text(master + SERVICES + STORE)
    (folder / "etc" / "accounts").write_text("ann@virt.test:{PLAIN}annspw::::\njoe@virt.test:{PLAIN}joespw::::\n")
    instance = Instance(folder / "etc", folder / "mail.log", folder / "spool")
    try:
        instance.start()
        yield Ours(instance, folder, **ports)
        instance.stop()
    finally:
        instance.kill()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def real(ours: Ours) -> Iterator[Real]:
    """The real Postfix, where `ours` sends mail for real.test."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the real Postfix does not run without")
    if not REAL.exists() or not REAL_DAEMONS.exists():
        pytest.skip("needs postfix (Debian: apt-get install postfix)")
    folder = Path(tempfile.mkdtemp(prefix="posthouse-real-"))
    folder.chmod(0o755)
    for name in ("etc", "spool", "data", "boxes"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "boxes").chmod(0o777)
    write_certificate(folder / "etc", "real.test", "127.0.0.1")
    (folder / "etc" / "main.cf").write_text(REAL_MAIN_CF.format(folder=folder, ours=ours.smtp))
    (folder / "etc" / "master.cf").write_text(REAL_MASTER_CF.format(port=ours.real))
    made = Real(folder, ours.real)
    try:
        ran = made.run("postfix", "start")
        assert ran.status == 0, (ran, made.text())
        yield made
    finally:
        made.run("postfix", "stop")
        pid = folder / "spool" / "pid" / "master.pid"
        eventually(lambda: not pid.exists() or not _runs(pid), "the end of the real Postfix")
        shutil.rmtree(folder)


def _runs(pid: Path) -> bool:
    """Whether the process of a pid file runs."""
    words = pid.read_text().split()
    return bool(words) and Path("/proc", words[0]).exists() and "master" in Path("/proc", words[0], "comm").read_text()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many inputs were given to both, by rule, in the long form of the differential tests."""
    if COUNT:
        for line in report():
            terminalreporter.write_line(line)
