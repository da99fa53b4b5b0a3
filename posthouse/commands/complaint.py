"""How a command of the queue ends badly: "name: fatal: …" on standard error, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration


class Fatal(Exception):
    """The command cannot go on."""


def complain(name: str, text: str) -> None:
    """One line, behind what was already written to standard output."""
    sys.stdout.flush()
    sys.stderr.buffer.write(f"{name}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


LOGGED = ("postqueue", "postsuper")
"""Commands whose end is copied to the mail log: Postfix's others say it on standard error alone."""

_read: list[Configuration] = []
"""The configuration that this process works with, once it has one."""


def configuration_of(name: str, directory: str) -> Configuration:
    """The configuration of a folder, with main.cf's warnings said. Raises ConfigError."""
    configuration = read_configuration(directory)
    _read[:] = [configuration]
    for text in configuration.warnings:
        complain(name, f"warning: {text}")
    return configuration


def visible(text: str) -> str:
    """The text as Postfix's messages show it: what cannot be printed is "?"."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def enter_queue(configuration: Configuration) -> str:
    """queue_directory, which Postfix's commands go into before they do anything; nothing is made where it is missing.

    Raises Fatal.
    """
    directory = configuration.value("queue_directory")
    try:
        os.stat(f"{directory}/.")
    except OSError as error:
        raise Fatal(f"chdir {directory}: {error.strerror}") from error
    return directory


def log_line(configuration: Configuration, name: str, level: str, text: str) -> None:
    """A copy for the mail log, as of all that Postfix's commands say; who may not write it does without."""
    from posthouse.service import maillog  # nearly always not needed

    try:
        sink = maillog.open_sink(configuration, maillog.open_descriptor(configuration))
        log = maillog.program_log(configuration, sink, name)
        (log.fatal if level == "fatal" else log.warning)(text)
    except (OSError, ConfigError):
        return


def run(name: str, command: Callable[[list[str]], int], arguments: list[str], failure: int = 1) -> int:
    """The command's own exit status, or `failure` when it or the configuration gives up."""
    try:
        return command(arguments)
    except Fatal as error:
        complain(name, f"fatal: {error}")
        for configuration in _read if name in LOGGED else ():
            log_line(configuration, name, "fatal", str(error))
    except ConfigError as error:
        for text in error.warnings:
            complain(name, f"warning: {text}")
        complain(name, f"fatal: {error.text}")
    return failure
