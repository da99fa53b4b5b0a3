"""Opening the mail log: maillog_file, or syslog.

The master opens it as root and passes the descriptor on; nobody else has to be able to.
"""

import os
import sys
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings
from posthouse.host.log import FileSink, ProcessLog, SyslogSink


@dataclass(frozen=True, slots=True)
class MailLogSettings:
    """Where lines go and what they are called."""

    maillog_file: str
    maillog_file_prefixes: tuple[str, ...]
    maillog_file_permissions: str
    syslog_facility: str
    syslog_name: str
    myhostname: str


def open_descriptor(configuration: Configuration) -> int | None:
    """maillog_file open for appending, or None when syslog is meant. Raises ConfigError, OSError."""
    settings = read_settings(MailLogSettings, configuration)
    path = settings.maillog_file
    if not path:
        return None
    if not any(path.startswith(prefix) for prefix in settings.maillog_file_prefixes):
        raise ConfigError(
            f"maillog_file '{path}' does not match any prefix in maillog_file_prefixes"
            f" ({', '.join(settings.maillog_file_prefixes)})"
        )
    if path == "/dev/stdout":
        return os.dup(sys.stdout.fileno())
    mode = int(settings.maillog_file_permissions, 8) if settings.maillog_file_permissions else 0o644
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, mode)


def go_on_in(new: int, descriptor: int | None) -> None:
    """The log goes on in a new file: under the number to which everything in this process writes."""
    if descriptor is not None:
        os.dup2(new, descriptor, inheritable=False)
    os.close(new)


def open_sink(configuration: Configuration, descriptor: int | None, *, buffered: bool = False) -> FileSink | SyslogSink:
    """The sink over an open descriptor, or syslog."""
    settings = read_settings(MailLogSettings, configuration)
    if descriptor is None:
        return SyslogSink(settings.syslog_facility)
    return FileSink(descriptor, settings.myhostname, buffered=buffered)


def program_log(configuration: Configuration, sink: FileSink | SyslogSink, program: str) -> ProcessLog:
    """The log of one program of this instance: "postfix/master"."""
    return ProcessLog(sink, f"{read_settings(MailLogSettings, configuration).syslog_name}/{program}")
