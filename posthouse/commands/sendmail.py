"""sendmail: hand a message over, list the queue, rebuild aliases. Manual: sendmail(1) of Postfix.

The message goes to the running house over its intake socket and is durable when the command
ends; when nobody listens it waits in the maildrop. Every failure ends with status 75, so that
callers try again.

Standards: RFC 3461 sections 4.1 to 4.4 for -N, -R and -V; RFC 5322 section 3.6.6 for -t.
"""

import os
import sys

from posthouse.commands.sendmail_options import (
    DELIVERY,
    IGNORE,
    SendmailOptions,
    UsageError,
    directory_of,
    parse_options,
    split_words,
)
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration

TEMPORARY_FAILURE = 75
"""sysexits.h EX_TEMPFAIL."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    log: list[Configuration] = []
    try:
        return _run(arguments, log)
    except UsageError as error:
        _complain(str(error), log)
    except ConfigError as error:
        for warning in error.warnings:
            _say(f"warning: {warning}")
        _say(f"fatal: {error.text}")
    return TEMPORARY_FAILURE


ALONE = {
    "p": "display queue mode",
    "q": "",
    "i": "alias initialization mode",
    "d": "daemon mode",
    "s": "stand-alone mode",
}
"""What takes no recipients; q is one of FLUSHES."""


FLUSHES = {"-f": "flush queue mode", "-s": "flush site", "-i": "flush queue_id"}
"""What is said of the ways to flush, by postqueue's option."""


def _name() -> str:
    invoked = os.path.basename(sys.argv[0])
    return invoked if invoked in ("mailq", "newaliases") else "sendmail"


def _say(text: str, name: str = "") -> None:
    sys.stderr.buffer.write(f"{name or _name()}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def _complain(text: str, log: list[Configuration]) -> None:
    """A line that goes to the mail log too, once it is known where that is."""
    from posthouse.commands.complaint import log_line, visible

    _say(visible(text))
    for configuration in log:
        level, colon, rest = text.partition(": ")
        if colon and level in ("warning", "fatal"):
            log_line(configuration, "sendmail", level, rest)


def _run(arguments: list[str], log: list[Configuration]) -> int:
    words, recipients = split_words(arguments)
    directory = directory_of(words, _say)
    if directory:
        parent, name = os.path.split(directory)
        os.environ["MAIL_CONFIG"] = (parent or ".") if name == "main.cf" else directory
    configuration = read_configuration(configuration_directory())
    for warning in configuration.warnings:
        _say(f"warning: {warning}")
    log.append(configuration)
    options = parse_options(
        words, recipients, lambda text: _complain(text, log), configuration.value("verp_delimiter_filter")
    )
    if options.mode == DELIVERY:  # Postfix runs both
        for warning in configuration.warnings:
            _say(f"warning: {warning}", "postdrop")
    require_everywhere(configuration)
    from posthouse.commands.complaint import Fatal as NoQueue
    from posthouse.commands.complaint import enter_queue

    try:
        enter_queue(configuration)
    except NoQueue as error:
        raise UsageError(f"fatal: {error}") from error
    if options.mode == IGNORE:
        return 0
    if recipients and options.mode in ALONE:
        what = FLUSHES[options.flush[0]] if options.mode == "q" else ALONE[options.mode]
        raise UsageError(f"fatal: {what} requires no recipient")
    if options.mode not in (DELIVERY, "s"):
        return _other(options)
    from posthouse.commands.sendmail_submit import Fatal, deliver, speak_smtp  # mailq does without

    try:
        return speak_smtp(options, configuration) if options.mode == "s" else deliver(options, configuration)
    except Fatal as error:
        raise UsageError(f"fatal: {error}") from error


def _other(options: SendmailOptions) -> int:
    """Another command does it."""
    name, arguments = {
        "p": ("postqueue", ["-p"]),
        "q": ("postqueue", list(options.flush)),
        "i": ("postalias", [options.alias_database]) if options.alias_database else ("newaliases", []),
        "d": ("postfix", ["start"]),
    }[options.mode]
    module = __import__(f"posthouse.commands.{name}", fromlist=["main"])
    status: int = module.main(arguments)
    return status
