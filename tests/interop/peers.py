"""Who takes part: our instance, the real Postfix, and programs from Debian's packages."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.machine import Instance, Ran, run


@dataclass(frozen=True, slots=True)
class Ours:
    """Our instance and where it listens; `sink` and `real` are where far.test and real.test go."""

    instance: Instance
    folder: Path
    smtp: int
    submission: int
    pop3: int
    pop3s: int
    imap: int
    imaps: int
    sink: int
    real: int


@dataclass(frozen=True, slots=True)
class Real:
    """A private instance of the real Postfix."""

    folder: Path
    port: int

    def run(self, *argv: str, stdin: str = "") -> Ran:
        """One of its commands: a full path keeps ours out of the way."""
        return run([f"/usr/sbin/{argv[0]}", *argv[1:]], stdin, environment={"MAIL_CONFIG": str(self.folder / "etc")})

    def text(self) -> str:
        """Its log."""
        log = self.folder / "mail.log"
        return log.read_text(errors="replace") if log.exists() else ""


def peer(name: str, *, package: str = "") -> str:
    """The path of a program from Debian's packages; the test is skipped where it is missing."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        pytest.skip(f"needs {package or name} (Debian: apt-get install {package or name})")
    return path
