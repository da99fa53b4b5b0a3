"""A private Postfix and an instance of ours with the same configuration, for scenarios that both play.

`@folder@` in main.cf, master.cf and files is the side's own folder, `@smtp@` the port of its SMTP server, `@sink@` the
port of a server that takes everything and remembers it.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.testkit.master_lines import SERVICES
from tests.free_port import free_port
from tests.interop.capture_server import Capture, capture_server
from tests.system.machine import Instance, Ran, eventually, run

DAEMONS = Path("/usr/lib/postfix/sbin")

MAIN_CF = """\
compatibility_level = 3.6
myhostname = host.pair.test
mydomain = pair.test
myorigin = $mydomain
mydestination = $mydomain, localhost
mynetworks = 127.0.0.0/8 [::1]/128
queue_directory = @folder@/spool
data_directory = @folder@/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
maillog_file = @folder@/mail.log
maillog_file_prefixes = @folder@
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
mail_spool_directory = @folder@/mail
alias_maps = hash:@folder@/etc/aliases
alias_database = $alias_maps
smtp_tls_security_level = none
biff = no
"""

MASTER_CF = "127.0.0.1:@smtp@ inet n - n - - smtpd\n"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    name: str
    """"postfix" or "posthouse"."""
    folder: Path
    smtp: int
    capture: Capture

    @property
    def instance(self) -> Instance:
        """For those who ask more of ours."""
        return Instance(self.folder / "etc", self.folder / "mail.log", self.folder / "spool")

    def fill(self, text: str) -> str:
        """The text with this side's values."""
        values = {"folder": str(self.folder), "smtp": str(self.smtp), "sink": str(self.capture.port)}
        return re.sub(r"@(folder|smtp|sink)@", lambda match: values[match[1]], text)

    def run(self, *argv: str, stdin: str | bytes = b"", user: str = "", within: float = 120.0) -> Ran:
        """One of its commands."""
        words = [f"/usr/sbin/{argv[0]}" if self.name == "postfix" else argv[0], *argv[1:]]
        if words[0] in ("/usr/sbin/mailq", "/usr/sbin/newaliases"):
            words[0] = words[0].replace("sbin", "bin")
        return run(words, stdin, user=user, environment={"MAIL_CONFIG": str(self.folder / "etc")}, within=within)

    def do(self, *argv: str, stdin: str | bytes = b"", user: str = "") -> str:
        """As run(), for what must succeed; its standard output."""
        ran = self.run(*argv, stdin=stdin, user=user)
        assert ran.status == 0, (self.name, ran, self.text()[-3000:])
        return ran.out

    def text(self) -> str:
        """Its log."""
        return self.instance.text()

    def lines(self, pattern: str = "", after: int = 0) -> list[str]:
        """The log's lines that hold the pattern, without what differs in every run."""
        lines = self.text()[after:].splitlines()
        return [self.calm(line) for line in lines if re.search(pattern, line)]

    def calm(self, text: str) -> str:
        """The text without times, process numbers, queue ids, folders and ports."""
        text = text.replace(str(self.folder), "@folder@")
        text = re.sub(r"^\w{3} +\d+ [\d:]{8} \S+ ", "", text, flags=re.MULTILINE)
        text = re.sub(r"(postfix[/\w-]*)\[\d+\]", r"\1", text)
        text = re.sub(r"\b(?=[0-9A-F]*\d)[0-9A-F]{8,15}\b", "ID", text)
        text = re.sub(r" conn_use=\d+,", "", text)  # by how soon one message follows another
        text = re.sub(r"delay=[\d.e+-]+, delays=[\d./e+-]+", "delays", text)
        text = re.sub(r"\b\d{14}\.ID@", "TIME.ID@", text)
        text = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} [\d:]{8} [+-]\d{4} \(\w+\)", "DATE", text)
        text = re.sub(r"\w{3} \w{3} [ \d]\d [\d:]{8}(?: \d{4})?", "DATE", text)
        for port, name in ((self.smtp, "smtp"), (self.capture.port, "sink")):
            text = re.sub(rf"\b{port}\b", f"@{name}@", text)
        return text

    def queue(self) -> list[dict[str, object]]:
        """postqueue -j, parsed."""
        return [json.loads(line) for line in self.do("postqueue", "-j").splitlines()]

    def settled(self, within: float = 60.0) -> None:
        """Wait until nothing is under way, and for the log."""
        with contextlib.suppress(AssertionError):  # then the queue is asked, which takes a process each time
            eventually(lambda: self._open() <= self._waiting(), within=1.0)
        eventually(
            lambda: all(entry["queue_name"] in ("deferred", "hold") for entry in self.queue()),
            f"{self.name} settles: {self.text()[-3000:]}",
            within,
        )
        self.told()

    def told(self, after: int = 0) -> None:
        """Wait for the log, whose lines leave in batches."""
        with contextlib.suppress(AssertionError):  # what postsuper took away has no such line
            eventually(lambda: self._all_told(after), within=3.0)

    def _open(self, after: int = 0) -> set[str]:
        """The messages that the log has no end of."""
        ends = re.findall(r": (\w+): (?:(from=)<.*nrcpt=|removed$)", self.text()[after:], re.MULTILINE)
        last = dict(ends)  # an id may come again
        return {queue_id for queue_id, began in last.items() if began}

    def _waiting(self) -> set[str]:
        """The messages of which the log says that they wait."""
        return set(re.findall(r": (\w+): to=.*status=deferred", self.text()))

    def _all_told(self, after: int) -> bool:
        """Whether the log has the end of every message that is not in the queue."""
        left = self._open(after)
        return not left or left <= {str(entry["queue_id"]) for entry in self.queue()}

    def reload(self) -> None:
        """With the configuration as the files say now."""
        self.do("postfix", "-c", str(self.folder / "etc"), "reload")

    def mailbox(self, name: str) -> str:
        """A spool file, calmed."""
        path = self.folder / "mail" / name
        return self.calm(path.read_text(errors="surrogateescape")) if path.exists() else ""


