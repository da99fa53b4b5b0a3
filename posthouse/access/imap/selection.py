"""The selected mailbox as its client sees it: sequence numbers, and what was told.

Sequence numbers are places in `uids`. Messages that others expunged stay in it until the client may
be told (RFC 3501 section 7.4.1); new ones come in when they are told.

Standards: RFC 3501 sections 2.3.1.2 and 5.5; RFC 5182 (the saved result); RFC 7162.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from posthouse.mailbox.store import Changes, Mailbox
from posthouse.wire.imap.error import ImapSyntaxError
from posthouse.wire.imap.sequence import SequenceSet, format_ranges, format_set, gaps, merged

NOT_THERE = "Invalid message set: no such message"


class Selection:
    """One selected mailbox."""

    __slots__ = ("_recent", "gone", "keywords", "mailbox", "modseq", "saved", "told", "uids")

    def __init__(self, mailbox: Mailbox, uids: Sequence[int], modseq: int) -> None:
        self.mailbox = mailbox
        self.uids = list(uids)
        self.modseq = modseq
        """Changes up to here are known."""
        self.gone: set[int] = set()
        """Expunged by others, not told yet."""
        self.told: dict[int, int] = {}
        """uid -> modseq of changes this session made (or was told of) after `modseq`."""
        self.keywords: set[str] = set()
        """Keywords that FLAGS has told."""
        self.saved: list[int] = []
        """uids of the last SEARCH RETURN (SAVE)."""
        self._recent: list[tuple[int, int]] = []

    @property
    def exists(self) -> int:
        """How many messages the client knows."""
        return len(self.uids)

    def number(self, uid: int) -> int:
        """The sequence number, or 0."""
        place = bisect_left(self.uids, uid)
        return place + 1 if place < len(self.uids) and self.uids[place] == uid else 0

    def numbers(self, uids: Iterable[int]) -> list[int]:
        """The sequence numbers of those that are known."""
        return [number for uid in uids if (number := self.number(uid))]

    def places(self, uids: list[int]) -> Iterable[int]:
        """The sequence number of each, or 0. Where they follow one another, as in a listing, one look-up does."""
        first = self.number(uids[0]) if uids else 0
        if first and self.uids[first - 1 : first - 1 + len(uids)] == uids:
            return range(first, first + len(uids))
        return map(self.number, uids)

    # -- \Recent --------------------------------------------------------------------------

    def add_recent(self, first: int) -> None:
        """Messages from uid `first` on are \\Recent to this session."""
        if self.uids and first <= self.uids[-1]:
            self._recent = merged([*self._recent, (first, self.uids[-1])])

    def is_recent(self, uid: int) -> bool:
        """Whether it is \\Recent here."""
        return any(low <= uid <= high for low, high in self._recent)

    @property
    def recent(self) -> int:
        """How many are."""
        uids = self.uids
        return sum(bisect_right(uids, high) - bisect_left(uids, low) for low, high in self._recent)

    # -- sets -----------------------------------------------------------------------------

    def resolve(self, numbers: SequenceSet, *, uid: bool, strict: bool = True) -> list[int]:
        """The uids a command means, ascending. strict: raises ImapSyntaxError for sequence numbers that are none, as
        RFC 3501 section 9 (seq-number) wants; SEARCH passes them over. "1:*" of nothing is no error."""
        if numbers.saved:
            known = set(self.uids)
            return [one for one in self.saved if one in known]
        if uid:
            return numbers.among(self.uids)
        count = len(self.uids)
        if strict and any(max(first, last) > count and (count or (first and last)) for first, last in numbers.ranges):
            raise ImapSyntaxError(NOT_THERE)
        found: list[int] = []
        for low, high in merged(numbers.resolved(count)):
            found += self.uids[max(low, 1) - 1 : high]
        return found

    def vanished(self, changes: Changes, known: list[tuple[int, int]] | None) -> bytes:
        """VANISHED (EARLIER)'s set for a client that knows uids within `known` (None: any), or b"".

        Never wider than what is gone: some clients take every uid in it for one of theirs. Where the store no longer
        remembers what went, it is whatever the client may know and is not there.
        """
        last = changes.uid_next - 1
        if changes.complete:
            gone = changes.vanished
            if known is not None:
                gone = [uid for uid in gone if any(low <= uid <= high for low, high in known)]
            return format_set(gone)
        ranges = merged([(1, last)] if known is None else known)
        return format_ranges(gap for low, high in ranges for gap in gaps(self.uids, low, min(high, last)))

    # -- changes --------------------------------------------------------------------------

    def remove(self, uids: Iterable[int]) -> list[int]:
        """Forget messages; gives those that were known, ascending."""
        doomed = set(uids)
        removed = [uid for uid in self.uids if uid in doomed] if doomed else []
        if removed:
            self.uids = [uid for uid in self.uids if uid not in doomed]
            self.gone -= doomed
        return removed
