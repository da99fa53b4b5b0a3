"""The story's three hosts, as folders of Postfix configuration: for the sandbox and the system test.

    desktop12.example.com   a null client: everything goes to smtp12
    smtp12.example.com      the outbound relay: takes mail from its networks, delivers by MX
    mail.tony.test          the receiving server: aliases, mailboxes, POP3 and IMAP with TLS

Each has an address of its own on the loopback network and a configuration folder; a name
server of the project's own answers for their zones.
"""

import grp
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.master_lines import SERVICES, STORE

DESKTOP = "127.0.0.2"
RELAY = "127.0.0.3"
SERVER = "127.0.0.4"
NAME_SERVER = "127.0.0.5"

ZONES = f"""
desktop12.example.com      A     {DESKTOP}
smtp12.example.com         A     {RELAY}
example.com                MX    10 smtp12.example.com
example.com                TXT   "v=spf1 -all"
tony.test                  MX    5 down.tony.test
tony.test                  MX    10 mail.tony.test
down.tony.test             A     127.0.0.99
mail.tony.test             A     {SERVER}
virt.tony.test             MX    10 mail.tony.test
plain.tony.test            A     {SERVER}
loop.test                  MX    10 smtp12.example.com
6only.test                 AAAA  ::1
broken.test                SERVFAIL
1.0.0.127.in-addr.arpa     PTR   localhost
2.0.0.127.in-addr.arpa     PTR   desktop12.example.com
3.0.0.127.in-addr.arpa     PTR   smtp12.example.com
4.0.0.127.in-addr.arpa     PTR   mail.tony.test
localhost                  A     127.0.0.1
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services listen: the real ports, or those + 10000."""

    offset: int

    def __getitem__(self, port: int) -> int:
        return port + self.offset


@dataclass(frozen=True, slots=True)
class Host:
    """One host's folders."""

    name: str
    address: str
    folder: Path

    @property
    def configuration(self) -> Path:
        """Where main.cf is."""
        return self.folder / "etc"

    @property
    def log(self) -> Path:
        """maillog_file."""
        return self.folder / "mail.log"


@dataclass(frozen=True, slots=True)
class Site:
    """The three of them."""

    folder: Path
    ports: Ports
    desktop: Host
    relay: Host
    server: Host

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        """In the order in which a message passes them."""
        return self.desktop, self.relay, self.server


# The very commands of a Postfix course: (host, arguments of `postconf -e`).
COURSE = (
    ("desktop", "inet_interfaces = loopback-only"),
    ("desktop", "relayhost = [smtp12.example.com]"),
    ("desktop", "mynetworks = 127.0.0.0/8 [::1]/128"),
    ("desktop", "myorigin = desktop12.example.com"),
    ("desktop", "mydestination ="),
    ("desktop", "local_transport = error: local delivery disabled"),
    ("relay", "mynetworks = 127.0.0.1/32, hash:{relay}/access"),
    ("server", "mydestination = $mydomain"),
)


def _main_cf(host: Host, site_ports: Ports, domain: str, extra: str) -> str:
    resolver = f"{NAME_SERVER}:{site_ports[53]}"
    return f"""\
compatibility_level = 3.6
myhostname = {host.name}
mydomain = {domain}
queue_directory = {host.folder}/spool
data_directory = {host.folder}/data
maillog_file = {host.log}
maillog_file_prefixes = {host.folder.parent}
smtp_tcp_port = {site_ports[25]}
dns_servers = {resolver}
alias_maps = hash:{host.configuration}/aliases
alias_database = hash:{host.configuration}/aliases
biff = no
{extra}"""


def build(folder: Path, offset: int, *, local_users: bool, owner: str = "") -> Site:
    """Write the three hosts' files. `local_users`: tony and alice are users of the system, by the caller's making;
    otherwise alice and bob are rows of a passwd-file. `owner`: mail_owner, or "" for whoever runs it."""
    ports = Ports(offset)
    site = Site(
        folder,
        ports,
        Host("desktop12.example.com", DESKTOP, folder / "desktop12"),
        Host("smtp12.example.com", RELAY, folder / "smtp12"),
        Host("mail.tony.test", SERVER, folder / "tony"),
    )
    for host in site.hosts:
        host.configuration.mkdir(parents=True)
        (host.folder / "spool").mkdir()  # data_directory is mail_owner's: the first start makes it.
        (host.configuration / "aliases").write_text("postmaster: root\n")
        (host.configuration / "master.cf").write_text(
            f"{host.address}:{ports[25]} inet n - n - - smtpd\n{SERVICES}{STORE}"
        )
    who = f"mail_owner = {owner}\n" if owner else ""
    _write(site.desktop, _main_cf(site.desktop, ports, "example.com", who))
    _write(site.relay, _main_cf(site.relay, ports, "example.com", who))
    (site.relay.configuration / "access").write_text("12.34.59.87 OK\n33.44.55.66 REJECT\n")
    certificate, key = write_certificate(site.server.configuration, "mail.tony.test")
    tls = f"""\
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_sasl_auth_enable = yes
"""
    virtual = f"""\
myorigin = $mydomain
virtual_mailbox_domains = virt.tony.test
virtual_mailbox_maps = inline:{{ joe@virt.tony.test=joe }}
virtual_transport = store
account_databases = passwd-file:{site.server.configuration}/accounts{", pam" if local_users else ""}
"""
    accounts = ["joe@virt.tony.test:{PLAIN}joespw::::"]
    if local_users:
        # alice's mail lands in a Maildir by a transport of its own, as the course has it.
        users = f"""\
mail_spool_directory = {site.server.folder}/mail
transport_maps = inline:{{ alice@tony.test=maildir }}
"""
        aliases = "postmaster: tony\ngroup: tony, alice\n"
    else:
        uid, gid = os.getuid(), os.getgid()
        users = f"""\
mail_spool_directory = {site.server.folder}/mail
transport_maps = inline:{{ alice@tony.test=maildir }}
local_recipient_maps =
"""
        for name in ("alice", "bob"):
            home = site.server.folder / "home" / name
            home.mkdir(parents=True)
            accounts.append(f"{name}:{{PLAIN}}{name}spw:{uid}:{gid}::{home}:")
        aliases = "postmaster: bob\ngroup: alice, bob\ntony: bob\n"
    (site.server.folder / "mail").mkdir()
    (site.server.folder / "mail").chmod(0o1777)
    (site.server.configuration / "accounts").write_text("".join(f"{row}\n" for row in accounts))
    (site.server.configuration / "accounts").chmod(0o640)
    if owner:
        shutil.chown(site.server.configuration / "accounts", "root", grp.getgrgid(pwd.getpwnam(owner).pw_gid).gr_name)
    (site.server.configuration / "aliases").write_text(aliases)
    _write(site.server, _main_cf(site.server, ports, "tony.test", who + tls + virtual + users))
    with (site.server.configuration / "master.cf").open("a") as master:
        master.write(
            f"maildir unix - n n - - local -o home_mailbox=Maildir/\n"
            f"{SERVER}:{ports[110]} inet n - n - - pop3d\n"
            f"{SERVER}:{ports[995]} inet n - n - - pop3d -o pop3d_tls_wrappermode=yes\n"
            f"{SERVER}:{ports[143]} inet n - n - - imapd\n"
            f"{SERVER}:{ports[993]} inet n - n - - imapd -o imapd_tls_wrappermode=yes\n"
        )
    return site


def _write(host: Host, text: str) -> None:
    (host.configuration / "main.cf").write_text(text)
