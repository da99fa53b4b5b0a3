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
    VERIFY,
    SendmailOptions,
    UsageError,
    parse_options,
)
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration

TEMPORARY_FAILURE = 75
"""sysexits.h EX_TEMPFAIL."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    try:
        options = parse_options(arguments)
        for warning in options.warnings:
            _say(f"warning: {warning}")
        return _run(options)
    except UsageError as error:
        for line in error.lines:
            _say(line)
    except ConfigError as error:
        for warning in error.warnings:
            _say(f"warning: {warning}")
        _say(f"fatal: {error.text}")
    return TEMPORARY_FAILURE


ALONE = {
    "p": "display queue mode",
    "q": "flush queue mode",
    "i": "alias initialization mode",
    "d": "daemon mode",
    "s": "stand-alone mode",
}
"""What takes no recipients."""


def _say(text: str, name: str = "sendmail") -> None:
    sys.stderr.buffer.write(f"{name}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def _run(options: SendmailOptions) -> int:
    if options.directory:
        path = options.directory
        os.environ["MAIL_CONFIG"] = path if os.path.isdir(path) or not os.path.exists(path) else os.path.dirname(path)
    if options.mode == IGNORE:
        return 0
    configuration = read_configuration(configuration_directory())
    for name in ("sendmail", "postdrop") if options.mode in (DELIVERY, VERIFY) else ("sendmail",):  # Postfix runs both
        for warning in configuration.warnings:
            _say(f"warning: {warning}", name)
    require_everywhere(configuration)
    if options.recipients and options.mode in ALONE:
        invoked = os.path.basename(sys.argv[0])
        name = invoked if invoked in ("mailq", "newaliases") else "sendmail"
        _say(f"fatal: {ALONE[options.mode]} requires no recipient", name)
        return TEMPORARY_FAILURE
    if options.mode not in (DELIVERY, VERIFY, "s"):
        return _other(options)
    from posthouse.commands.complaint import log_fatal
    from posthouse.commands.sendmail_submit import Fatal, deliver, speak_smtp  # mailq does without

    try:
        return speak_smtp(options, configuration) if options.mode == "s" else deliver(options, configuration)
    except Fatal as error:
        _say(f"fatal: {error}")
        log_fatal(configuration, "sendmail", str(error))
        return TEMPORARY_FAILURE


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
