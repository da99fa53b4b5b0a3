"""What the system suites do with a machine: wait for a condition, run commands, read /proc, make and remove users."""

import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""

PAUSE = 0.03
"""Seconds between two looks at a condition."""

COMMANDS = Path(os.environ.get("POSTHOUSE_COMMANDS") or Path(sys.executable).parent)
"""Where our commands are: beside the interpreter, or where an installed copy that is to be tested has them."""

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def eventually(look: Callable[[], Found], what: str = "", within: float = PATIENCE) -> Found:
    """The first true value of look(); fails with `what` when there is none in time."""
    until = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:.0f} s: {what or look}")
        time.sleep(PAUSE)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str


def run(
    argv: Sequence[str],
    stdin: str | bytes = b"",
    *,
    user: str = "",
    environment: Mapping[str, str] = {},
    within: float = 120.0,
    cwd: str = "/",
) -> Ran:
    """Run a command to its end; ours come first on the PATH. `user` runs it as that user, with nothing of root's."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    home = pwd.getpwnam(user).pw_dir if user else "/"
    full = {
        "PATH": f"{COMMANDS}:{SYSTEM_PATH}",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": home,
        "USER": user or "root",
        "LOGNAME": user or "root",
        **environment,
    }
    identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    program = COMMANDS / argv[0]
    done = subprocess.run(
        [str(program) if program.exists() else argv[0], *argv[1:]],
        input=data,
        capture_output=True,
        env=full,
        timeout=within,
        cwd=cwd,
        check=False,
        **identity,
    )
    return Ran(
        tuple(argv), done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


@dataclass(frozen=True, slots=True)
class Instance:
    """One mail system: its configuration folder, its log, its queue_directory."""

    configuration: Path
    log: Path
    queue_directory: Path

    def run(self, *argv: str, stdin: str | bytes = b"", user: str = "", within: float = 120.0) -> Ran:
        """One of our commands, under this configuration."""
        return run(argv, stdin, user=user, environment={"MAIL_CONFIG": str(self.configuration)}, within=within)

    def do(self, *argv: str, stdin: str | bytes = b"", user: str = "") -> str:
        """As run(), for commands that must succeed; returns what they printed."""
        ran = self.run(*argv, stdin=stdin, user=user)
        assert ran.status == 0, ran
        return ran.out

    def postfix(self, word: str) -> Ran:
        """`postfix -c DIR word`, as the manuals have it."""
        return run(["postfix", "-c", str(self.configuration), word])

    def start(self) -> None:
        """postfix start; every listener listens afterwards."""
        ran = self.postfix("start")
        assert ran.status == 0, (ran, self.text()[-4000:])

    def stop(self) -> None:
        """postfix stop, when it runs."""
        if self.master() is not None:
            ran = self.postfix("stop")
            assert ran.status == 0, ran

    def text(self) -> str:
        """The whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def logged(self, pattern: str, within: float = PATIENCE, after: int = 0) -> re.Match[str]:
        """Wait for a line of the log; `after` is a length of text() before which nothing counts."""
        expression = re.compile(pattern, re.MULTILINE)
        try:
            return eventually(lambda: expression.search(self.text(), after), within=within)
        except AssertionError:
            # The log as it is now, not as it was when the waiting began.
            text = self.text()
            raise AssertionError(
                f"not within {within:.0f} s: {pattern} in the log:\n{text[max(after, len(text) - 4000) :]}"
            ) from None

    def master(self) -> int | None:
        """The master's pid while it runs."""
        try:
            words = (self.queue_directory / "pid" / "master.pid").read_text().split()
        except OSError:
            return None
        return int(words[0]) if words and alive(int(words[0])) else None

    def processes(self) -> list[int]:
        """The master and all that descend from it."""
        master = self.master()
        return [] if master is None else [master, *descendants(master)]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Every process of this instance, at once."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    return status_of(pid).get("State", "Z")[0] not in "ZX"


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status; empty when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (OSError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def descendants(pid: int) -> list[int]:
    """The children, their children and so on, alive ones only."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = status_of(int(entry.name)).get("PPid")
            if parent is not None:
                parents.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += [child for child in children if alive(child)]
        waiting += children
    return found


def uids(pid: int) -> set[int]:
    """Real, effective, saved and file system uid."""
    return {int(word) for word in status_of(pid).get("Uid", "").split()}


def tcp_ports(pid: int) -> set[int]:
    """The local ports of the TCP sockets that a process has open, listening or connected."""
    inodes: set[str] = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return set()
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


OURS = "posthouse test"
"""What users that a test makes have as their full name: a run that was killed leaves them to the next."""


def foreign_user(name: str) -> bool:
    """Whether the system has this user, or a home of that name, and it is not a test's."""
    try:
        return pwd.getpwnam(name).pw_gecos != OURS
    except KeyError:
        return Path("/home", name).exists()


def add_user(name: str, password: str) -> None:
    """A user of the system with a home, as an administrator makes one."""
    for argv, typed in (
        (["useradd", "--create-home", "--comment", OURS, "--shell", "/bin/sh", name], ""),
        (["chpasswd"], f"{name}:{password}\n"),
    ):
        ran = run(argv, typed)
        assert ran.status == 0, ran


def remove_user(name: str) -> None:
    """The user, its home, its spool file."""
    run(["userdel", "--remove", "--force", name])
    for left in (Path("/var/mail") / name, Path("/var/mail") / f"{name}.lock"):
        left.unlink(missing_ok=True)
