"""postcat: show a queued message. Manual: postcat(1) of Postfix 3.7.

    postcat [-bdehoqrv] [-c config_dir] [-s offset] [file…]

-q takes queue ids instead of files: of the running system, of shards that nobody has open, and of the
maildrop. Files are Postfix's queue files and our maildrop's; without any, standard input. -b body, -h header,
-e envelope; -d type numbers, -o offsets, -s where to begin, -v names of content records, padding and pointers,
with it -r follows no pointers. A row of our queue has neither records nor offsets: shown is the queue file that Postfix
would have made of it, without the server_address and server_port of an SMTP client, which are not kept.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterable, Iterator

from posthouse.commands.complaint import Fatal, complain, configuration_of, enter_queue, run
from posthouse.commands.option_letters import WrongOption, split_options
from posthouse.commands.queue_access import Refused, SystemDown, ask_all, is_queue_id, may_open, queue_root
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory
from posthouse.wire.control import ControlRequest
from posthouse.wire.postfix_record import FIRST, LINE_LIMIT, NAMES, UNKNOWN, Truncated, record_size, walk

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

USAGE = (
    "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)]"
    " [-h (header text)] [-q (access queue)] [-v] [file(s)...]"
)


Record = tuple[str, str, str]


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postcat", _run, arguments)


def _run(arguments: list[str]) -> int:
    try:
        options, names = split_options(arguments, "bc:dehoqrs:v")
    except WrongOption as error:
        complain("postcat", str(error))
        raise Fatal(USAGE) from error
    chosen = dict(options)
    flags = {option[1] for option in chosen}
    start = _offset(chosen.get("-s", "0"))
    if not flags & set("beh"):
        flags |= set("beh")
    configuration = configuration_of("postcat", configuration_directory(chosen.get("-c")))
    require_everywhere(configuration)
    if "q" not in flags:
        for name in names or [""]:
            if names and not name:
                raise Fatal(f"open : {os.strerror(2)}")
            _show_file(name, flags, start)
        return 0
    queue_directory = enter_queue(configuration)
    for name in names:
        if not is_queue_id(name):
            raise Fatal(f"bad mail queue ID: {name}")
        found = _find(queue_directory, name)
        if found is None:
            raise Fatal(f"open queue file {name}: {os.strerror(2)}")
        queue, records, header, body = found
        _print(records_of(records, header, body), _title(queue, name), flags, start)
    return 0


def _offset(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Fatal(f"bad offset: {text}")
    return int(text)


def _title(queue: str, queue_id: str) -> str:
    """Where Postfix would have the file: deferred mail lies in folders named after the first digit of its id."""
    return f"{queue}/{queue_id[:1]}/{queue_id}" if queue == "deferred" else f"{queue}/{queue_id}"


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
    from posthouse.queue.operations import queue_name
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
        queue_name(message),
        envelope_records(message),
        content.header.decode("latin-1"),
        body.data.decode("latin-1"),
    )


def _find_dropped(queue_directory: str, queue_id: str) -> tuple[str, list[Record], str, str] | None:
    from posthouse.host.maildrop import NotADrop, dropped

    try:
        paths = [one.path for one in dropped(queue_directory) if one.queue_id == queue_id]
        if not paths:
            return None
        records, header, body = _dropped(paths[0])
    except (NotADrop, OSError):
        return None
    return "maildrop", records, header, body


def _dropped(path: str) -> tuple[list[Record], str, str]:
    from posthouse.host.maildrop import read_drop

    submission, content = read_drop(path)
    arrival = os.stat(path).st_mtime_ns // 1000
    records: list[Record] = [
        ("T", "message_arrival_time", f"{arrival // 1_000_000} {arrival % 1_000_000}"),
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


def records_of(envelope: Iterable[Record], header: str, body: str) -> Iterator[tuple[int, str, str]]:
    """The whole sequence with offsets, content as records of lines."""
    at = 0
    for kind, text in _sequence(envelope, header, body):
        yield at, kind, text
        at += record_size(kind, text if kind not in "NL" else text.encode("latin-1").decode("latin-1"))


def _sequence(envelope: Iterable[Record], header: str, body: str) -> Iterator[tuple[str, str]]:
    for kind, name, text in envelope:
        yield kind, f"create_time={text}" if name == "create_time" else text
    yield "M", ""
    lines = (header + "\r\n" + body).replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        while len(line) > LINE_LIMIT:
            yield "L", line[:LINE_LIMIT]
            line = line[LINE_LIMIT:]
        yield "N", line
    yield "X", ""
    if not body.isascii():
        yield "A", "encoding=8bit"
    yield "E", ""


TITLES = {"M": "MESSAGE CONTENTS", "X": "HEADER EXTRACTED", "E": "MESSAGE FILE END"}
OUT_OF_ORDER = {"M": "message content", "X": "extracted segment", "E": "message end"}
BEFORE = {"M": "S", "X": "M", "E": "X"}
"""The section that each section follows; S is the envelope."""


def _print(records: Iterable[tuple[int, str, str]], title: str, flags: set[str], start: int = 0) -> None:
    """Postfix's layout. Sections are shown only with the envelope. Padding and pointers are shown with -v.

    Without -v what they skip counts to the record behind them: its offset is theirs.
    """
    out = sys.stdout.buffer
    envelope = "e" in flags
    section = "S"
    in_header = True
    middle = False
    skipped: int | None = None
    for at, kind, text in records:
        if at < start:
            continue
        if envelope and at == 0:
            out.write(f"*** ENVELOPE RECORDS {title} ***\n".encode("utf-8", "surrogateescape"))
        if kind in "pw" and "v" not in flags:
            skipped = at if skipped is None else skipped
            continue
        place = f"{at if skipped is None else skipped:9d} " if "o" in flags else ""
        skipped = None
        if "d" in flags:
            place += f"{ord(kind):3d} "
        if kind in TITLES:
            if section != BEFORE[kind] and envelope:
                out.flush()
                complain("postcat", f"warning: {title}: out-of-order {OUT_OF_ORDER[kind]} marker")
            section = kind
            if kind == "X" and not envelope:
                break
            if envelope:
                out.write(f"{place}*** {TITLES[kind]} {title} ***\n".encode("utf-8", "surrogateescape"))
        elif section == "M" and kind in "NLpw":
            if kind in "NL" and not middle and in_header:
                in_header = _is_header(text)
            if ("h" if in_header else "b") in flags:
                name = "unterminated_text" if kind == "L" else NAMES[kind]
                label = f"{name}: " if "v" in flags else ""
                end = "\n" if kind != "L" or flags & set("vo") else ""
                out.write(f"{place}{label}{text}{end}".encode("latin-1", "replace"))
            if kind in "NL":
                middle = kind == "L"
        elif envelope and kind == "N" and "v" not in flags:
            out.write(f"{place}{text}\n".encode("latin-1", "replace"))
        elif envelope:
            name = NAMES.get(kind, UNKNOWN)
            if kind == "A" and text.startswith("create_time="):
                name, text = "create_time", _time(text.removeprefix("create_time="))
            elif kind in "TWc":
                text = _time(text)
            out.write(f"{place}{name}: {text}\n".encode("utf-8", "surrogateescape"))
    out.flush()


def _is_header(line: str) -> bool:
    """Whether a line belongs to the header: a field, or the continuation of one."""
    if line[:1] in (" ", "\t"):
        return True
    name = line.partition(":")[0].rstrip(" \t")
    return ":" in line and name != "" and all("!" <= c <= "~" for c in name)


def _show_file(name: str, flags: set[str], start: int) -> None:
    title = name or "stdin"
    if not name:
        data = sys.stdin.buffer.read()
    else:
        try:
            with open(name, "rb") as file:
                data = file.read()
        except IsADirectoryError:
            complain("postcat", f"warning: close {name}: {os.strerror(errno.EISDIR)}")
            return
        except OSError as error:
            raise Fatal(f"open {name}: {error.strerror}") from error
    from posthouse.wire.intake import HEADING

    if name and data.startswith(HEADING):
        from posthouse.host.maildrop import NotADrop

        try:
            records = list(records_of(*_dropped(name)))
        except (NotADrop, OSError) as error:
            complain("postcat", f"warning: {name}: {error}")
            return
        _print(records, name, flags, start)
        return
    if start == 0 and data and chr(data[0]) not in FIRST:
        complain("postcat", f"warning: {title}: input is not a valid queue file")
        return
    try:
        _print(walk(data, start, follow=not {"r", "v"} <= flags), title, flags, start)
    except Truncated as error:
        sys.stdout.flush()
        complain("postcat", f"warning: {title}: {error}")
        raise Fatal("record read error") from error


def _time(text: str) -> str:
    """A time record's seconds as a date; a date as it is."""
    seconds = text.split()[0] if text.split() else ""
    if not seconds.isdigit():
        return text
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(int(seconds)))
