"""posthouse takeover, posthouse give-back: Postfix's place on a machine, and back.

    posthouse takeover [-c DIR] [--dry-run] [--prefix DIR] [--without-diversions] [--force] [--mend]
    posthouse give-back

takeover checks the configuration (posthouse check-takeover), stops Postfix, puts our commands in
the place of sendmail, mailq, newaliases and the post* commands (the package's own stay as
NAME.of-postfix, diverted for dpkg), shows our manual pages, keeps postfix.service from starting and installs
posthouse.service where systemd's folders are, imports the queue, and starts. The postfix package
stays installed, its files in /etc/postfix stay as they are.

Each step is in /var/lib/posthouse/takeover.json before it is made (commands/takeover_steps.py).
give-back stops us, undoes the steps from the last to the first, writes mail that is still queued
back into Postfix's queue (commands/export_queue.py), and starts Postfix if it ran before. Both
can be interrupted anywhere and run again. A take-over that fails is given back at once.

postconf is not diverted: the preinst of Debian's package removes a diversion of that name which old
versions of another package made, and fails at anybody else's, so that no update could be installed.
It is replaced, and a hook of dpkg (takeover --mend) replaces the new one after an update.

Without dpkg-divert the machine is no Debian: an update of its postfix package would put the old
commands back. takeover refuses there, unless --without-diversions says that this is known.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from posthouse.commands.takeover_manual import SYSTEM, own_pages
from posthouse.commands.takeover_steps import (
    SUFFIX,
    Record,
    Step,
    StepFailed,
    divert_program,
    make,
    read_record,
    undo,
)
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError

COMMANDS = (
    *("sendmail", "mailq", "newaliases", "postalias", "postcat", "postconf", "postdrop", "postfix", "postkick"),
    *("postlock", "postlog", "postmap", "postmulti", "postqueue", "postsuper", "posttls-finger", "qshape"),
    *("smtp-sink", "smtp-source"),
)
"""Commands that other programs and people call, where the package has them."""

FOLDERS = ("/usr/sbin", "/usr/bin")

NOT_DIVERTED = ("postconf",)
"""See above."""

DPKG_HOOKS = "/etc/dpkg/dpkg.cfg.d"

HOOK = """\
# Made by posthouse takeover; posthouse give-back removes it. An update of postfix brings its own postconf back.
post-invoke=if [ ! -L /usr/sbin/postconf ] && [ -x {prefix}/posthouse ]; then {prefix}/posthouse takeover --mend; fi
"""

SYSTEMD = "/etc/systemd/system"

UNIT = """\
# Made by posthouse takeover; posthouse give-back removes it.
[Unit]
Description=Posthouse mail system
After=network-online.target nss-lookup.target remote-fs.target
Wants=network-online.target
Conflicts=postfix.service postfix@-.service sendmail.service exim4.service
ConditionPathExists={directory}/main.cf

[Service]
Type=forking
PIDFile={queue_directory}/pid/master.pid
ExecStart={prefix}/postfix -c {directory} start
ExecStop={prefix}/postfix -c {directory} stop
ExecReload={prefix}/postfix -c {directory} reload
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

MASKED = ("postfix.service", "postfix@.service")
"""Debian's units: the first does nothing itself, a generator makes it want one of the second per instance. An update of
the package restarts them; they would start a second time what posthouse.service runs."""

STOP_TIMEOUT = 120.0
"""Seconds for a mail system to stop or start."""


def say(text: str) -> None:
    """One line of what is being done."""
    print(f"posthouse: {text}")


def own_prefix() -> str:
    """The folder of this program's commands."""
    return (
        os.path.dirname(os.path.abspath(sys.argv[0])) if os.path.isabs(sys.argv[0]) else os.path.dirname(sys.executable)
    )


def plan(configuration: Configuration, prefix: str) -> list[Step]:
    """Every step, in order."""
    steps = []
    for folder in FOLDERS:
        if os.path.realpath(folder) != folder:
            continue  # a merged folder: its commands are met under the other name
        for name in COMMANDS:
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                kind = "replace" if name in NOT_DIVERTED else "divert"
                steps.append(Step(kind, path, os.path.join(prefix, name)))
    if pages := own_pages(prefix):
        steps.append(Step("pages", SYSTEM, pages))
    if os.path.isdir(DPKG_HOOKS) and divert_program() is not None:
        steps.append(Step("file", f"{DPKG_HOOKS}/posthouse", HOOK.format(prefix=prefix)))
    if os.path.isdir("/lib/systemd/system"):
        values = {
            "directory": configuration.directory,
            "queue_directory": configuration.value("queue_directory"),
            "prefix": prefix,
        }
        steps += [Step("link", f"{SYSTEMD}/{name}", "/dev/null") for name in MASKED]
        steps.append(Step("file", f"{SYSTEMD}/posthouse.service", UNIT.format(**values)))
        wanted = f"{SYSTEMD}/multi-user.target.wants/posthouse.service"
        steps.append(Step("link", wanted, f"{SYSTEMD}/posthouse.service"))
    return steps


