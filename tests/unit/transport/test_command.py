"""Running commands, and what their exit means."""

import os
import resource
import select
from pathlib import Path

import pytest

from posthouse.envelope.outcome import Fate
from posthouse.transport.command import command_words, exit_meaning, export_environment, run_command


@pytest.mark.parametrize(
    ("code", "output", "fate", "status", "reason"),
    [
        (67, "some error text", Fate.BOUNCED, "5.1.1", "user unknown. Command output: some error text"),
        (75, "", Fate.DEFERRED, "4.3.0", "temporary failure"),
        (1, "oops", Fate.BOUNCED, "5.3.0", 'Command died with status 1: "cmd". Command output: oops'),
        (-9, "", Fate.DEFERRED, "4.3.0", 'Command died with signal 9: "cmd"'),
        (99, "4.2.1 busy now", Fate.DEFERRED, "4.2.1", "busy now"),
        (75, "2.1.5 fine", Fate.BOUNCED, "5.0.0", "fine"),
        (67, " 5.1.5 x", Fate.BOUNCED, "5.1.1", "user unknown. Command output:  5.1.5 x"),
        (69, "", Fate.BOUNCED, "5.3.0", "service unavailable"),
    ],
)
def test_exit_codes_mean_what_sysexits_says(code: int, output: str, fate: Fate, status: str, reason: str) -> None:
    found, dsn = exit_meaning(code, "cmd", output)
    assert (fate, status, reason) == (found, dsn.status, dsn.reason)


def test_plain_commands_run_without_a_shell() -> None:
    assert command_words("/usr/bin/procmail -a x") == ["/usr/bin/procmail", "-a", "x"]
    assert command_words("cat > f") == ["/bin/sh", "-c", "cat > f"]
    assert command_words("exit 75") == ["/bin/sh", "-c", "exit 75"]
    assert command_words("x", "/bin/rsh -c") == ["/bin/rsh", "-c", "x"]


def content(data: bytes) -> int:
    descriptor = os.memfd_create("content")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def test_a_command_reads_the_message_and_sees_only_its_environment(tmp_path: Path) -> None:
    descriptor = content(b"hello\n")
    words = command_words(f"cat > {tmp_path}/out; env | sort > {tmp_path}/env")
    fate, _ = run_command(
        words,
        agent="local",
        shown="x",
        environment={"PATH": "/usr/bin:/bin", "SENDER": "a@x"},
        folder="/",
        content=descriptor,
        time_limit=10,
    )
    os.close(descriptor)
    assert Fate.DELIVERED is fate
    assert (tmp_path / "out").read_text() == "hello\n"
    names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert {"PATH", "SENDER"} <= names <= {"PATH", "SENDER", "PWD", "_", "SHLVL", "OLDPWD"}


def test_a_program_that_is_missing_defers() -> None:
    descriptor = content(b"")
    fate, dsn = run_command(
        ["/nonexistent"], agent="local", shown="x", environment={}, folder="/", content=descriptor, time_limit=1
    )
    os.close(descriptor)
    told = "temporary failure. Command output: local: fatal: execvp /nonexistent: No such file or directory "
    assert (fate, dsn.status, dsn.reason) == (Fate.DEFERRED, "4.3.0", told)


def test_exported_variables_are_those_that_were_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "x")
    found = export_environment(("TZ", "LANG", "SECRET", "A=b"), ("TZ", "LANG=C"))
    assert found == {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LANG": "C", "A": "b"}


def test_a_command_that_never_ends_is_killed_with_its_children() -> None:
    descriptor = content(b"")
    fate, dsn = run_command(
        ["/bin/sh", "-c", "sleep 60 & wait"],
        agent="local",
        shown="sleepy",
        environment={},
        folder="/",
        content=descriptor,
        time_limit=0.2,
    )
    os.close(descriptor)
    assert (fate, dsn.reason) == (Fate.BOUNCED, 'Command time limit exceeded: "sleepy"')


def test_a_command_that_talks_without_end_costs_no_memory() -> None:
    descriptor = content(b"x\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fate, dsn = run_command(
        ["/bin/sh", "-c", "yes | head -c 100000000; exit 75"],
        agent="local",
        shown="cmd",
        environment={"PATH": "/usr/bin:/bin"},
        folder="/",
        content=descriptor,
        time_limit=30,
    )
    os.close(descriptor)
    assert fate is Fate.DEFERRED
    assert len(dsn.reason) < 3000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_what_a_command_leaves_running_goes_on_when_it_ended_well(tmp_path: Path) -> None:
    descriptor = content(b"x\n")
    mark = tmp_path / "mark"
    os.mkfifo(mark)
    fate, _ = run_command(
        ["/bin/sh", "-c", f"(exec >/dev/null 2>&1; echo done > {mark}) & exit 0"],
        agent="local",
        shown="cmd",
        environment={"PATH": "/usr/bin:/bin"},
        folder="/",
        content=descriptor,
        time_limit=30,
    )
    os.close(descriptor)
    assert fate is Fate.DELIVERED
    reader = os.open(mark, os.O_RDONLY | os.O_NONBLOCK)
    select.select([reader], [], [], 10)
    assert os.read(reader, 10) == b"done\n"
    os.close(reader)
