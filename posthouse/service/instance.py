"""One instance as its operator sees it: start, stop, abort, reload, status.

An instance is known by the flock on its pid file, never by the number in it alone: a number
may belong to another process after a crash.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator

from posthouse.service.reload_record import read_reload_record

STOP_PATIENCE = 5
"""Seconds that `postfix stop` waits for the master to end, and says so at each, before it uses force."""

RELOAD_PATIENCE = 90.0
"""Seconds that `postfix reload` waits: those that the master gives new processes, and more for a busy machine."""

END = b"\0"
"""Ends what a starting master says."""

POSTFIX_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
"""Folders in which a real Postfix leaves mail."""


def running_pid(queue_directory: str) -> int | None:
    """The master's process id, or None when nobody holds the lock."""
    try:
        descriptor = os.open(os.path.join(queue_directory, "pid", "master.pid"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 64).split()
        return int(text[0]) if text and text[0].isdigit() else None
    finally:
        os.close(descriptor)
    return None


def start(run: Callable[[Callable[[], None]], int]) -> str | None:
    """Run the master in the background; returns None once every listener listens, or why it did not come up.

    `run(ready)` is the master's life: it calls ready() and returns an exit status, or raises with the reason.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        if os.fork():
            os._exit(0)
        status = 1
        try:
            _detach()

            def ready() -> None:
                os.write(writer, b"ready" + END)
                os.close(writer)

            status = run(ready)
        except BaseException as error:
            try:
                os.write(writer, (f"{error}".encode("utf-8", "replace") or type(error).__name__.encode()) + END)
            except OSError:
                pass
        finally:
            os._exit(status)
    os.close(writer)
    os.waitpid(child, 0)
    said = b""
    # The workers were forked meanwhile and hold the pipe open: its end is not the end of what is said.
    while END not in said and (chunk := os.read(reader, 4096)):
        said += chunk
    os.close(reader)
    said = said.partition(END)[0]
    if said == b"ready":
        return None
    return said.decode("utf-8", "replace") or "the master ended before it was ready"


def _detach() -> None:
    """A process group of its own, no terminal, nothing on standard input and output."""
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    os.chdir("/")


def stop(
    queue_directory: str, waiting: Callable[[], None] = lambda: None, *, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Ask the master to stop and wait for its end; False when it did not within STOP_PATIENCE. `waiting` is called
    after each second of it."""
    pid = running_pid(queue_directory)
    if pid is None:
        return True
    os.kill(pid, signal.SIGTERM)
    for _ in range(STOP_PATIENCE):
        until = clock() + 1.0
        while clock() < until:
            if running_pid(queue_directory) is None:
                return True
            time.sleep(0.02)
        waiting()
    return False


def force(queue_directory: str) -> None:
    """Kill the master and its process group."""
    pid = running_pid(queue_directory)
    if pid is None:
        return
    if os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:  # started in a group with others
        os.kill(pid, signal.SIGKILL)
    while running_pid(queue_directory) is not None:
        time.sleep(0.02)


def abort(queue_directory: str) -> None:
    """End the master at once; its children follow, as their channel closes."""
    pid = running_pid(queue_directory)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        while running_pid(queue_directory) is not None:
            time.sleep(0.02)


def reload(queue_directory: str, *, clock: Callable[[], float] = time.monotonic) -> str | None:
    """Have the master read its configuration anew; returns None once all new processes listen, or why they do not."""
    before = read_reload_record(queue_directory).begun
    pid = running_pid(queue_directory)
    if pid is None:
        return "the mail system is not running"
    os.kill(pid, signal.SIGHUP)
    until = clock() + RELOAD_PATIENCE
    begun = 0
    while clock() < until:
        record = read_reload_record(queue_directory)
        # Of two reloads at once the later one may swallow the earlier one, which then never ends by itself.
        begun = begun or (record.begun if record.begun > before else 0)
        if begun and record.ended >= begun:
            return record.failure or None
        if running_pid(queue_directory) is None:
            return "the master ended"
        time.sleep(0.02)
    return f"the new processes did not listen within {RELOAD_PATIENCE:.0f} seconds"


def reopen_log(queue_directory: str) -> None:
    """Ask the master to open the mail log anew."""
    pid = running_pid(queue_directory)
    if pid is not None:
        os.kill(pid, signal.SIGUSR1)


def left_by_postfix(queue_directory: str) -> Iterator[tuple[str, int]]:
    """(queue name, messages) for each queue folder of a real Postfix that holds mail."""
    for name in POSTFIX_QUEUES:
        count = 0
        for _, _, files in os.walk(os.path.join(queue_directory, name)):
            count += len(files)
        if count:
            yield name, count