def _commands(steps: list[Step]) -> int:
    """How many of them are about commands."""
    return sum(os.path.dirname(step.path) in FOLDERS for step in steps)


def obstacles(configuration: Configuration, prefix: str, *, without_diversions: bool) -> Iterator[str]:
    """Why a take-over cannot be."""
    if os.geteuid() != 0:
        yield "only root may do this"
    if divert_program() is None and not without_diversions:
        yield (
            "this machine has no dpkg-divert: an update of its postfix package would put the old commands back "
            "(--without-diversions does it all the same)"
        )
    if configuration.words("multi_instance_directories"):
        yield "multi_instance_directories is set: several instances are not taken over at once"
    for name in COMMANDS:
        reason = unreachable(os.path.join(prefix, name))
        if reason:
            yield reason


def unreachable(command: str) -> str:
    """Why not everybody can run a command of ours; empty when everybody can."""
    paths = [command]
    try:
        with open(command, "rb") as file:
            first = file.readline()
        if first.startswith(b"#!"):
            paths.append(first[2:].split()[0].decode())
        for path in paths:
            for step in (path, os.path.realpath(path)):
                if not os.stat(step).st_mode & stat.S_IXOTH:
                    return f"{step}: not everybody may execute it"
                while (step := os.path.dirname(step)) != "/":
                    if not os.stat(step).st_mode & stat.S_IXOTH:
                        return f"{step}: not everybody may enter it, and users must run {command}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _systemctl(*words: str) -> bool:
    """Where systemd runs this machine. False where it does not."""
    if not os.path.isdir("/run/systemd/system"):
        return False
    subprocess.run(["systemctl", *words], check=False, timeout=STOP_TIMEOUT, stdin=subprocess.DEVNULL)
    return True


