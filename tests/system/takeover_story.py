"""A take-over and its undoing, told inside a root of its own: run by test_takeover.py below unshare(1), never directly.

/usr, /etc and /var are overlays whose changes vanish with the mount namespace; network and processes are its own.
"""

import contextlib
import glob
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = os.path.dirname(sys.executable)
REAL = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "DEBIAN_FRONTEND": "noninteractive"}
QUEUES = ("incoming", "active", "deferred", "hold", "maildrop")


def enter(scratch: str) -> None:
    """Make the root: the caller's mount namespace is ours alone."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=128m", "tmpfs", scratch], check=True)
    # Our commands, too: the package's scripts set the modes of what they take for their own.
    for name, path in (("usr", "/usr"), ("etc", "/etc"), ("var", "/var"), ("bin", PREFIX)):
        upper, work = f"{scratch}/{name}", f"{scratch}/{name}.work"
        os.mkdir(upper)
        os.mkdir(work)
        options = f"lowerdir={path},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", path], check=True)
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
    for left in Path("/var/spool/postfix/maildrop").iterdir():
        left.unlink()  # of this root alone: the machine's own mail stays
    os.chmod("/usr/sbin/postdrop", 0o2555)  # as Debian's package has them; `postfix set-permissions` makes it 2755
    os.chmod("/usr/sbin/postqueue", 0o2555)


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
    if shutil.which("dpkg-divert", path=REAL["PATH"]):
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
    until = time.monotonic() + 60
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
        assert os.path.lexists(f"/usr/{name}.of-postfix")
    assert "diversion of /usr/sbin/sendmail to /usr/sbin/sendmail.of-postfix" in run("dpkg-divert", "--list")
    assert greeting().startswith("220 machine.test")
    assert running().startswith("python")
    assert listed() == ids, (listed(), ids)
    assert os.readlink("/etc/systemd/system/postfix.service") == "/dev/null"
    assert "posthouse.service" in os.listdir("/etc/systemd/system/multi-user.target.wants")
    the_unit()
    submit("while ours", user="nobody")
    eventually(lambda: len(listed()) == 5, "a fifth message")
    drop = subprocess.run(
        ["/usr/sbin/postdrop.of-postfix", "-r"], input=RECORDS, capture_output=True, env=REAL, check=False
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


def the_unit() -> None:
    """What systemd would do with our unit, done by hand; and systemd finds no fault in it."""
    path = "/etc/systemd/system/posthouse.service"
    if shutil.which("systemd-analyze", path=REAL["PATH"]):
        assert run("systemd-analyze", "verify", path) == ""
    lines = dict(line.split("=", 1) for line in Path(path).read_text().splitlines() if "=" in line)
    pid = Path(lines["PIDFile"])
    first = pid.read_text()
    run(*lines["ExecReload"].split())
    assert (pid.read_text(), greeting()[:4]) == (first, "220 ")
    run(*lines["ExecStop"].split())
    assert running() == ""
    run(*lines["ExecStart"].split())
    assert running().startswith("python")
    assert pid.read_text() != first
    assert greeting().startswith("220 ")


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


def up() -> bool:
    """Whether Postfix runs; where not it is started: one that was told to stop may still run for a moment."""
    if running() != "master":
        run("/usr/sbin/postfix", "start", status=None)
    return running() == "master"


def kill(process: "subprocess.Popen[bytes]") -> None:
    """kill -9. What it has started, `postfix start` for one, comes to its own end: whoever undoes it waits for that."""
    process.send_signal(signal.SIGSTOP)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = children.read_text().split() if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: not any(alive(child) for child in started), f"the end of {started}")


def alive(process: str) -> bool:
    """Whether it runs; nobody waits for orphans here."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


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
            kill(process)
            for name in ("sendmail", "postfix", "postqueue"):
                assert os.access(f"/usr/sbin/{name}", os.X_OK), f"round {number}: no {name}"
        ours("posthouse", "give-back", status=None)
        assert differences(before) == [], (number, differences(before))
        eventually(up, "Postfix")
        eventually(lambda: subjects() == mail, f"round {number}: {subjects()} instead of {mail}")


def started(*subjects: str) -> dict[str, str]:
    """A running Postfix with deferred mail; the machine's fingerprint."""
    configure()
    before = fingerprint()
    run("postfix", "start")
    for text in subjects:
        submit(text)
    eventually(lambda: list(listed().values()).count("deferred") == len(subjects), "deferred mail")
    return before


def as_before(before: dict[str, str], mail: list[str]) -> None:
    """Postfix runs, with this mail, and the machine is as it was."""
    changed = differences(before)
    assert changed == [], [(path, before.get(path), fingerprint().get(path)) for path in changed]
    assert running() == "master", running()
    eventually(lambda: subjects() == mail, f"Postfix has the mail: {subjects()}")
    assert not os.path.exists("/var/lib/posthouse/takeover.json")


