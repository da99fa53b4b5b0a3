"""postfix - start, stop, reload and check the mail system.

    postfix [-c config_dir] [-Dv] start|start-fg|stop|abort|reload|flush|check|status|logrotate|
                                  set-permissions|upgrade-configuration|tls

start returns when every listener listens, reload when new processes have taken over, or with exit status 1
and the reason when they cannot and the old ones stay. check prints errors (exit status 1) and warnings
(exit status 0) with file and line, to standard error. Only root may run this, or the owner of
the queue directory when the instance runs without root.

set-permissions gives the folders of this house the owner and mode they must have. upgrade-configuration has
nothing to do: nothing is ever added to main.cf or master.cf. With multi_instance_directories set, and no
instance named by -c or MAIL_CONFIG, multi_instance_wrapper does the command for each instance.
"""

import getopt
import os
import sys
import time
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.service import instance

COMMANDS = "start (or stop, reload, abort, flush, check, status, set-permissions, upgrade-configuration, logrotate)"

TITLE = "the Postfix mail system"


REOPEN_TIME = 1.0
"""Seconds for every process to go on in the new log, before the old one is compressed: as in Postfix."""


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """What logrotate reads."""

    maillog_file: str
    maillog_file_compressor: str
    maillog_file_rotate_suffix: str


class Script:
    """What postfix-script(8) does, for one instance."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.queue_directory = configuration.value("queue_directory")
        name = configuration.value("syslog_name")
        self._name = f"{name}/postfix-script"

    def say(self, text: str, level: str = "info") -> None:
        """One line to standard error and to the mail log."""
        from posthouse.host.log import ProcessLog
        from posthouse.service import maillog

        prefix = "" if level == "info" else f"{level}: "
        print(f"{self._name}: {prefix}{text}", file=sys.stderr)
        try:
            descriptor = maillog.open_descriptor(self.configuration)
            if descriptor == 1 or self.configuration.value("maillog_file") == "/dev/stdout":
                return
            log = ProcessLog(maillog.open_sink(self.configuration, descriptor), self._name)
        except (OSError, ConfigError):
            return
        {"info": log.info, "warning": log.warning, "error": log.error, "fatal": log.fatal}[level](text)
        if descriptor is not None:
            os.close(descriptor)

    def fatal(self, text: str) -> int:
        """Say why not; the exit status."""
        self.say(text, "fatal")
        return 1

    def check(self) -> bool:
        """Print what check_configuration finds; True when nothing is broken."""
        from posthouse.config.check import check_configuration

        sound = True
        for finding in check_configuration(self.configuration):
            place = (
                f"{finding.file}, line {finding.line}: "
                if finding.line
                else (f"{finding.file}: " if finding.file else "")
            )
            self.say(f"{place}{finding.text}", finding.level)
            sound = sound and finding.level == "warning"
        for queue, count in instance.left_by_postfix(self.queue_directory):
            self.say(
                f"{self.queue_directory}/{queue} holds {count} messages that Postfix left; "
                "posthouse import-queue brings them over",
                "warning",
            )
        return sound

    def running(self) -> int | None:
        """The master's pid."""
        return instance.running_pid(self.queue_directory)

    def start(self, *, foreground: bool) -> int:
        """start and start-fg."""
        if self.running() is not None:
            return self.fatal(f"{TITLE} is already running")
        if not self.check():
            return self.fatal("Postfix integrity check failed!")
        from posthouse.service import run

        self.say(f"starting {TITLE}")
        directory = self.configuration.directory
        if foreground:
            if os.getpid() != os.getpgrp() and os.getpid() != 1:
                try:
                    os.setpgid(0, 0)
                except PermissionError:
                    pass
            try:
                return run.master(directory, lambda: None)
            except (run.AlreadyRunning, run.StartFailed, ConfigError, OSError) as error:
                self._of_master(str(error))
                return 1
        reason = instance.start(lambda ready: run.master(directory, ready))
        if reason is None:
            return 0
        self._of_master(reason)
        return self.fatal("mail system startup failed")

    def _of_master(self, reason: str) -> None:
        """What the master has said in the log when it could not start, for who waits at the terminal."""
        print(f"{self.configuration.value('syslog_name')}/master: fatal: {reason}", file=sys.stderr)

    def stop(self, word: str) -> int:
        """stop and abort."""
        if self.running() is None:
            return self.fatal(f"{TITLE} is not running")
        self.say(f"{'stopping' if word == 'stop' else 'aborting'} {TITLE}")
        if word == "abort":
            instance.abort(self.queue_directory)
            return 0
        if not instance.stop(self.queue_directory, lambda: self.say(f"waiting for {TITLE} to terminate")):
            self.say(f"stopping {TITLE} with force", "warning")
            instance.force(self.queue_directory)
        return 0

    def reload(self) -> int:
        """reload."""
        if self.running() is None:
            return self.fatal(f"{TITLE} is not running")
        if not self.check():
            return self.fatal("the configuration is broken: it was not read anew")
        self.say(f"refreshing {TITLE}")
        reason = instance.reload(self.queue_directory)
        return 0 if reason is None else self.fatal(f"reload failed, the old configuration stays: {reason}")

    def status(self) -> int:
        """status."""
        pid = self.running()
        if pid is None:
            self.say(f"{TITLE} is not running")
            return 1
        self.say(f"{TITLE} is running: PID: {pid}")
        return 0

    def flush(self) -> int:
        """flush."""
        from posthouse.commands import postqueue

        status: int = postqueue.main(["-c", self.configuration.directory, "-f"])
        return status

    def logrotate(self, extra: list[str]) -> int:
        """logrotate: maillog_file moves aside under a time stamp, a new one is opened, the old one is compressed."""
        if extra:
            return self.fatal("usage postfix logrotate (no arguments)")
        import subprocess

        try:
            settings = read_settings(RotationSettings, self.configuration)
        except ConfigError as error:  # an empty suffix or compressor
            return self.fatal(str(error))
        path = settings.maillog_file
        if not path:
            return self.fatal("empty 'maillog_file' parameter value - logfile rotation failed")
        if path.startswith("/dev/"):
            return self.fatal(f"not rotating '{path}'")
        aside = f"{path}.{time.strftime(settings.maillog_file_rotate_suffix)}"
        try:
            os.rename(path, aside)
            instance.reopen_log(self.queue_directory)
            time.sleep(REOPEN_TIME)
            done = subprocess.run([settings.maillog_file_compressor, aside], capture_output=True, check=False)
        except OSError as error:
            return self.fatal(f"logfile '{path}' rotation failed: {error.filename}: {error.strerror}")
        if done.returncode:
            said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
            return self.fatal(f"logfile '{path}' rotation failed: {said}")
        return 0

    def set_permissions(self) -> int:
        """set-permissions."""
        from posthouse.commands.postfix_permissions import set_permissions

        try:
            set_permissions(self.configuration, self.say)
        except (OSError, ConfigError) as error:
            return self.fatal(f"set-permissions: {error}")
        return 0

    def upgrade_configuration(self) -> int:
        """upgrade-configuration."""
        self.say(f"upgrade-configuration: nothing to do: {self.configuration.directory} stays as it is")
        return 0


