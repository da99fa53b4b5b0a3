"""postcat: show a queued message. Manual: postcat(1) of Postfix 3.7.

    postcat [-bdehoqv] [-c config_dir] [file…]

-q takes queue ids instead of files: of the running system, of shards that nobody has open, and of the
maildrop. Files are Postfix's queue files and our maildrop's. -b body, -h header, -e envelope; -d type
numbers, -o offsets (of a Postfix queue file: a row has none, and shows where its records would lie), -v
names of content records.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator

from posthouse.commands.option_letters import WrongOption, split_options
from posthouse.commands.queue_access import Refused, SystemDown, ask_all, is_queue_id, may_open, queue_root
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory, read_configuration
from posthouse.wire.control import ControlRequest
from posthouse.wire.postfix_record import LINE_LIMIT, NotAQueueFile, parse_records, record_size

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

USAGE = (
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)]"
    " [-h (header text)] [-q (access queue)] [-v] [file(s)...]"
)


Record = tuple[str, str, str]


class Fatal(Exception):
    """The command cannot go on."""


def _say(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.buffer.write(f"postcat: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    try:
        return _run(arguments)
    except Fatal as error:
        _say(f"fatal: {error}")
    except ConfigError as error:
        for text in error.warnings:
            _say(f"warning: {text}")
        _say(f"fatal: {error.text}")
    return 1


def _run(arguments: list[str]) -> int:
    try:
        options, names = split_options(arguments, "bc:dehoqv")
    except WrongOption as error:
        _say(str(error))
        raise Fatal(USAGE) from error
    chosen = dict(options)
    flags = {option[1] for option in chosen}
    if not names and "q" in flags:
        raise Fatal(USAGE)
    if not flags & set("beh"):
        flags |= set("beh")
    configuration = read_configuration(configuration_directory(chosen.get("-c")))
    require_everywhere(configuration)
    if "q" not in flags:
        for name in names or ["-"]:
            _show_file(name, flags)
        return 0
    queue_directory = configuration.value("queue_directory")
    for name in names:
        if not is_queue_id(name):
            raise Fatal(f"bad mail queue ID: {name}")
        found = _find(queue_directory, name)
        if found is None:
            raise Fatal(f"open queue file {name}: {os.strerror(2)}")
        queue, records, header, body = found
        _print(records_of(records, header, body), f"{queue}/{name}", flags)
    return 0


def _find(queue_directory: str, queue_id: str) -> tuple[str, list[Record], str, str] | None:
    dropped = _find_dropped(queue_directory, queue_id)
    if dropped is not None:
        return dropped
    try:
        for answer in ask_all(queue_directory, ControlRequest("cat", (queue_id,))):
            cat: dict[str, Any] = answer["cat"]
            return cat["queue"], [(k, n, t) for k, n, t in cat["records"]], cat["header"], cat["body"]
    except Refused as refusal:
        raise Fatal(f"open queue file {queue_id}: {os.strerror(13)}") from refusal
    except SystemDown:
        if not may_open(queue_directory):
            raise Fatal(f"open queue file {queue_id}: {os.strerror(13)}") from None
    else:
        return None
    root = queue_root(queue_directory)
    if not os.path.isdir(root):
        return None
    from posthouse.queue.offline import OfflineQueue
    from posthouse.queue.records import envelope_records

    queue = OfflineQueue(root)
    try:
        message, content = queue.load(queue_id), queue.content(queue_id)
    finally:
        queue.close()
    if message is None or content is None:
        return None
    body: Any = content.body
    return (
        message.state.value,
        envelope_records(message),
        content.header.decode("latin-1"),
        body.data.decode("latin-1"),
    )


def _find_dropped(queue_directory: str, queue_id: str) -> tuple[str, list[Record], str, str] | None:
    folder = os.path.join(queue_directory, "posthouse", "maildrop")
    try:
        names = [name for name in os.listdir(folder) if name.partition("-")[0] == queue_id]
    except OSError:
        return None
    if not names:
        return None
    records, header, body = _dropped(os.path.join(folder, names[0]))
    return "maildrop", records, header, body


def _dropped(path: str) -> tuple[list[Record], str, str]:
    from posthouse.host.maildrop import read_drop

    submission, content = read_drop(path)
    stamp = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(os.stat(path).st_mtime))
    records: list[Record] = [
        ("T", "message_arrival_time", stamp),
        ("A", "named_attribute", f"rewrite_context={'local' if submission.local_rewrite else 'remote'}"),
    ]
    if submission.full_name:
        records.append(("F", "sender_fullname", submission.full_name))
    records.append(("S", "sender", submission.sender))
    encoding = {"8BITMIME": "8bit", "7BIT": "7bit"}.get(submission.body, "")
    if encoding:
        records.append(("A", "named_attribute", f"encoding={encoding}"))
    records += [("R", "recipient", recipient.address) for recipient in submission.recipients]
    header, _, body = content.partition(b"\r\n\r\n") if b"\r\n\r\n" in content else content.partition(b"\n\n")
    return records, header.decode("latin-1") + "\r\n", body.decode("latin-1")


def records_of(envelope: Iterable[Record], header: str, body: str) -> Iterator[Record]:
    """The whole sequence, content as records of lines."""
    yield from envelope
    yield "M", "message_content", ""
    text = header + "\r\n" + body
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        while len(line) > LINE_LIMIT:
            yield "L", "unterminated_text", line[:LINE_LIMIT]
            line = line[LINE_LIMIT:]
        yield "N", "regular_text", line
    yield "X", "extracted", ""
    yield "E", "message_end", ""


TITLES = {"M": "MESSAGE CONTENTS", "X": "HEADER EXTRACTED", "E": "MESSAGE FILE END"}


def _print(records: Iterable[Record], title: str, flags: set[str]) -> None:
    """Postfix's layout. Sections are shown only with the envelope."""
    out = sys.stdout.buffer

    def put(text: str) -> None:
        out.write(text.encode("utf-8", "surrogateescape") if not latin else text.encode("latin-1", "replace"))

    latin = False
    envelope = "e" in flags
    if envelope:
        put(f"*** ENVELOPE RECORDS {title} ***\n")
    offset = 0
    section = ""
    in_body = middle = False
    for kind, name, text in records:
        place = f"{offset:9d} " if "o" in flags else ""
        if "d" in flags:
            place += f"{ord(kind):3d} "
        offset += record_size(kind, f"create_time={text}" if name == "create_time" else text)
        if kind == "T" or name == "create_time":
            text = _time(text)
        if kind in TITLES:
            section, latin = kind, False
            if envelope:
                put(f"{place}*** {TITLES[kind]} {title} ***\n")
        elif section == "M" and kind in "NL":
            latin = True
            if not in_body and text == "" and not middle:
                in_body = True
            if ("b" if in_body else "h") in flags:
                label = f"{name}: " if "v" in flags else ""
                put(f"{place}{label}{text}" + ("\n" if kind == "N" or flags & set("vo") else ""))
            middle = kind == "L"
        elif envelope:
            put(f"{place}{name}: {text}\n")
    out.flush()


def _show_file(name: str, flags: set[str]) -> None:
    if name == "-":
        data = sys.stdin.buffer.read()
    else:
        try:
            with open(name, "rb") as file:
                data = file.read()
        except OSError as error:
            raise Fatal(f"open {name}: {error.strerror}") from error
    from posthouse.wire.intake import HEADING

    if name != "-" and data.startswith(HEADING):
        from posthouse.host.maildrop import NotADrop

        try:
            records: list[Record] = list(records_of(*_dropped(name)))
        except (NotADrop, OSError) as error:
            _say(f"warning: {name}: {error}")
            return
    else:
        try:
            records = list(parse_records(data))
        except NotAQueueFile as error:
            _say(f"warning: {name}: {error}")
            return
    _print(records, name, flags)


def _time(text: str) -> str:
    """A time record's seconds as a date; a date as it is."""
    seconds = text.split()[0] if text.split() else ""
    if not seconds.isdigit():
        return text
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(int(seconds)))
