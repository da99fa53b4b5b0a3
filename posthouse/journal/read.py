"""Reading the journal: what happened to a message.

`posthouse trace KEY`: KEY is a queue id, a Message-Id or an address. Entries found by it
name queue ids and sessions; all entries about those are told, so that a trace by Message-Id
shows the connection that brought the message, too.
"""

import os
import time
from collections.abc import Iterable, Iterator

from posthouse.journal.index import fold, index_path, keys_of, offsets
from posthouse.journal.journal import Entry
from posthouse.journal.record import SEGMENT_MAGIC, records
from posthouse.journal.segments import segment_names

RELATED_LIMIT = 1000
"""Queue ids and sessions followed from one key: an address may have had a million messages."""


def find(folder: str, keys: Iterable[str]) -> Iterator[Entry]:
    """Every entry about one of the keys, segment by segment."""
    wanted = {fold(key) for key in keys if key}
    for name in segment_names(folder):
        path = os.path.join(folder, name)
        places: set[int] | None = set()
        for key in wanted:
            found = offsets(index_path(path), key)
            if found is None:
                places = None
                break
            assert places is not None
            places.update(found)
        if places is not None and not places:
            continue
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue  # retention was faster
        if not data.startswith(SEGMENT_MAGIC):
            continue
        if places is None:
            yield from (entry for _, entry in records(data) if keys_of(entry) & wanted)
            continue
        for place in sorted(places):
            for _, entry in records(data, place):
                if keys_of(entry) & wanted:
                    yield entry
                break


def trace(folder: str, key: str) -> list[Entry]:
    """The whole story behind a key, in order of time."""
    direct = list(find(folder, [key]))
    related: dict[str, None] = {}
    for entry in direct:
        for name in (entry.queue_id, entry.session):
            if name and fold(name) != fold(key) and len(related) < RELATED_LIMIT:
                related[name] = None
    entries = set(direct)
    if related:
        entries.update(find(folder, related))
    return sorted(entries, key=lambda entry: entry.time)


def format_entry(entry: Entry) -> str:
    """One entry as lines: when, what, about whom, and beneath it why."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time)) + f"{entry.time % 1:.3f}"[1:]
    about = entry.queue_id or entry.session
    words = [stamp, f"{about or '-':<12}", f"{entry.step:<9}"]
    if entry.sender and not entry.recipient:
        words.append(f"from=<{entry.sender}>")
    if entry.recipient:
        words.append(f"to=<{entry.recipient}>")
    if entry.verdict:
        words.append(entry.verdict)
    lines = [" ".join(words).rstrip()]
    for evidence in entry.evidence:
        parameter = " ".join(part for part in (evidence.parameter, evidence.origin and f"({evidence.origin})") if part)
        parts = [part for part in (parameter, evidence.restriction, evidence.fact) if part]
        if parts:
            lines.append("    because " + ": ".join(parts))
    return "\n".join(lines)
