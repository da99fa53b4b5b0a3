"""A stack of tests/golden/stacks on this machine: its files in a folder, its listeners on free ports, a name server.

`more` are settings that only the machine of a test needs; they stand behind the stack's own in main.cf.
"""

import shutil
import smtplib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.testkit.certificate import write_certificate
from posthouse.testkit.dns_server import DnsServer
from tests.free_port import free_port
from tests.golden.stacks.stack import FOLDER, PLACEHOLDER, write_stack
from tests.system.machine import Instance, Ran

ZONES = """\
example.com           MX 10 mail.example.com
mail.example.com      A 127.0.0.1
sender.test           MX 10 mail.sender.test
mail.sender.test      A 127.0.0.1
far.test              MX 10 mail.far.test
mail.far.test         A 127.0.0.2
9.2.0.192.in-addr.arpa PTR mail.sender.test
1.0.0.127.in-addr.arpa PTR localhost
localhost             A 127.0.0.1
"""

MORE = """
data_directory = {folder}/data
queue_directory = {folder}/spool
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mail_spool_directory = {folder}/mail
smtpd_authorized_xclient_hosts = 127.0.0.1
"""

OUTSIDE = "XCLIENT ADDR=192.0.2.9 NAME=mail.sender.test"
"""What makes the client of a test a stranger."""

PATHS = ("certificate", "key", "dh", "dh512", "ca", "aliases", "mailname", "data", "spool")
"""Placeholders that are files or folders of ours."""

LISTENERS = ("smtp", "smtps", "submission", "submissions", "sogo", "quarantine", "watchdog")
"""Placeholders that are names of inet services."""


@dataclass(slots=True)
class StackHost:
    """One stack, laid out."""

    name: str
    folder: Path
    instance: Instance
    ports: dict[str, int] = field(default_factory=dict)

    def client(self, service: str = "smtp", source: str = "127.0.0.1") -> smtplib.SMTP:
        """A connection to one of its listeners, greeted."""
        made = smtplib.SMTP("127.0.0.1", self.ports[service], timeout=60, source_address=(source, 0))
        made.ehlo("mail.sender.test")
        return made

    def check(self) -> list[str]:
        """What `postfix check` says, without the command's name and with ETC for the folder."""
        ran = self.instance.postfix("check")
        assert ran.status == 0, ran
        return [self.shown(line.partition("postfix-script: ")[2]) for line in ran.err.splitlines()]

    def takeover(self) -> Ran:
        """What `posthouse check-takeover` says."""
        return self.instance.run("posthouse", "check-takeover", "-c", str(self.instance.configuration))

    def shown(self, text: str) -> str:
        """A text without what is this run's."""
        return text.replace(f"{self.folder}/etc", "ETC").replace(str(self.folder), "DIR")

    def postmap(self, *names: str) -> None:
        """Make tables as their owner does."""
        for name in names:
            self.instance.do("postmap", f"hash:{self.folder}/etc/{name}")

    def newaliases(self) -> None:
        """The aliases too."""
        self.instance.do("newaliases")


def trusting() -> ssl.SSLContext:
    """A client's TLS that believes anything: the certificates here are self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def laid_out(name: str, values: Mapping[str, str] = {}, more: str = "") -> Iterator[StackHost]:
    """The stack's files in a new folder; its listeners get free ports."""
    folder = Path(tempfile.mkdtemp(prefix=f"posthouse-stack-{name}-"))
    try:
        folder.chmod(0o755)
        for part in ("etc", "spool", "mail"):
            (folder / part).mkdir()
        (folder / "mail").chmod(0o1777)
        (folder / "etc" / "mailname").write_text("example.com\n")
        certificate, key = write_certificate(folder / "etc", "mail.example.com", "127.0.0.1")
        etc = folder / "etc"
        known = {
            "conf": str(etc),
            "certificate": str(certificate),
            "key": str(key),
            "ca": str(certificate),
            "dh": "",
            "dh512": "",
            "aliases": str(etc / "aliases"),
            "mailname": str(etc / "mailname"),
            "spool": str(folder / "spool"),
            "data": str(etc if name == "mailman" else folder / "data"),
            "owner": "postfix",
            **values,
        }
        used = {found[1] for path in (FOLDER / name).rglob("*.cf") for found in PLACEHOLDER.finditer(path.read_text())}
        ports = {key: free_port() for key in LISTENERS if key in used}
        filled = {**{key: f"127.0.0.1:{port}" for key, port in ports.items()}, **known}
        write_stack(name, etc, {key: value for key, value in filled.items() if key in used or key in values})
        lines = [line for line in (MORE.format(folder=folder) + more).splitlines() if line]
        main = etc / "main.cf"
        own = main.read_text()
        own += "".join(f"{line}\n" for line in lines if f"\n{line.split(' ')[0]} = " not in own)
        main.write_text(own)
        yield StackHost(name, folder, Instance(etc, folder / "mail.log", folder / "spool"), ports)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def named(zones: str = "") -> AsyncIterator[str]:
    """The settings that make a name server of ours answer."""
    server = await DnsServer.start(ZONES + zones, "127.0.0.1", 0)
    try:
        yield f"dns_servers = {server.address[0]}:{server.address[1]}\n"
    finally:
        await server.aclose()
