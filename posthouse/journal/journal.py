"""The seam of the journal: one entry per step of a message, with evidence.

Entries are values; where they go (segments on disk, a list in tests) is the Journal's matter.
Under pressure evidence is dropped before verdicts.
"""

from dataclasses import field
from typing import Protocol

from posthouse.envelope.value import value
from posthouse.envelope.verdict import Evidence


@value
class Entry:
    """One step: what `posthouse trace` prints as one line."""

    time: float
    """Seconds since the epoch."""
    step: str
    """connect, helo, mail, rcpt, data, queued, expanded, rewritten, routed, delivered, deferred, bounced, held,
    released, deleted, expired, notified, removed, refused, fetched."""
    queue_id: str = ""
    message_id: str = ""
    session: str = ""
    """Ties the steps of one connection together before there is a queue id."""
    sender: str = ""
    recipient: str = ""
    verdict: str = ""
    """"permit", "reject: 554 5.7.1 …", "status=sent (…)": one line."""
    evidence: tuple[Evidence, ...] = field(default=())


class Journal(Protocol):
    """Takes entries; never blocks, never fails its caller."""

    def record(self, entry: Entry) -> None:
        """Keep one entry."""


class MemoryJournal:
    """A journal kept in a list: for tests and for commands."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        """Keep one entry."""
        self.entries.append(entry)