def _wrapper(configuration: Configuration, words: list[str]) -> int:
    """The multi-instance manager does it. Postfix's own one is never run: ours is."""
    wrapper = configuration.value("multi_instance_wrapper").split()
    if not wrapper:
        text = "multi-instance support is requested, but multi_instance_wrapper is empty"
        print(f"postfix: fatal: {text}", file=sys.stderr)
        return 1
    if os.path.basename(wrapper[0]) == "postmulti":
        from posthouse.commands import postmulti

        return postmulti.main([*wrapper[1:], *words])
    sys.stdout.flush()
    try:
        os.execvp(wrapper[0], [*wrapper, *words])
    except OSError as error:
        print(f"postfix: fatal: execvp {wrapper[0]}: {error.strerror}", file=sys.stderr)
        return 1


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    usage = "usage: postfix [-c config_dir] [-Dv] command"
    try:
        options, words = getopt.getopt(arguments, "c:Dv")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        print(f"postfix: {kind} -- '{error.opt}'\npostfix: fatal: {usage}", file=sys.stderr)
        return 1
    named = dict(options).get("-c") or os.environ.get("MAIL_CONFIG")
    directory = named or "/etc/postfix"
    command = words[0] if words else ""
    from posthouse.config.read import read_configuration

    try:
        configuration = read_configuration(directory)
        script = Script(configuration)
    except (ConfigError, OSError) as error:
        print(f"postfix: fatal: {error}", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        try:
            owner = os.stat(script.queue_directory).st_uid
        except OSError:
            owner = -1
        if owner != os.geteuid():
            print("postfix: error: to submit mail, use the Postfix sendmail command", file=sys.stderr)
            print("postfix: fatal: the postfix command is reserved for the superuser", file=sys.stderr)
            return 1
    if not named and configuration.words("multi_instance_directories"):
        return _wrapper(configuration, words)
    match command:
        case "start":
            return script.start(foreground=False)
        case "start-fg":
            return script.start(foreground=True)
        case "stop" | "abort":
            return script.stop(command)
        case "reload":
            return script.reload()
        case "status":
            return script.status()
        case "flush":
            return script.flush()
        case "logrotate":
            return script.logrotate(words[1:])
        case "check":
            return 0 if script.check() else 1
        case "set-permissions":
            return script.set_permissions()
        case "upgrade-configuration":
            return script.upgrade_configuration()
        case "tls":
            from posthouse.commands import postfix_tls

            return postfix_tls.run(configuration, words[1:])
    return script.fatal(f"unknown command: '{command}'. Usage: postfix {COMMANDS}")
