"""postlog: write to the mail log, for scripts. Manual: postlog(1) of Postfix 3.7.

    postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text…]

One record of the text, or one of each line of standard input. They go where the instance's log goes
(maillog_file, or syslog), and to standard error when that is a terminal. Whoever may not write
maillog_file writes to syslog instead, and is told. The exit status is 0 whatever the priority.
"""

import getopt
import os
import sys
from collections.abc import Iterator

from posthouse.commands.complaint import Fatal, complain, run
from posthouse.config.configuration import Configuration
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.host.log import FileSink, ProcessLog, SyslogSink

USAGE = "usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]"

LEVELS = {
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "err": "error",
    "fatal": "fatal",
    "crit": "fatal",
    "panic": "panic",
}
"""Priorities by name, in any case, and what they are called in a record."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postfix/postlog", _run, arguments)


def _run(arguments: list[str]) -> int:
    try:
        options, words = getopt.getopt(arguments, "c:ip:t:v")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        complain("postlog", f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    # -i asks for the process id, which every record has.
    chosen = dict(options)
    priority = chosen.get("-p", "info")
    level = LEVELS.get(priority.lower())
    configuration = read_configuration(configuration_directory(chosen.get("-c")))
    require_everywhere(configuration)
    if level is None:
        raise Fatal(f'bad severity: "{priority}"')
    name = f"{configuration.value('syslog_name')}/postlog"
    tag = chosen.get("-t", name)
    sink = _sink(configuration, verbose="-v" in chosen)
    log = ProcessLog(sink, tag)
    echo = sys.stderr.isatty()
    for text in (" ".join(words),) if words else _lines():
        if not (echo and isinstance(sink, FileSink) and os.isatty(sink.descriptor)):
            sink.write(log.name, level, text, log.number)
        if echo:
            complain(tag, ("" if level == "info" else f"{level}: ") + text)
    return 0


def _lines() -> Iterator[str]:
    """Standard input's lines, as they come. Text ends at a NUL, as in a record of C."""
    for line in sys.stdin.buffer:
        yield line.rstrip(b"\n").partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _sink(configuration: Configuration, *, verbose: bool) -> FileSink | SyslogSink:
    from posthouse.service import maillog

    facility = configuration.value("syslog_facility")
    path = configuration.value("maillog_file")
    if verbose:
        complain("postfix/postlog", f"logging to {path or f'syslog facility {facility}'}")
    try:
        return maillog.open_sink(configuration, maillog.open_descriptor(configuration))
    except OSError as error:
        complain("postfix/postlog", f"warning: open {path}: {error.strerror}: logging to syslog instead")
        return SyslogSink(facility)