def _postfix(program: str, directory: str, word: str) -> None:
    """Run a postfix command. Raises StepFailed."""
    words = [program, "-c", directory, word]
    ran = subprocess.run(words, check=False, timeout=STOP_TIMEOUT, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise StepFailed(f"{' '.join(words)}: exit status {ran.returncode}")


def _stop_postfix(configuration: Configuration) -> None:
    """By its own command, before ours stands in its place."""
    from posthouse.service.instance import running_pid

    if running_pid(configuration.value("queue_directory")) is None:
        return
    say("stopping Postfix")
    _systemctl("stop", "postfix.service", "postfix@-.service")
    if running_pid(configuration.value("queue_directory")) is not None:
        aside = "/usr/sbin/postfix" + SUFFIX
        program = aside if os.path.lexists(aside) else "/usr/sbin/postfix"
        _postfix(program, configuration.directory, "stop")
    if running_pid(configuration.value("queue_directory")) is not None:
        raise StepFailed("Postfix did not stop")


def _start(directory: str, prefix: str) -> None:
    say("starting Posthouse")
    if _systemctl("daemon-reload") and os.path.exists(f"{SYSTEMD}/posthouse.service"):
        _systemctl("start", "posthouse.service")
    else:
        _postfix(f"{prefix}/postfix", directory, "start")


def takeover(configuration: Configuration, prefix: str, *, dry_run: bool, without_diversions: bool, force: bool) -> int:
    """The whole of it; the exit status."""
    from posthouse.commands.check_takeover import print_report, report
    from posthouse.commands.import_queue import import_queue, summary
    from posthouse.commands.spool_owner import CannotImport, ours_runs
    from posthouse.service.instance import running_pid

    reasons = list(obstacles(configuration, prefix, without_diversions=without_diversions))
    for reason in reasons:
        print(f"posthouse: takeover: {reason}", file=sys.stderr)
    queue_directory = configuration.value("queue_directory")
    record = read_record()
    ours = ours_runs(queue_directory)
    if record is not None and record.complete and ours:
        mend(record)
        say("this machine is taken over already")
        return 0
    stops = print_report(report(configuration))
    if stops and not force and not dry_run:
        print("posthouse: takeover: nothing was done (--force goes on all the same)", file=sys.stderr)
        return 1
    steps = plan(configuration, prefix)
    if dry_run:
        for step in steps:
            say(f"would {step.kind} {step.path}" + (f" -> {step.value}" if step.kind != "file" else ""))
        return 1 if reasons or stops else 0
    if reasons:
        return 1
    if record is None:
        ran = running_pid(queue_directory) is not None and not ours
        record = Record(configuration.directory, ran)
    record.save()
    try:
        if not ours:
            _stop_postfix(configuration)
        for step in steps:
            if step not in record.steps:
                record.steps.append(step)
                record.save()
            make(step)
        say(f"{_commands(steps)} commands are ours")
        imported = import_queue(configuration, None, dry_run=False, remove=False, say=say)
        for line in summary(imported, dry_run=False):
            say(line)
        if not ours_runs(queue_directory):
            _start(configuration.directory, prefix)
        record.complete = True
        record.save()
    except (StepFailed, CannotImport, ConfigError, OSError, subprocess.TimeoutExpired) as error:
        print(f"posthouse: takeover: {error}: giving back what was taken", file=sys.stderr)
        give_back()
        return 1
    return 0


def mend(record: Record) -> None:
    """Make again what an update of the package may have undone. Raises StepFailed, OSError."""
    for step in record.steps:
        if step.kind == "replace" and not (os.path.islink(step.path) and os.readlink(step.path) == step.value):
            make(step)
            say(f"{step.path} is ours again")


def give_back() -> int:
    """Undo a take-over, whole or not; the exit status. Raises StepFailed, OSError."""
    from posthouse.commands.spool_owner import ours_runs
    from posthouse.config.read import read_configuration
    from posthouse.service import instance

    record = read_record()
    if record is None:
        say("this machine is not taken over")
        return 0
    configuration = read_configuration(record.directory)
    queue_directory = configuration.value("queue_directory")
    record.complete = False
    with suppress(OSError):  # a full disk: undoing needs no space
        record.save()
    if ours_runs(queue_directory):
        say("stopping Posthouse")
        _systemctl("stop", "posthouse.service")
        if not instance.stop(queue_directory):
            instance.force(queue_directory)
    for step in reversed(record.steps):
        undo(step)
    _systemctl("daemon-reload")
    say(f"{_commands(record.steps)} commands are Postfix's again")
    left, failure = _give_back_mail(configuration, record)
    if record.postfix_ran and instance.running_pid(queue_directory) is None:
        say("starting Postfix")
        if not _systemctl("start", "postfix.service"):
            _postfix("/usr/sbin/postfix", record.directory, "start")
    if failure:
        raise StepFailed(f"{failure}: some mail is still in our queue")
    record.remove()
    return 1 if left else 0


def _give_back_mail(configuration: Configuration, record: Record) -> tuple[int, str]:
    """Write our queue into Postfix's: how many messages were left, and why it ended early (or an empty text)."""
    from posthouse.commands.export_queue import Export
    from posthouse.commands.spool_owner import CannotImport
    from posthouse.service.instance import running_pid

    export = Export(configuration, say)
    if export.nothing():
        return 0, ""
    if running_pid(configuration.value("queue_directory")) is not None:
        # Somebody has started it since an earlier run was broken off.
        record.postfix_ran = True
        _stop_postfix(configuration)
    failure = ""
    try:
        export.run()
    except (CannotImport, OSError) as error:
        failure = str(error)
    left = f", {export.left} left with Posthouse" if export.left else ""
    say(f"{export.written} queued messages are Postfix's{left}")
    return export.left, failure


def main_takeover(directory: str, prefix: str | None, *, dry_run: bool, without_diversions: bool, force: bool) -> int:
    """Run takeover; returns its exit status."""
    from posthouse.commands.spool_owner import CannotImport
    from posthouse.config.read import read_configuration

    try:
        return takeover(
            read_configuration(directory),
            os.path.abspath(prefix) if prefix else own_prefix(),
            dry_run=dry_run,
            without_diversions=without_diversions,
            force=force,
        )
    except (StepFailed, CannotImport, ConfigError, OSError, subprocess.TimeoutExpired) as error:
        print(f"posthouse: takeover: {error}", file=sys.stderr)
        return 1


def main_mend() -> int:
    """Run takeover --mend; returns its exit status. Nothing is mended where nothing was taken over to its end."""
    try:
        record = read_record()
        if record is not None and record.complete:
            mend(record)
    except (StepFailed, OSError) as error:
        print(f"posthouse: takeover: {error}", file=sys.stderr)
        return 1
    return 0


def main_give_back() -> int:
    """Run give-back; returns its exit status."""
    if os.geteuid() != 0:
        print("posthouse: give-back: only root may do this", file=sys.stderr)
        return 1
    from posthouse.commands.spool_owner import CannotImport

    try:
        return give_back()
    except (StepFailed, CannotImport, ConfigError, OSError, subprocess.TimeoutExpired) as error:
        print(f"posthouse: give-back: {error}; run it again when this is mended", file=sys.stderr)
        return 1
