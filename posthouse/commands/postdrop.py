"""postdrop: take a message as records from standard input. Manual: postdrop(1) of Postfix.

Our own sendmail does not need it; other programs that were built to run Postfix's do.
"""

import os
import sys

from posthouse.commands.sendmail_submit import SendmailSettings, hand_over
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.config.settings import read_settings
from posthouse.host.submission import HandOverFailed
from posthouse.message.header import canonical
from posthouse.wire.intake import NotTaken
from posthouse.wire.postdrop import BadRecords, parse_records

OVERHEAD = 1.2
"""Records and a long list of recipients may make the input this many times message_size_limit."""
ENVELOPE_ROOM = 8 * 1024 * 1024
"""Bytes added to that."""
USAGE = "fatal: usage: postdrop [-c config_dir] [-v]"


def _say(text: str) -> None:
    sys.stderr.write(f"postdrop: {text}\n")


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    directory = ""
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            directory = words.pop(0)
        elif word.startswith("-c") and len(word) > 2:
            directory = word[2:]
        elif word not in ("-r", "-v"):  # -r is the old name of what it does anyway; -v has nothing to add
            _say("option requires an argument -- 'c'" if word == "-c" else f"invalid option -- '{word[1:2]}'")
            _say(USAGE)
            return 1
    try:
        return _run(configuration_directory(directory or None))
    except ConfigError as error:
        _say(f"fatal: {error.text}")
    except (BadRecords, OSError, HandOverFailed) as error:
        _say(f"fatal: uid={os.getuid()}: {error}")
    return 1


def _run(directory: str) -> int:
    configuration = read_configuration(directory)
    for warning in configuration.warnings:
        _say(f"warning: {warning}")
    require_everywhere(configuration)
    settings = read_settings(SendmailSettings, configuration)
    limit = settings.message_size_limit
    most = int(limit * OVERHEAD) + ENVELOPE_ROOM if limit else -1
    data = sys.stdin.buffer.read(most)
    records = parse_records(data)
    if records is None:
        return 0
    content = canonical(b"".join(records.content))
    if limit and len(content) > limit:
        _say(f"warning: uid={os.getuid()}: File too large")
        return 1
    result = hand_over(settings, configuration, records.submission(), content)
    if isinstance(result, NotTaken):
        _say(f"fatal: {result.text}")
        return 1
    reply = f"protocol\0postdrop_protocol\0queue_id\0{result.queue_id}\0\0status\0{0}\0reason\0\0\0"
    sys.stdout.write(reply)
    return 0
