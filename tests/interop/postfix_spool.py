"""A private instance of the real Postfix that fills its spool with queue files of every kind, and a milter that edits.

A message tells the milter what to do: each `X-Edit:` field is one edit, `VERB argument`.
"""

import contextlib
import os
import re
import shutil
import socketserver
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_port
from tests.system.machine import Ran, eventually, run

DAEMONS = Path("/usr/lib/postfix/sbin")

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd -o smtpd_milters=inet:127.0.0.1:{milter}
127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_authorized_xclient_hosts=127.0.0.1
    -o smtpd_authorized_xforward_hosts=127.0.0.1
127.0.0.1:{slow} inet n - n - - smtpd -o smtpd_recipient_restrictions=check_recipient_access,inline:{{{{
    good.test=DUNNO, {{{{late.test = 450 4.2.0 come back}}}}, {{{{bad.test = 550 5.1.1 no}}}} }}}}
    -o syslog_name=postfix/sink -o cleanup_service_name=dropped
dropped   unix  n       -       n       -       0       cleanup -o header_checks=static:DISCARD
    -o syslog_name=postfix/sink
"""

MAIN_CF = """\
compatibility_level = 3.6
myhostname = real.test
mydomain = real.test
myorigin = $mydomain
mydestination = real.test
alias_maps =
local_recipient_maps =
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
relay_domains = good.test late.test bad.test dead.test
virtual_alias_domains = alias.test
virtual_alias_maps = inline:{{ {{all@alias.test = a@dead.test, b@dead.test, c@late.test}} }}
transport_maps = inline:{{ good.test=smtp:[127.0.0.1]:{slow}, late.test=smtp:[127.0.0.1]:{slow},
    bad.test=smtp:[127.0.0.1]:{slow}, dead.test=smtp:[127.0.0.1]:1, held.test=smtp:[127.0.0.1]:1 }}
header_checks = regexp:{folder}/etc/header_checks
milter_default_action = accept
non_smtpd_milters =
message_size_limit = 100000000
smtpd_client_event_limit_exceptions = 127.0.0.1
biff = no
{more}
"""

HEADER_CHECKS = """\
/^X-Check: prepend/ PREPEND X-Prepended: by a check that writes a rather long line
/^X-Check: replace/ REPLACE X-Replaced: by a check
/^X-Check: hold/ HOLD asked for
/^X-Check: filter/ FILTER smtp:[127.0.0.1]:{dead}
/^X-Check: redirect/ REDIRECT other@dead.test
/^X-Check: ignore/ IGNORE
/^X-Check: bcc/ BCC bcc@dead.test
"""

CHECKS = ("prepend", "replace", "hold", "filter", "redirect", "ignore", "bcc")
"""What `X-Check:` may say."""


def _packet(command: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data) + 1) + command + data


class _Milter(socketserver.StreamRequestHandler):
    """Sendmail's milter protocol, version 6: everything is continued, and edits are made at the end of the message."""

    def handle(self) -> None:
        edits: list[tuple[str, str]] = []
        while len(head := self.rfile.read(4)) == 4:
            packet = self.rfile.read(struct.unpack(">I", head)[0])
            command, data = packet[:1], packet[1:]
            if command == b"O":
                self.wfile.write(_packet(b"O", struct.pack(">III", 6, 0x1FF, 0)))
            elif command == b"L":
                name, value = data.split(b"\0")[:2]
                if name.lower() == b"x-edit":
                    verb, _, argument = value.decode().strip().partition(" ")
                    edits.append((verb, argument))
                self.wfile.write(_packet(b"c"))
            elif command == b"E":
                for verb, argument in edits:
                    self.wfile.write(b"".join(_packet(*edit) for edit in _edit(verb, argument)))
                edits = []
                self.wfile.write(_packet(b"c"))
            elif command in b"Q":
                return
            elif command not in b"DAK":
                self.wfile.write(_packet(b"c"))


