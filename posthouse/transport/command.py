"""Running a command that takes a message on its standard input.

The environment is made anew; the command gets a process group of its own and is killed, group
and all, at the end of its time; what it leaves running when it ends by itself goes on. Its
output becomes part of the reason, cut to OUTPUT_LIMIT.

Standards: the exit codes of sysexits(3); RFC 3463 for what they mean.
"""

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from posthouse.envelope.outcome import Dsn, Fate
from posthouse.transport.hands import Report, Result

OUTPUT_LIMIT = 2048
"""Bytes of a command's output that a reason keeps."""

PIECE = 65536
"""Bytes read at a time; what is beyond OUTPUT_LIMIT is thrown away, so that no command costs us memory."""

PATH = "/usr/bin:/bin"
SHELL = "/bin/sh"

SHELL_CHARACTERS = frozenset("!$^&*()~[]\\|{};?<>`'\"\n")
"""A command line with one of these needs a shell."""

SHELL_WORDS = frozenset(
    [
        "alias",
        "bg",
        "cd",
        "command",
        "exec",
        "exit",
        "export",
        "fg",
        "if",
        "jobs",
        "read",
        "set",
        "source",
        "test",
        "trap",
        "ulimit",
        "umask",
        "unset",
    ]
)

# sysexits(3): status and text of each known exit code.
EXITS = {
    64: ("5.3.0", "command line usage error"),
    65: ("5.6.0", "data format error"),
    66: ("5.3.0", "cannot open input"),
    67: ("5.1.1", "user unknown"),
    68: ("5.1.2", "host name unknown"),
    69: ("5.3.0", "service unavailable"),
    70: ("5.3.0", "internal software error"),
    71: ("4.3.0", "system resource problem"),
    72: ("5.3.0", "critical OS file missing"),
    73: ("5.2.0", "can't create user output file"),
    74: ("5.3.0", "input/output error"),
    75: ("4.3.0", "temporary failure"),
    76: ("5.5.0", "remote error in protocol"),
    77: ("5.7.0", "permission denied"),
    78: ("5.3.5", "local configuration error"),
}


def command_words(command: str, shell: str = "") -> list[str]:
    """The argument vector: split at blanks, or by a shell where the line needs one."""
    if shell:
        return [*shell.split(), command]
    words = command.split()
    if not words or words[0] in SHELL_WORDS or any(character in SHELL_CHARACTERS for character in command):
        return [SHELL, "-c", command]
    return words


def _environment(names: Sequence[str], now: Mapping[str, str]) -> dict[str, str]:
    """The variables of a list, as they are now; NAME=value sets one."""
    found: dict[str, str] = {}
    for word in names:
        name, equals, value = word.removeprefix("{").removesuffix("}").strip().partition("=")
        if equals:
            found[name.strip()] = value.strip()
        elif name in now:
            found[name] = now[name]
    return found


def export_environment(exported: Sequence[str], imported: Sequence[str]) -> dict[str, str]:
    """export_environment's variables, of those that import_environment let in."""
    return {"PATH": PATH, **_environment(exported, _environment(imported, os.environ))}


def run_command(
    words: Sequence[str],
    *,
    agent: str,
    shown: str,
    environment: Mapping[str, str],
    folder: str,
    content: int,
    time_limit: float,
    complain: Callable[[str, str], None] = lambda level, text: None,
) -> tuple[Fate, Dsn]:
    """Run it with the descriptor `content` as standard input (read from its start); what came of it.

    `agent` is "local" or "pipe"; `complain` gets a level ("warning", "fatal") and a text for the log."""
    try:
        enter(folder)
    except OSError as error:
        whose = f"for uid={os.geteuid()} gid={os.getegid()}"
        complain("fatal", f'cannot change directory to "{folder}" {whose}: {error.strerror}')
        return _unix("4.3.0", "temporary failure")
    try:
        process = subprocess.Popen(
            ["sh" if words[0] == SHELL else words[0], *words[1:]],  # what sh calls itself in its complaints
            executable=words[0],
            stdin=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        # Whoever misses a program may well be waiting for its file system: the mail defers.
        text = f"{'pipe_command: ' if agent == 'pipe' else ''}execvp {words[0]}: {error.strerror}"
        complain("fatal", text)
        return _unix("4.3.0", f"temporary failure. Command output: {agent}: fatal: {text} ")
    until = time.monotonic() + time_limit
    assert process.stdout is not None
    with process.stdout:
        raw, ended = _output(process.stdout.fileno(), until)
    output = raw.decode("utf-8", "replace").replace("\n", " ")
    if not ended:
        complain("warning", "pipe_command_read: read time limit exceeded")
    try:
        if ended:
            process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        ended = False
    if not ended:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
        return _unix("5.3.0", f'Command time limit exceeded: "{shown}"{_said(output)}')
    return exit_meaning(process.returncode, shown, output)


def enter(folder: str) -> None:
    """Whether a command could be started there. Raises OSError."""
    os.close(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    if not os.access(folder, os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _output(descriptor: int, until: float) -> tuple[bytes, bool]:
    """What is said up to the end, as much of it as is kept, and whether the end came in time."""
    kept = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while (left := until - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            data = os.read(descriptor, PIECE)
            if not data:
                return bytes(kept), True
            kept += data[: OUTPUT_LIMIT - len(kept)]
    return bytes(kept), False


def _said(output: str) -> str:
    return f". Command output: {output}" if output else ""


def exit_meaning(code: int, shown: str, output: str) -> tuple[Fate, Dsn]:
    """An exit status (negative: a signal) and the output, as a fate."""
    said = _said(output)
    if code == 0:
        return Fate.DELIVERED, Dsn("2.0.0", output)
    if code < 0:
        return _unix("4.3.0", f'Command died with signal {-code}: "{shown}"{said}', output or "internal software error")
    first, _, rest = output.partition(" ")
    digits = first.split(".")
    if len(digits) == 3 and digits[0] in {"2", "4", "5"} and all(d.isdigit() and len(d) <= 3 for d in digits):
        # What says that it succeeded, and fails, has failed.
        return _unix("5.0.0" if digits[0] == "2" else first, rest.lstrip(), rest.lstrip())
    if code in EXITS:
        status, text = EXITS[code]
        return _unix(status, f"{text}{said}", output or text)
    return _unix("5.3.0", f'Command died with status {code}: "{shown}"{said}', output or f"unknown mailer error {code}")


def _unix(status: str, reason: str, diagnostic: str = "") -> tuple[Fate, Dsn]:
    fate = Fate.DEFERRED if status.startswith("4") else Fate.BOUNCED
    return fate, Dsn(status, reason, diagnostic_type="x-unix", diagnostic=diagnostic or reason)


def command_report(fate: Fate, dsn: Dsn, sent: str, count: int = 1, *, action: str = "") -> Report:
    """The report of a command that carried `count` recipients; `sent` is the reason when it was delivered."""
    told = Dsn("2.0.0", sent, action) if fate is Fate.DELIVERED else dsn
    return Report(tuple(Result(index, fate, told) for index in range(count)))
