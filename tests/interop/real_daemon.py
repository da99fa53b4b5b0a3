"""A daemon of the real Postfix, started by hand to see how it ends: what it complains about when it reads parameters.

Its log goes to the socket of postlogd, which is ours: no system runs. Without its master it ends soon anyhow, with a
complaint about something else: then the parameters were fine.
"""

import re
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.interop.differential import environment

SBIN = Path("/usr/lib/postfix/sbin")
MAIN = """\
compatibility_level = 3.6
myhostname = real.test
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_base = {folder}
"""
LIMITS = {
    **dict.fromkeys(("qmgr", "pickup", "verify", "anvil", "tlsmgr", "postscreen", "scache"), ("-l", "-u")),
    **dict.fromkeys(("cleanup", "bounce", "flush", "dnsblog", "tlsproxy"), ("-z", "-u")),
    **dict.fromkeys(("local", "pipe", "virtual", "spawn"), ()),
}
"""The options by which master tells a daemon its process limit and that it is unprivileged; ("-u",) for the others."""

PROGRAMS = (
    *("smtpd", "smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "qmgr", "cleanup", "trivial-rewrite"),
    *("bounce", "pickup", "verify", "anvil", "flush", "showq", "scache", "tlsmgr", "postscreen", "proxymap", "qmqpd"),
    *("dnsblog", "tlsproxy", "spawn"),
)


class RealDaemon:
    """A place for them to start in."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="real-daemon-"))
        self._folder.chmod(0o755)
        for name in ("spool/public", "spool/active", "data", "etc"):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "data", "postfix")
        (self._folder / "etc" / "main.cf").write_text(MAIN.format(folder=self._folder))
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self._folder / "spool" / "public" / "postlog"))
        (self._folder / "spool" / "public" / "postlog").chmod(0o666)
        self._log.setblocking(False)

    def complaint(self, program: str, settings: dict[str, str]) -> str:
        """The first fatal line of the program; "" when it said nothing."""
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        with suppress(subprocess.TimeoutExpired):  # some make tables of a size that is asked for
            subprocess.run(
                [SBIN / program, *options, "-n", program, "-t", "unix", *LIMITS.get(program, ("-u",))],
                env={**environment(), "MAIL_CONFIG": str(self._folder / "etc")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
                check=False,
            )
        fatal = ""
        while True:
            try:
                line = self._log.recv(65536).decode("utf-8", "surrogateescape")
            except BlockingIOError:
                return fatal
            text = re.sub(r"\A.{15} \S+ \S+\[\d+\]: ", "", line)
            if text.startswith("fatal: ") and not fatal:
                fatal = text.removeprefix("fatal: ")

    def close(self) -> None:
        """Leave nothing behind."""
        self._log.close()
        shutil.rmtree(self._folder)
