"""postqueue: look at the queue, and have it tried again. Manual: postqueue(1) of Postfix 3.7.

    postqueue [-v] [-c config_dir] -f | -i queue_id | -j | -p | -s site

-p and -j list the queue (mailq), -f tries everything again, -i one message, -s what is for a
site of fast_flush_domains. Exit status 69 when that cannot be done.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterator

from posthouse.commands.complaint import Fatal, complain, configuration_of, enter_queue, run
from posthouse.commands.option_letters import WrongOption, split_options
from posthouse.commands.queue_access import Refused, SystemDown, ask_all, is_queue_id, may_open, queue_root
from posthouse.config.configuration import Configuration
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory
from posthouse.wire.control import ControlRequest

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any, NoReturn

UNAVAILABLE = 69
"""sysexits.h: EX_UNAVAILABLE."""

USAGE = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"

LINES = 500
"""Lines in one write."""


def _usage(complaint: str = "") -> NoReturn:
    if complaint:
        complain("postqueue", complaint)
    raise Fatal(USAGE)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postqueue", _run, arguments, UNAVAILABLE)


def _run(arguments: list[str]) -> int:
    try:
        options, rest = split_options(arguments, "c:fi:jps:v")
    except WrongOption as error:
        _usage(str(error))
    directory: str | None = None
    verbose = False
    mode = argument = ""
    for option, value in options:
        if option == "-c":
            directory = value
        elif option == "-v":
            verbose = True
        elif mode:
            _usage()
        else:
            mode, argument = option, value
    if rest:
        _usage()
    configuration = configuration_of("postqueue", configuration_directory(directory))
    require_everywhere(configuration)
    if not mode:
        _usage()
    queue_directory = enter_queue(configuration)
    if verbose:
        complain("postqueue", f"connect to subsystem {queue_directory}/posthouse/control")
    if mode in ("-p", "-j"):
        return _list(configuration, queue_directory, as_json=mode == "-j")
    if mode == "-f":
        _flush(queue_directory, ControlRequest("flush"))
    elif mode == "-i":
        if not is_queue_id(argument):
            raise Fatal(f'Cannot flush queue ID - invalid name: "{argument}"')
        _flush(queue_directory, ControlRequest("flush", (argument,)))
    else:
        _flush_site(configuration, queue_directory, argument)
    return 0


def _flush(queue_directory: str, request: ControlRequest) -> None:
    try:
        for _ in ask_all(queue_directory, request):
            pass
    except SystemDown as down:
        if request.ids or request.site:
            complain("postqueue", f"warning: connect to public/flush: {down}")
        elif str(down) == os.strerror(errno.ENOENT):
            complain("postqueue", f"warning: unable to look up public/qmgr: {down}")
        raise Fatal("Cannot flush mail queue - mail system is down") from down
    except Refused as refusal:
        raise Fatal(str(refusal)) from refusal


def _is_site(text: str) -> bool:
    """A host name, or an address in brackets."""
    import re  # 5 ms, for nothing else here

    label = "[0-9A-Za-z_]([0-9A-Za-z_-]*[0-9A-Za-z_])?"
    return re.fullmatch(rf"\[[0-9A-Za-z:.]+\]|(?=.{{1,255}}$){label}(\.{label})*\.?", text) is not None


def _flush_site(configuration: Configuration, queue_directory: str, site: str) -> None:
    if not _is_site(site):
        raise Fatal(f'Cannot flush mail queue - invalid destination: "{site}"')
    from posthouse.tables.match_list import open_match_list
    from posthouse.tables.table import TableError, TableRetry, drive

    value = configuration.value("fast_flush_domains")
    try:
        served = drive(open_match_list(value, configuration, "fast_flush_domains").matches(site.strip("[]")))
    except (TableRetry, TableError) as error:
        raise Fatal("Cannot flush mail queue - mail system is down") from error
    if served is None:
        raise Fatal(f'Flush service is not configured for destination "{site}"')
    _flush(queue_directory, ControlRequest("flush", site=site))


def _list(configuration: Configuration, queue_directory: str, *, as_json: bool) -> int:
    try:
        answers = ask_all(queue_directory, ControlRequest("list"))
        first = next(answers, None)
        running = answers if first is None else itertools.chain((first,), answers)
        _write(running, configuration, as_json=as_json)
        return 0
    except Refused as refusal:
        raise Fatal(str(refusal)) from refusal
    except SystemDown as error:
        down = error
    if not may_open(queue_directory):
        complain("postqueue", f"warning: Connect to the Postfix showq service: {down}")
        raise Fatal("Queue report unavailable - mail system is down")
    complain(
        "postqueue",
        f"warning: Mail system is down -- accessing queue directly (Connect to the Postfix showq service: {down})",
    )
    _write(
        itertools.chain(_maildrop_rows(queue_directory), _offline_rows(queue_directory)), configuration, as_json=as_json
    )
    return 0


def _write(rows: Iterator[dict[str, Any]], configuration: Configuration, *, as_json: bool) -> None:
    from posthouse.commands.queue_listing import json_lines, table_lines

    long_ids = not as_json and configuration.boolean("enable_long_queue_ids")
    _write_lines(json_lines(rows) if as_json else table_lines(rows, long_ids=long_ids))


def _write_lines(lines: Iterator[str]) -> None:
    out = sys.stdout.buffer
    while portion := list(itertools.islice(lines, LINES)):
        out.write(("\n".join(portion) + "\n").encode("utf-8", "surrogateescape"))
        out.flush()


def _maildrop_rows(queue_directory: str) -> Iterator[dict[str, Any]]:
    folder = os.path.join(queue_directory, "posthouse", "maildrop")
    try:
        if not os.listdir(folder):
            return
    except OSError:
        return
    from posthouse.queue.dropped import maildrop_rows

    yield from maildrop_rows(queue_directory)


def _offline_rows(queue_directory: str) -> Iterator[dict[str, Any]]:
    root = queue_root(queue_directory)
    try:
        if not any(len(name) == 8 for name in os.listdir(root)):
            return
    except OSError:
        return
    from posthouse.queue.offline import OfflineQueue
    from posthouse.queue.operations import queue_name
    from posthouse.queue.row import row_of

    queue = OfflineQueue(root)
    try:
        for path in queue.locked:
            complain("postqueue", f"warning: {path} is in use")
        for message in queue.messages():
            yield row_of(message, queue_name(message))
    finally:
        queue.close()
