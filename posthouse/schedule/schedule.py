"""The schedule: takes queued messages up, brings their recipients to delivery agents, and settles what became of them.

A message is active from activate() until its fate is committed. Its recipients are resolved
at each attempt, grouped by destination and cut into entries; lanes (one task for each
delivery that may run at once) take entries as transports and windows allow. When the last
entry is done the message is settled: notices first, then removed or deferred.

Fresh mail comes by on_queued() and is delivered from memory; past the active limit only its
row exists, and the feeder reads it when there is room, new and deferred mail in turns.

Log lines: qmgr's (queue active, removed, expired) and each agent's.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from posthouse.address.local_part import quote_address
from posthouse.envelope.content import Content
from posthouse.envelope.outcome import Dsn, Outcome
from posthouse.envelope.outcome import Fate as Ending
from posthouse.envelope.request import QueuedRecipient
from posthouse.host.clock import Clock, SystemClock
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Journal
from posthouse.queue.store import (
    Fate,
    QueuedMessage,
    QueueStore,
    State,
)
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.anew import Anew, Door
from posthouse.schedule.backoff import ClockWatch
from posthouse.schedule.chronicle import Chronicle
from posthouse.schedule.crew import Crew
from posthouse.schedule.delivery import job_of, request_of
from posthouse.schedule.destination import Destination, Entry, Job
from posthouse.schedule.feeder import PAGE, Feeder
from posthouse.schedule.notices import Notices, Router
from posthouse.schedule.recorder import Recorder
from posthouse.schedule.routes import Route, Routes
from posthouse.schedule.settings import ScheduleSettings
from posthouse.schedule.settlement import Settlement
from posthouse.schedule.transport import Transport, TransportService
from posthouse.schedule.wish import Wish

RESOLVERS = 10
"""Messages resolved at once: a slow table holds up so many, and no task is made for each message."""

TICK = 1.0
"""Seconds between looks at what time has brought: all delays are whole seconds."""

LAST_COMMIT = 5.0
"""Seconds for the last fates to be committed when the schedule is stopped."""

BLOCKED_POLL = 1.0
"""Seconds between looks at a queue that cannot be written."""

TRANSPORT_MISSING = Dsn("4.3.0", "mail transport unavailable")
TRANSPORT_DEFERRED = Dsn("4.3.2", "deferred transport")
CONTENT_LOST = Dsn("5.3.0", "message content is lost")


class Schedule:
    """The queue's scheduler in one mail worker."""

    def __init__(
        self,
        store: QueueStore,
        router: Router,
        transports: Mapping[str, TransportService],
        notices: Notices,
        settings: ScheduleSettings,
        log: ProcessLog,
        journal: Journal,
        *,
        clock: Clock | None = None,
        door: Door | None = None,
        cleanup_log: ProcessLog | None = None,
    ) -> None:
        """Without a `door` what is to come in anew (postsuper -r) is delivered as it is."""
        self.store = store
        self.settings = settings
        self.log = log
        self._transports = {name: Transport(service) for name, service in transports.items()}
        self.clock: Clock = clock or SystemClock()
        logs = {name: service.log for name, service in transports.items()}
        self._chronicle = Chronicle(settings, journal, self.clock, log.program("error"), logs)
        self._routes = Routes(router, settings, self._chronicle, self.clock, log)
        self.active: dict[str, ActiveMessage] = {}
        self._places: dict[str, list[tuple[Transport, Destination]]] = {}
        """Where the entries of active messages wait."""
        self.recipients = 0
        """Recipients in memory."""
        self._to_resolve: asyncio.Queue[ActiveMessage] = asyncio.Queue()
        self._crew = Crew(log)
        self._timers: list[tuple[float, Transport, Destination | None]] = []
        self._watch = ClockWatch(self.clock.now(), self.clock.steady())
        self._next_run = self.clock.steady()
        self._stopping = False
        self._paused = False
        self.recorder = Recorder(store, self._recorded)
        self.feeder = Feeder(self)
        self._settlement = Settlement(
            settings, store, self.recorder, notices, self._chronicle, self._watch, self.clock, log, self._crew.spawn
        )
        self._anew = (
            Anew(door, store, self.recorder, self._chronicle, self.clock, cleanup_log or log, self._settlement.settle)
            if door is not None
            else None
        )

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to deliver. Everything it starts ends with stop()."""
        for _ in range(RESOLVERS):
            self._start_resolver()
        for run in (self.recorder.run, self.feeder.run, self._tick_forever):
            self._crew.spawn(run(), run)

    def leave(self) -> None:
        """A successor is there: what is to come in anew is left to it, and to its configuration."""
        if self._anew is not None:
            self._anew.closed = True

    async def stop(self, grace: float = 0.0) -> None:
        """Start no more deliveries, give those that run a time to end, record what is known, and end."""
        self._stopping = self._crew.over = True
        lanes = {task for active in self.active.values() for task in active.tasks}
        if lanes and grace > 0:
            await asyncio.wait(lanes, timeout=grace)
        try:
            async with asyncio.timeout(grace + LAST_COMMIT):
                await self.recorder.flush()
        except TimeoutError:
            self.log.warning("the queue cannot be written: some deliveries will be repeated")
        self._settlement.over = True
        await self._crew.end()

    async def _tick_forever(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK)

    async def tick(self) -> None:
        """What time has brought: destinations that may be tried again, and the queue run."""
        now, steady = self.clock.now(), self.clock.steady()
        self._watch.look(now, steady, self.settings.queue_run_delay)
        due = [timer for timer in self._timers if timer[0] <= steady]
        if due:
            self._timers = [timer for timer in self._timers if timer[0] > steady]
            for _, transport, destination in due:
                if destination is None:
                    transport.paused_until = 0.0
                elif destination.dead_until and destination.dead_until <= steady:
                    destination.revive()
                    self._relist(transport, destination)
                elif destination.paused_until and destination.paused_until <= steady:
                    destination.paused_until = 0.0
                    self._relist(transport, destination)
                self._kick(transport)
        if steady >= self._next_run:
            self._next_run = steady + self.settings.queue_run_delay
            adopted = await self.store.tend()
            self.feeder.run_queue(incoming=True, deferred=True, until=None)
            if adopted:
                self.feeder.rescan()

    def _relist(self, transport: Transport, destination: Destination) -> None:
        transport.list(destination)
        transport.forget(destination)

    # -- taking up -------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether another message may become active."""
        return (
            not self._stopping
            and len(self.active) < self.settings.qmgr_message_active_limit
            and (not self.active or self.recipients < self.settings.qmgr_message_recipient_limit)
        )

    def on_queued(self, message: QueuedMessage, content: Content | None = None) -> None:
        """A message was just committed. Its content waits in the store's memory."""
        if message.state is not State.INCOMING or message.queue_id in self.active:
            return
        if self.feeder.concluded(message.queue_id):
            return
        if not self.has_room():
            self.feeder.missed()
            return
        self.activate(message)

    def activate(self, message: QueuedMessage, *, flushed: bool = False) -> None:
        """Make a message active; `flushed`: somebody asked for it, so that defer_transports are tried as well."""
        active = ActiveMessage(message, self.clock.now(), flushed=flushed)
        self.active[message.queue_id] = active
        self.recipients += len(message.recipients)
        anew = message.requeued and self._anew is not None
        if not anew:
            waiting = len(active.pending_recipients())
            sender = quote_address(message.envelope.sender)
            self.log.info(f"{message.queue_id}: from=<{sender}>, size={message.size}, nrcpt={waiting} (queue active)")
        if message.force_expired and not anew:
            self._settlement.settle(active)  # as in Postfix: no further attempt
        else:
            self._to_resolve.put_nowait(active)

    def _start_resolver(self) -> None:
        self._crew.spawn(self._resolve_forever())

    async def _resolve_forever(self) -> None:
        while True:
            active = await self._to_resolve.get()
            if active.wish is not None:
                active.stranded = True
                self._settlement.settle(active)
                continue
            if active.message.requeued and self._anew is not None:
                await self._bring_anew(self._anew, active)
                continue
            active.pending += 1  # held while resolving, so that an early outcome does not settle it
            sound = False
            try:
                self._assign(active, await self._routes.of(active))
                sound = True
            finally:
                active.pending -= 1
                if not active.pending:
                    self._settlement.settle(active)
                if not sound and not self._stopping:
                    self._start_resolver()  # one address that breaks the router must not stop the others

    async def _bring_anew(self, anew: Anew, active: ActiveMessage) -> None:
        sound = False
        try:
            await anew.bring(active)
            sound = True
        finally:
            if not sound and not self._stopping:
                anew.later(active)
                self._start_resolver()

    def _assign(self, active: ActiveMessage, routes: Sequence[Route]) -> None:
        if active.wish is not None:
            active.stranded = True
            return
        alone = len(routes) == 1
        by_transport: dict[Transport, dict[Destination, list[QueuedRecipient]]] = {}
        for route in routes:
            stored, name, address = route.stored, route.transport, route.recipient
            transport = self._transports.get(name)
            if name in self.settings.defer_transports and not active.flushed:
                self._chronicle.refuse(active, (stored,), TRANSPORT_DEFERRED)
                continue
            if transport is None:
                self.log.warning(f"connect to transport private/{name}: No such file or directory")
                self._chronicle.refuse(active, (stored,), TRANSPORT_MISSING)
                continue
            destination = transport.destination(route.nexthop, address)
            if destination.dead_until and destination.suspension is not None:
                self._chronicle.suspend(active, (stored,), destination.suspension)
                continue
            if address != stored.recipient.address:
                active.readdress(stored.index, address)
            queued = QueuedRecipient(stored.index, active.recipients[stored.index].recipient)
            if alone:  # most mail: no grouping
                active.pending += 1
                self._places[active.queue_id] = [(transport, destination)]
                transport.add({destination: Job((Entry(active, destination, (queued,), False),))}, 1)
                self._kick(transport)
                return
            by_transport.setdefault(transport, {}).setdefault(destination, []).append(queued)
        for transport, groups in by_transport.items():
            size = 1 if active.message.envelope.verp else transport.settings.recipient_limit or len(routes)
            deliveries = sum(-(-len(group) // size) for group in groups.values())
            large = deliveries > 1 and transport.slots.is_large(deliveries)
            jobs: dict[Destination, Job] = {}
            for destination, group in groups.items():
                jobs[destination] = job_of(active, destination, group, size, large=large)
            active.pending += deliveries
            self._places.setdefault(active.queue_id, []).extend((transport, destination) for destination in jobs)
            transport.add(jobs, deliveries)
            self._kick(transport)

    # -- delivering ------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Start no deliveries until go_on(); those that run end as they will."""
        self._paused = True

    def go_on(self) -> None:
        """Deliver again."""
        self._paused = False
        for transport in self._transports.values():
            self._kick(transport)

    def _kick(self, transport: Transport) -> None:
        if self._stopping or self._paused:
            return
        for _ in range(transport.lanes_wanted):
            transport.lanes += 1
            transport.starting += 1
            self._crew.spawn(self._lane(transport))

    async def _lane(self, transport: Transport) -> None:
        """Deliver one entry after the other while there are some that may start."""
        me = asyncio.current_task()
        assert me is not None
        transport.starting -= 1
        try:
            while not self._stopping and not self._paused:
                if self.store.blocked:
                    await self._writable()
                entry = transport.take()
                if entry is None:
                    return
                self._kick(transport)
                active = entry.active
                active.tasks.add(me)
                try:
                    await self._deliver(transport, entry)
                finally:
                    active.tasks.discard(me)
                    self._done(transport, entry)
                if transport.settings.transport_rate_delay:
                    transport.paused_until = self.clock.steady() + transport.settings.transport_rate_delay
                    self._timers.append((transport.paused_until, transport, None))
        finally:
            transport.lanes -= 1
            self._kick(transport)

    async def _writable(self) -> None:
        while self.store.blocked:  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(BLOCKED_POLL)

    async def _deliver(self, transport: Transport, entry: Entry) -> None:
        active = entry.active
        content = await self.store.load_content(active.queue_id)
        if active.wish is not None:
            active.stranded = True  # not begun; of a deleted message there is no content any more
            return
        started = self.clock.now()
        if content is None:
            outcomes: Sequence[Outcome] = [
                Outcome(r.index, Ending.BOUNCED, CONTENT_LOST, "none") for r in entry.recipients
            ]
        else:
            outcomes = await transport.service.agent.deliver(request_of(entry, transport.service.name, content))
            if transport.service.status_filter is not None:
                outcomes = await transport.service.status_filter.applied(outcomes)
        self._chronicle.take(active, outcomes, started, transport.service.log)
        self._feed_back(transport, entry.destination, outcomes)

    def _done(self, transport: Transport, entry: Entry) -> None:
        destination = entry.destination
        destination.busy -= 1
        delay = transport.settings.rate_delay
        if delay and not destination.dead_until:
            destination.paused_until = self.clock.steady() + delay
            self._timers.append((destination.paused_until, transport, destination))
        transport.list(destination)
        transport.forget(destination)
        active = entry.active
        active.pending -= 1
        if not active.pending:
            self._settlement.settle(active)
        elif active.changed and active.wish is not Wish.DELETE:
            self.recorder.add(Fate(active.queue_id, active.take_changed()))

    def _feed_back(self, transport: Transport, destination: Destination, outcomes: Sequence[Outcome]) -> None:
        failed = next((outcome for outcome in outcomes if outcome.destination_failed), None)
        if failed is None:
            if outcomes:
                destination.succeeded()
            return
        until = self.clock.steady() + self.settings.minimal_backoff_time
        if destination.failed(failed.dsn, until):
            self._timers.append((until, transport, destination))
            while destination.todo:
                for entry in destination.todo.popleft():
                    active = entry.active
                    stored = tuple(active.recipients[r.index] for r in entry.recipients)
                    self._chronicle.suspend(active, stored, failed.dsn)
                    active.pending -= 1
                    if not active.pending:
                        self._settlement.settle(active)

    def _recorded(self, fate: Fate, active: ActiveMessage) -> None:
        """A message's fate is committed: it leaves the active set."""
        if self.active.pop(active.queue_id, None) is None:
            return
        self.recipients -= len(active.recipients)
        self._places.pop(active.queue_id, None)
        self.feeder.conclude(active.queue_id)
        if fate.remove and active.wish is not Wish.DELETE:
            self.log.info(f"{active.queue_id}: removed")
            self._chronicle.note(self.clock.now(), "removed", active, "", "", ())
        elif active.wish in (Wish.RELEASE, Wish.REQUEUE):
            self.feeder.reconsider(active.queue_id)
            self.feeder.run_queue(incoming=True, deferred=True, until=None)

    # -- an operator's wishes --------------------------------------------------------------------------------------

    def heed(self, wish: Wish, fate: Fate) -> None:
        """An operator wants something of an active message, and this fate says it on the disk: it is on its way there
        on return (recorder.commit() waits for it). What runs ends by itself, the rest is not begun."""
        active = self.active[fate.queue_id]
        active.wish = wish
        self.recorder.add(fate)
        for transport, destination in self._places.get(fate.queue_id, ()):
            self._drop_entries(transport, destination, active)

    async def concluded(self, queue_id: str) -> None:
        """Wait until a message whose fate is on its way to the disk is active no more."""
        while queue_id in self.active:
            await self.recorder.progress()

    def _drop_entries(self, transport: Transport, destination: Destination, active: ActiveMessage) -> None:
        for job in [job for job in destination.todo if job and job[0].active is active]:
            destination.todo.remove(job)
            active.stranded = True
            for _ in job:
                active.pending -= 1
                if not active.pending:
                    self._settlement.settle(active)
        transport.forget(destination)

    def revive_destinations(self) -> None:
        """Try dead destinations again now: what postqueue -f asks for."""
        for transport in self._transports.values():
            for destination in list(transport.destinations.values()):
                if destination.dead_until:
                    destination.revive()
                    self._relist(transport, destination)
            self._kick(transport)

    def scan(self, states: Sequence[State], until: float | None) -> AsyncIterator[QueuedMessage]:
        """What the feeder reads: due messages; `until` None means now."""
        return self.store.due(self.clock.now() if until is None else until, PAGE, states=states)

    async def fresh(self, queue_id: str) -> QueuedMessage | None:
        """A message's row as it is now."""
        return await self.store.load(queue_id)