def options() -> None:
    """--force and --without-diversions, each refused without."""
    before = started("one")
    with open("/etc/postfix/master.cf", "a") as file:
        file.write("mystery unix - - n - - mystery\n")
    changed = fingerprint()
    told = ours("posthouse", "takeover", status=1)
    assert "mystery: not served" in told and "nothing was done (--force goes on all the same)" in told, told
    as_before(changed, ["one"])
    assert "commands are ours" in ours("posthouse", "takeover", "--force")
    assert running().startswith("python")
    ours("posthouse", "give-back")
    as_before(changed, ["one"])
    run("postconf", "-MX", "mystery/unix")
    assert set(differences(before)) <= {"/etc/postfix/master.cf"}

    program = shutil.which("dpkg-divert", path=REAL["PATH"])
    assert program is not None
    os.rename(program, "/usr/share/dpkg-divert")
    before = fingerprint()
    told = ours("posthouse", "takeover", status=1)
    assert "no dpkg-divert" in told, told
    as_before(before, ["one"])
    told = ours("posthouse", "takeover", "--without-diversions")
    assert running().startswith("python"), told
    assert os.path.lexists("/usr/sbin/sendmail.of-postfix")
    ours("posthouse", "give-back")
    as_before(before, ["one"])


def package(folder: str) -> str:
    """The installed package as a file for dpkg -i, its maintainer's scripts included."""
    tree = f"{folder}/tree"
    files = [
        path for path in run("dpkg", "-L", "postfix").splitlines() if not os.path.isdir(path) or os.path.islink(path)
    ]
    for path in files:
        path = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
        os.makedirs(tree + os.path.dirname(path), exist_ok=True)
        shutil.copy2(path, tree + path, follow_symlinks=False)
        status = os.lstat(path)
        os.chown(tree + path, status.st_uid, status.st_gid, follow_symlinks=False)
        if not os.path.islink(path):
            os.chmod(tree + path, status.st_mode & 0o7777)
    os.mkdir(f"{tree}/DEBIAN")
    control = run("dpkg-query", "-s", "postfix")
    kept = re.sub(r"^Conffiles:\n( .*\n)*|^(Status|Config-Version):.*\n", "", control, flags=re.MULTILINE)
    Path(f"{tree}/DEBIAN/control").write_text(kept)
    for path in glob.glob("/var/lib/dpkg/info/postfix.*"):
        name = path.rpartition(".")[2]
        if name not in ("list", "md5sums"):
            shutil.copy2(path, f"{tree}/DEBIAN/{name}")
    run("dpkg-deb", "-Znone", "--build", tree, f"{folder}/postfix.deb")
    return f"{folder}/postfix.deb"


def updated() -> None:
    """The package is installed again, removed and installed while its place is ours."""
    before = started("one", "two")
    new = package(sys.argv[1])
    ours("posthouse", "takeover")
    links = {name: text for name, text in fingerprint().items() if text.startswith(PREFIX)}
    assert len(links) > 15, links

    told = run("dpkg", "-i", new)
    assert {name: text for name, text in fingerprint().items() if text.startswith(PREFIX)} == links, told
    assert running() != "master", told
    if not running():
        run("/usr/sbin/postfix", "start")
    assert subjects() == ["one", "two"], told
    submit("three", user="nobody")
    eventually(lambda: len(listed()) == 3, "mail by the same sendmail")
    ours("posthouse", "give-back")
    as_before(before, ["one", "three", "two"])

    ours("posthouse", "takeover")
    told = run("dpkg", "-r", "--force-depends", "postfix")
    assert os.readlink("/usr/sbin/sendmail") == links["/usr/sbin/sendmail"].split()[0], told
    assert not os.path.lexists("/usr/sbin/sendmail.of-postfix")
    if not running():
        run("/usr/sbin/postfix", "start")
    submit("four", user="nobody")
    eventually(lambda: len(listed()) == 4, "mail without the package")
    told = ours("posthouse", "give-back", status=1)
    assert not os.path.lexists("/usr/sbin/sendmail"), told
    run("dpkg", "-i", new)
    told = ours("posthouse", "give-back")
    if running() != "master":
        run("/usr/sbin/postfix", "start")
    as_before(before, ["four", "one", "three", "two"])


def full() -> None:
    """A disk without space: nothing is lost, and it goes on when there is some."""
    before = started("one", "two")
    filler = f"{sys.argv[1]}/filler"

    def fill() -> None:
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with open(filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))

    run("postconf", "-e", "queue_minfree=1", "message_size_limit=10000", "mailbox_size_limit=20000")
    before = fingerprint()
    fill()
    told = ours("posthouse", "takeover", "--force", status=1)
    assert "No space left" in told, told
    assert "Traceback" not in told, told
    os.unlink(filler)
    ours("posthouse", "give-back")
    if running() != "master":
        run("/usr/sbin/postfix", "start")
    as_before(before, ["one", "two"])

    ours("posthouse", "takeover")
    submit("three")
    eventually(lambda: len(listed()) == 3, "a third message")
    fill()
    told = ours("posthouse", "give-back", status=1)
    assert "Traceback" not in told, told
    assert os.access("/usr/sbin/sendmail", os.X_OK)
    os.unlink(filler)
    ours("posthouse", "give-back")
    as_before(before, ["one", "three", "two"])


