"""A take-over and its undoing, told inside a root of its own: run by test_takeover.py below unshare(1), never directly.

/usr, /etc and /var are overlays whose changes vanish with the mount namespace; network and processes are its own.
"""

import contextlib
import glob
import hashlib
import json
import os
import random
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

PREFIX = os.path.dirname(sys.executable)
REAL = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
QUEUES = ("incoming", "active", "deferred", "hold", "maildrop")


def enter(scratch: str) -> None:
    """Make the root: the caller's mount namespace is ours alone."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", scratch], check=True)
    for name in ("usr", "etc", "var"):
        upper, work = f"{scratch}/{name}", f"{scratch}/{name}.work"
        os.mkdir(upper)
        os.mkdir(work)
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", f"/{name}"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run(*argv: str, stdin: str = "", status: int | None = 0) -> str:
    """A command with the machine's own PATH; what it printed."""
    ran = subprocess.run(argv, input=stdin, capture_output=True, text=True, env=REAL, check=False, timeout=120)
    assert status is None or ran.returncode == status, (argv, ran.returncode, ran.stdout, ran.stderr)
    return ran.stdout + ran.stderr


def ours(*argv: str, status: int | None = 0) -> str:
    """One of our commands, by its full path."""
    return run(f"{PREFIX}/{argv[0]}", *argv[1:], status=status)


def configure() -> None:
    """Debian's configuration, on loopback, with a destination that refuses."""
    run("postconf", "-e", "myhostname=machine.test", "mydestination=machine.test", "inet_interfaces=127.0.0.1")
    run("postconf", "-e", "inet_protocols=ipv4", "maillog_file=/var/log/mail.log", "relayhost=[127.0.0.1]:1")
    run("postconf", "-e", "smtp_dns_support_level=disabled", "alias_maps=", "alias_database=")
    run("postconf", "-F", "*/*/chroot=n")


def fingerprint() -> dict[str, str]:
    """The package's files, its diversions, and the folders of units."""
    found = {}
    for pattern in ("/usr/sbin/*", "/usr/bin/mail*", "/usr/bin/new*", "/etc/systemd/system/**", "/etc/postfix/*.cf"):
        for path in glob.glob(pattern, recursive=True):
            status = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else ""
            if os.path.isfile(path) and not content:
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            if not os.path.isdir(path):
                found[path] = f"{content} {status.st_mode:o} {status.st_uid} {status.st_gid}"
    found["diversions"] = run("dpkg-divert", "--list")
    return found


def differences(before: dict[str, str]) -> list[str]:
    """Paths whose state is not what it was."""
    after = fingerprint()
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def submit(text: str, user: str = "") -> None:
    """By whatever stands at /usr/sbin/sendmail."""
    command = ["/usr/sbin/sendmail", "-f", "me@machine.test", "you@far.test"]
    if user:
        command = ["setpriv", f"--reuid={user}", "--clear-groups", "--inh-caps=-all", *command]
    run(*command, stdin=f"Subject: {text}\n\nbody\n")


def eventually(look: "object", what: str) -> None:
    """Wait for a moment."""
    until = time.monotonic() + 20
    while not look():  # type: ignore[operator]  # a function
        assert time.monotonic() < until, what
        time.sleep(0.05)


def listed() -> dict[str, str]:
    """Queue ids and queues, by whatever stands at /usr/sbin/postqueue."""
    rows = [json.loads(line) for line in run("/usr/sbin/postqueue", "-j").splitlines() if line.startswith("{")]
    return {row["queue_id"]: row["queue_name"] for row in rows}


def subjects() -> list[str]:
    """The subjects of all queued mail, by whatever stands at /usr/sbin/postcat."""
    found = []
    for queue_id in listed():
        for line in run("/usr/sbin/postcat", "-hq", queue_id).splitlines():
            if line.startswith("Subject: "):
                found.append(line.removeprefix("Subject: "))
    return sorted(found)


def greeting() -> str:
    with socket.create_connection(("127.0.0.1", 25), 10) as connection:
        return connection.recv(100).decode()


def running() -> str:
    """Which program the master is."""
    pid = Path("/var/spool/postfix/pid/master.pid").read_text().strip()
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) if pid else ""
    return ""