def _edit(verb: str, argument: str) -> Iterator[tuple[bytes, bytes]]:
    name, _, value = argument.partition(" ")
    field = name.encode() + b"\0" + value.encode().replace(b"|", b"\n\t") + b"\0"
    if verb == "add":
        yield b"h", field
    elif verb == "insert":
        yield b"i", struct.pack(">I", 1) + field
    elif verb == "change":
        yield b"m", struct.pack(">I", 1) + field
    elif verb == "rcpt":
        yield b"+", f"<{argument}>".encode() + b"\0"
    elif verb == "delrcpt":
        yield b"-", f"<{argument}>".encode() + b"\0"
    elif verb == "from":
        yield b"e", f"<{argument}>".encode() + b"\0"
    elif verb == "body":
        lines = b"".join(b"new line %d %s\r\n" % (n, name.encode()) for n in range(int(value)))
        for at in range(0, len(lines), 60000):
            yield b"b", lines[at : at + 60000]
    elif verb == "quarantine":
        yield b"q", argument.encode() + b"\0"


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@dataclass(frozen=True, slots=True)
class PostfixSpool:
    """A private Postfix: `port` with the milter, `plain` without it (and with XFORWARD). Nobody listens at `dead`."""

    folder: Path
    port: int
    plain: int
    dead: int

    @property
    def spool(self) -> Path:
        """Its queue_directory."""
        return self.folder / "spool"

    def run(self, *argv: str, stdin: str | bytes = "") -> Ran:
        """One of its commands."""
        return run([f"/usr/sbin/{argv[0]}", *argv[1:]], stdin, environment={"MAIL_CONFIG": str(self.folder / "etc")})

    def start(self) -> None:
        """Start it."""
        ran = self.run("postfix", "start")
        assert ran.status == 0, ran

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        self.run("postfix", "stop")
        pid = self.folder / "spool" / "pid" / "master.pid"
        eventually(lambda: not pid.exists() or not _runs(pid), "the end of the real Postfix")

    def text(self) -> str:
        """Its log."""
        log = self.folder / "mail.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def files(self, *queues: str) -> list[Path]:
        """The files of some queues."""
        return sorted(p for queue in queues for p in (self.spool / queue).rglob("*") if p.is_file())

    def settled(self) -> bool:
        """Whether nothing is on its way."""
        return not self.files("incoming", "active", "maildrop")


@contextlib.contextmanager
def postfix_spool(more: str = "") -> Iterator[PostfixSpool]:
    """A private Postfix, not started; stopped and removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the real Postfix does not run without")
    if not DAEMONS.exists():
        pytest.skip("needs postfix (Debian: apt-get install postfix)")
    folder = Path(tempfile.mkdtemp(prefix="posthouse-spool-"))
    folder.chmod(0o755)
    ports = {name: free_port() for name in ("port", "plain", "slow", "milter", "dead")}
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(MAIN_CF.format(folder=folder, more=more, **ports))
    (folder / "etc" / "master.cf").write_text(
        MASTER_CF.format(**ports).replace("{{", "{").replace("}}", "}") + SERVICES
    )
    (folder / "etc" / "header_checks").write_text(HEADER_CHECKS.format(dead=ports["dead"]))
    made = PostfixSpool(folder, ports["port"], ports["plain"], ports["dead"])
    with _Server(("127.0.0.1", ports["milter"]), _Milter) as milter:
        thread = threading.Thread(target=milter.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.stop()
            milter.shutdown()
            thread.join()
            shutil.rmtree(folder)


def _runs(pid: Path) -> bool:
    words = pid.read_text().split()
    return bool(words) and Path("/proc", words[0]).exists() and "master" in Path("/proc", words[0], "comm").read_text()


def shown(real: PostfixSpool, path: Path) -> list[tuple[str, str]]:
    """What Postfix's own postcat says of a file: (record name, text), the content in one piece named content."""
    ran = subprocess.run(
        ["/usr/sbin/postcat", "-v", str(path)],
        capture_output=True,
        env={"MAIL_CONFIG": str(real.folder / "etc"), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    found = []
    for line in ran.stdout.decode("latin-1").split("\n"):
        if match := re.fullmatch(r"([a-z_]+): (.*)", line):
            found.append((match[1], match[2]))
    return found