def _folder(where: Path, name: str) -> Path:
    folder = where / name
    for below in ("etc", "spool", "mail"):
        (folder / below).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "mail").chmod(0o1777)
    if name == "postfix":
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
    return folder


@contextlib.contextmanager
def pair(
    main_cf: str = "",
    master_cf: str = "",
    files: Mapping[str, str] = {},
    *,
    base: str = MAIN_CF,
    inet: str = MASTER_CF,
) -> Iterator[tuple[Side, Side]]:
    """Both, running: Postfix and ours. `files` are put under @folder@, e.g. "etc/aliases"."""
    if os.geteuid() != 0 or not DAEMONS.exists():
        pytest.skip("needs root and postfix (Debian: apt-get install postfix)")
    where = Path(tempfile.mkdtemp(prefix="posthouse-pair-"))
    where.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, where)
        sides = [
            Side(name, _folder(where, name), free_port(), stack.enter_context(capture_server(0)))
            for name in ("postfix", "posthouse")
        ]
        threads = stack.enter_context(ThreadPoolExecutor(len(sides)))
        for side in sides:
            (side.folder / "etc" / "main.cf").write_text(side.fill(base + main_cf))
            (side.folder / "etc" / "master.cf").write_text(side.fill(inet + SERVICES + master_cf))
            (side.folder / "etc" / "aliases").touch()
            for path, text in files.items():
                (side.folder / path).write_text(side.fill(text))
        stack.callback(lambda: list(threads.map(_stop, sides)))
        list(threads.map(_start, sides))
        yield sides[0], sides[1]


def _start(side: Side) -> None:
    side.do("newaliases")
    ran = side.run("postfix", "-c", str(side.folder / "etc"), "start")
    assert ran.status == 0, (ran, side.text())


def _stop(side: Side) -> None:
    side.run("postfix", "-c", str(side.folder / "etc"), "abort")
    pid = side.folder / "spool" / "pid" / "master.pid"
    eventually(lambda: not _runs(pid), f"the end of {side.name}")
    if side.name == "posthouse":
        side.instance.kill()


def _runs(pid: Path) -> bool:
    words = pid.read_text().split() if pid.exists() else []
    return bool(words) and Path("/proc", words[0]).exists()