def story() -> None:
    """From Postfix to us and back."""
    configure()
    before = fingerprint()
    run("postfix", "start")
    for text in ("one", "two", "held"):
        submit(text)
    submit("by a user", user="nobody")
    eventually(lambda: sum(queue == "deferred" for queue in listed().values()) == 4, "four deferred")
    held = next(i for i in listed() if "Subject: held" in run("postcat", "-hq", i))
    run("postsuper", "-h", held)
    ids = listed()

    dry = ours("posthouse", "takeover", "--dry-run")
    assert "would divert /usr/sbin/sendmail" in dry, dry
    assert differences(before) == [], differences(before)
    assert running() == "master"

    told = ours("posthouse", "takeover")
    assert "4 messages imported" in told, told
    for name in ("sbin/sendmail", "bin/mailq", "bin/newaliases", "sbin/postconf", "sbin/postfix", "sbin/postsuper"):
        assert os.readlink(f"/usr/{name}") == f"{PREFIX}/{os.path.basename(name)}", name
        assert os.path.lexists(f"/usr/{name}.postfix")
    assert "diversion of /usr/sbin/sendmail to /usr/sbin/sendmail.postfix" in run("dpkg-divert", "--list")
    assert greeting().startswith("220 machine.test")
    assert running().startswith("python")
    assert listed() == ids, (listed(), ids)
    assert os.readlink("/etc/systemd/system/postfix.service") == "/dev/null"
    assert "posthouse.service" in os.listdir("/etc/systemd/system/multi-user.target.wants")
    submit("while ours", user="nobody")
    eventually(lambda: len(listed()) == 5, "a fifth message")
    drop = subprocess.run(
        ["/usr/sbin/postdrop.postfix", "-r"], input=RECORDS, capture_output=True, env=REAL, check=False
    )
    assert drop.returncode == 0, drop
    run("/usr/sbin/postkick", "public", "pickup", "W")
    eventually(lambda: "by postdrop" in subjects(), "mail that Postfix's own postdrop left")
    assert "taken over already" in ours("posthouse", "takeover")
    assert ours("posthouse", "check-takeover").rstrip().endswith("(marked ?).")

    told = ours("posthouse", "give-back")
    assert differences(before) == [], (differences(before), told)
    assert "6 queued messages are Postfix's" in told, told
    assert running() == "master"
    expected = ["by a user", "by postdrop", "held", "one", "two", "while ours"]
    eventually(lambda: subjects() == expected, f"Postfix has them: {subjects()}")
    assert list(listed().values()).count("hold") == 1, listed()
    assert not os.path.exists("/var/lib/posthouse/takeover.json")
    assert "not taken over" in ours("posthouse", "give-back")
    with smtplib.SMTP("127.0.0.1", 25) as client:
        client.sendmail("a@x.test", ["nobody@machine.test"], "Subject: through Postfix\r\n\r\nb\r\n")


RECORDS = b"".join(
    kind + bytes([len(text)]) + text
    for kind, text in (
        (b"A", b"rewrite_context=local"),
        (b"S", b"me"),
        (b"R", b"you@far.test"),
        (b"M", b""),
        (b"N", b"Subject: by postdrop"),
        (b"N", b""),
        (b"X", b""),
        (b"E", b""),
    )
)


def interrupted(rounds: int) -> None:
    """Killed anywhere, and undone: commands and mail are as they were; killed again, and finished."""
    dice = random.Random(7)
    before = fingerprint()
    mail = subjects()
    for number in range(rounds):
        for words in (("takeover",), ("give-back",)):
            process = subprocess.Popen(
                [f"{PREFIX}/posthouse", *words], env=REAL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(dice.uniform(0.2, 4.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            for name in ("sendmail", "postfix", "postqueue"):
                assert os.access(f"/usr/sbin/{name}", os.X_OK), f"round {number}: no {name}"
        ours("posthouse", "give-back", status=None)
        assert differences(before) == [], (number, differences(before))
        if running() != "master":
            run("/usr/sbin/postfix", "start", status=None)
        eventually(lambda: running() == "master", "Postfix")
        eventually(lambda: subjects() == mail, f"round {number}: {subjects()} instead of {mail}")


if __name__ == "__main__":
    enter(sys.argv[1])
    story()
    interrupted(int(sys.argv[2]))
    run("/usr/sbin/postfix", "stop", status=None)
    print("told")
