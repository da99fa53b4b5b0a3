"""Reads due messages from the store while there is room in the active set: new and deferred mail in turns.

A scan stays open, page by page, until it is through; what was missed meanwhile starts the
next one. Rows were read some time before they are taken up: messages that were settled since the
page was read are remembered, so that none is delivered twice. What is settled shows in the pages that are read
later, so no more is remembered than a page of each scan lasts: a queue of a million messages takes no more memory.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from posthouse.queue.store import QueuedMessage, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


PAGE = 500
"""Messages that a scan reads at a time."""


class Intaker(Protocol):
    """What the feeder feeds."""

    def has_room(self) -> bool:
        """Whether another message may become active."""

    @property
    def active(self) -> "Collection[str]":
        """The ids of active messages."""

    def activate(self, message: QueuedMessage, *, flushed: bool = False) -> None:
        """Make a message active; `flushed`: somebody asked for it, so that defer_transports are tried as well."""

    async def fresh(self, queue_id: str) -> QueuedMessage | None:
        """A message's row as it is now."""

    def scan(self, states: "Sequence[State]", until: float | None) -> AsyncIterator[QueuedMessage]:
        """Due messages."""


class _Scan:
    """One scan under way, and how many of its messages were looked at since the memory of settled ones was renewed."""

    __slots__ = ("flush", "messages", "seen")

    def __init__(self, messages: AsyncIterator[QueuedMessage], *, flush: bool) -> None:
        self.messages = messages
        self.flush = flush
        self.seen = 0


class Feeder:
    """Two scans, one of new and one of deferred mail."""

    def __init__(self, schedule: Intaker) -> None:
        self._schedule = schedule
        self._scans: dict[State, _Scan] = {}
        self._wanted: dict[State, float | None] = {}
        self._missed = False
        self._concluded: set[str] = set()
        self._concluded_before: set[str] = set()
        """Those of before the last renewal."""
        self._stale: set[str] = set()
        self._stale_before: set[str] = set()
        """Messages that are wanted again, but not as an open scan may have read them."""
        self._frozen: set[str] = set()
        self._wake = asyncio.Event()
        self._feeding = False

    @property
    def busy(self) -> bool:
        """Whether there is something to read and room for it."""
        wanted = self._feeding or self._wake.is_set() or bool(self._scans or self._wanted or self._missed)
        return wanted and self._schedule.has_room()

    def run_queue(self, *, incoming: bool, deferred: bool, until: float | None) -> None:
        """Scan. `until` is infinity for mail that is not due yet as well (flush), None for now."""
        for state, wanted in ((State.INCOMING, incoming), (State.DEFERRED, deferred)):
            if wanted:
                self._wanted[state] = (
                    max(until, self._wanted.get(state) or 0.0) if until is not None else (self._wanted.get(state))
                )
        self._wake.set()

    def missed(self) -> None:
        """A new message found no room."""
        self._missed = True
        self._wake.set()

    def rescan(self) -> None:
        """There may be new mail that nobody told of."""
        self.missed()

    def conclude(self, queue_id: str) -> None:
        """A message left the active set."""
        if self._scans:
            self._concluded.add(queue_id)
        if self._scans or self._wanted or self._missed:
            self._wake.set()

    def freeze(self, queue_ids: "Iterable[str]") -> None:
        """Somebody changes these messages: they are not taken up."""
        self._frozen.update(queue_ids)

    def thaw(self, queue_ids: "Iterable[str]") -> None:
        """The change is committed; rows read before it are stale."""
        for queue_id in queue_ids:
            self._frozen.discard(queue_id)
            self.conclude(queue_id)

    def reconsider(self, queue_id: str) -> None:
        """A settled message is wanted again; its row is read anew, for its recipients may have got it since."""
        self._concluded.discard(queue_id)
        self._concluded_before.discard(queue_id)
        if self._scans:
            self._stale.add(queue_id)

    def concluded(self, queue_id: str) -> bool:
        """Whether a message was settled and an open scan may not know it."""
        return queue_id in self._concluded or queue_id in self._concluded_before or queue_id in self._frozen

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._feeding = True
            await self.feed()
            self._feeding = False

    async def feed(self) -> None:
        """Take up what there is room for."""
        while self._schedule.has_room():
            self._open()
            if not self._scans:
                return
            for state in list(self._scans):
                if not self._schedule.has_room():
                    return
                await self._take_one(state)

    def _open(self) -> None:
        if self._missed and State.INCOMING not in self._scans:
            self._missed = False
            self._wanted.setdefault(State.INCOMING, None)
        for state in list(self._wanted):
            if state not in self._scans:
                until = self._wanted.pop(state)
                self._scans[state] = _Scan(self._schedule.scan((state,), until), flush=until == math.inf)

    async def _take_one(self, state: State) -> None:
        """Take up the next message of a scan, or close the scan."""
        scan = self._scans[state]
        async for message in scan.messages:
            scan.seen += 1
            if scan.seen > PAGE:
                self._renew()
            if self._taken(message.queue_id):
                continue
            if message.queue_id in self._stale or message.queue_id in self._stale_before:
                fresh = await self._schedule.fresh(message.queue_id)
                if fresh is None or fresh.state is not state or fresh.next_attempt > message.next_attempt:
                    continue
                if self._taken(message.queue_id):
                    continue
                message = fresh
            self._schedule.activate(message, flushed=scan.flush)
            return
        del self._scans[state]
        if not self._scans:
            for memory in (self._concluded, self._concluded_before, self._stale, self._stale_before):
                memory.clear()

    def _taken(self, queue_id: str) -> bool:
        return queue_id in self._schedule.active or self.concluded(queue_id)

    def _renew(self) -> None:
        """Forget what was settled so long ago that every open scan has read a page since."""
        if all(scan.seen > PAGE for scan in self._scans.values()):
            for scan in self._scans.values():
                scan.seen = 0
            self._concluded_before, self._concluded = self._concluded, set()
            self._stale_before, self._stale = self._stale, set()
