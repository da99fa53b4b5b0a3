"""postlock: lock a mailbox file and run a command. Manual: postlock(1) of Postfix 3.7.

    postlock [-c config_dir] [-l lock_style] [-v] file command…

The locks are those of mailbox_delivery_lock, as local delivery takes them. The exit status is the
command's (1 when a signal ended it), and 75 when the file cannot be locked.
"""

import getopt
import os
import signal
from dataclasses import dataclass

from posthouse.commands.complaint import Fatal, complain, configuration_of, run
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory
from posthouse.config.settings import read_settings

TEMPORARY_FAILURE = 75
"""sysexits.h: EX_TEMPFAIL."""

USAGE = "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command..."

STYLES = frozenset({"fcntl", "flock", "dotlock"})


@dataclass(frozen=True, slots=True)
class PostlockSettings:
    """How a mailbox is locked."""

    mailbox_delivery_lock: str
    deliver_lock_attempts: int
    deliver_lock_delay: int
    stale_lock_time: int


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postlock", _run, arguments, TEMPORARY_FAILURE)


def _run(arguments: list[str]) -> int:
    try:
        options, words = getopt.getopt(arguments, "c:l:v")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        complain("postlock", f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    if len(words) < 2:
        raise Fatal(USAGE)
    chosen = dict(options)
    configuration = configuration_of("postlock", configuration_directory(chosen.get("-c")))
    require_everywhere(configuration)
    settings = read_settings(PostlockSettings, configuration)
    value = chosen.get("-l", settings.mailbox_delivery_lock)
    styles = tuple(value.replace(",", " ").lower().split())
    for style in styles:
        if style not in STYLES:
            raise Fatal(f'unknown mailbox_delivery_lock value "{style}" in "{value}"')
    if "-v" in chosen:
        complain("postlock", f"lock {words[0]} style {' '.join(styles) or 'none'}")
    return _locked(words[0], words[1:], settings, styles)


def _locked(path: str, command: list[str], settings: PostlockSettings, styles: tuple[str, ...]) -> int:
    from posthouse.mailbox.mbox.locks import LockRules, lock_mbox
    from posthouse.mailbox.store import MailboxFault

    rules = LockRules(
        styles, settings.deliver_lock_attempts, float(settings.deliver_lock_delay), float(settings.stale_lock_time)
    )
    try:
        lock = lock_mbox(path, rules)
    except MailboxFault as fault:
        cause = fault.__cause__
        if "lock" in str(fault).partition(":")[0]:
            reason = str(fault).replace(f": {path}", f": {os.strerror(11)}")
        else:
            reason = f"cannot open file: {cause.strerror if isinstance(cause, OSError) else fault}"
        raise Fatal(f"open file {path}: {reason}") from fault
    assert lock is not None, "it makes the file"
    try:
        return _command(command)
    finally:
        lock.release()


def _command(command: list[str]) -> int:
    """Run it and wait. What the terminal sends to both (^C) ends the command; we still give the locks up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        child = os.fork()
        if child == 0:
            try:
                for number, action in before.items():
                    signal.signal(number, action)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.execvp(command[0], command)
            except OSError as error:
                complain("postlock", f"fatal: execvp {command[0]}: {error.strerror}")
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 1