def crashed() -> None:
    """Posthouse is killed, and given back: what it had queued is Postfix's."""
    before = started("one", "two")
    ours("posthouse", "takeover")
    submit("three")
    eventually(lambda: len(listed()) == 3, "a third message")
    pid = int(Path("/var/spool/postfix/pid/master.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    ours("posthouse", "give-back")
    as_before(before, ["one", "three", "two"])

    # A give-back that is killed over the queue, and a Postfix that somebody starts by hand.
    ours("posthouse", "takeover")
    child = os.fork()
    if not child:
        die_at(1, "posthouse.commands.export_queue.Export.run")
        from posthouse.commands.takeover import main_give_back

        main_give_back()
        os._exit(0)
    os.waitpid(child, 0)
    assert running() == ""
    run("/usr/sbin/postfix", "start")
    assert subjects() == []
    ours("posthouse", "give-back")
    as_before(before, ["one", "three", "two"])


def die_at(count: int, *names: str) -> list[int]:
    """This process ends before the count-th call of some functions; the list says how many were made."""
    made = [0]
    for name in names:
        where, _, attribute = name.rpartition(".")
        try:
            owner: object = importlib.import_module(where)
        except ImportError:
            module, _, inner = where.rpartition(".")
            owner = getattr(importlib.import_module(module), inner)
        real = getattr(owner, attribute)

        def call(*words: object, real: Callable[..., object] = real, **more: object) -> object:
            made[0] += 1
            if made[0] == count:
                os._exit(9)
            return real(*words, **more)

        setattr(owner, attribute, call)
    return made


STEPS = (
    "posthouse.commands.takeover_steps.Record.save",
    "posthouse.commands.takeover_steps._place_link",
    "posthouse.commands.takeover_steps._run",
    "posthouse.commands.takeover_steps._bring_back",
    "posthouse.commands.takeover._stop_postfix",
    "posthouse.commands.takeover._start",
    "posthouse.commands.takeover._postfix",
    "posthouse.commands.takeover_steps.Record.remove",
    "posthouse.queue.staged.StagedShard.activate",
    "posthouse.queue.staged.StagedShard.add",
    "posthouse.queue.postfix_spool.PostfixSpool.move",
    "posthouse.queue.handed_back.PostfixQueue.write",
    "posthouse.queue.handed_back.PostfixQueue.name",
    "posthouse.queue.offline.OfflineQueue.operate",
)


def killed_at(count: int, word: str) -> bool:
    """A take-over or a give-back in a child that dies; False when it came to its end before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    os.environ |= REAL
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv[0] = f"{PREFIX}/posthouse"
    die_at(count, *STEPS)
    from posthouse.commands.takeover import main_give_back, main_takeover

    if word == "takeover":
        main_takeover("/etc/postfix", PREFIX, dry_run=False, without_diversions=False, force=False)
    else:
        main_give_back()
    os._exit(0)


def each_step(stride: int) -> None:
    """Killed before each step (or each stride-th), then finished or undone."""
    before = started("one", "two")
    mail = subjects()
    for word in ("takeover", "give-back"):
        for finish in (True, False):
            count, killed = 1 + stride * (not finish) // 2, True
            while killed:
                if word == "give-back":
                    ours("posthouse", "takeover")
                killed = killed_at(count, word)
                assert os.access("/usr/sbin/sendmail", os.X_OK), (word, count)
                if word == "takeover" and finish:
                    ours("posthouse", "takeover")
                    assert running().startswith("python"), (word, count)
                    assert sorted(subjects()) == mail, (word, count, subjects())
                elif word == "give-back" and finish:
                    ours("posthouse", "takeover")
                    assert sorted(subjects()) == mail, (word, count, subjects())
                ours("posthouse", "give-back")
                if running() != "master":
                    run("/usr/sbin/postfix", "start")
                as_before(before, mail)
                count += stride
            print(f"{word}: killed at up to {count - stride} steps", flush=True)


if __name__ == "__main__":
    enter(sys.argv[1])
    if sys.argv[2].isdigit():
        story()
        interrupted(int(sys.argv[2]))
    elif sys.argv[2] == "each_step":
        each_step(int(sys.argv[3]))
    else:
        {"options": options, "updated": updated, "full": full, "crashed": crashed}[sys.argv[2]]()
    run("/usr/sbin/postfix", "stop", status=None)
    print("told")
