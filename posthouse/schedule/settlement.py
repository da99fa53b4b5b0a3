"""Settling a message whose deliveries are all done: expire, notify, then remove or defer.

A message is removed only after the notices it owes are committed; one that cannot be queued keeps
its message for the next time.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from posthouse.address.local_part import quote_address
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import Trace
from posthouse.envelope.outcome import Dsn
from posthouse.host.clock import Clock
from posthouse.host.log import ProcessLog
from posthouse.queue.store import (
    Fate,
    QueuedMessage,
    QueueFault,
    QueueFull,
    QueueStore,
    RecipientState,
    State,
    StoredRecipient,
    wants_notice,
)
from posthouse.schedule.active import ActiveMessage
from posthouse.schedule.backoff import ClockWatch, is_expired, next_attempt
from posthouse.schedule.chronicle import Chronicle, with_action
from posthouse.schedule.notices import Notices
from posthouse.schedule.recorder import Recorder
from posthouse.schedule.settings import ScheduleSettings
from posthouse.schedule.wish import Wish


class Settlement:
    """Settles messages."""

    def __init__(
        self,
        settings: ScheduleSettings,
        store: QueueStore,
        recorder: Recorder,
        notices: Notices,
        chronicle: Chronicle,
        watch: ClockWatch,
        clock: Clock,
        log: ProcessLog,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._notices = notices
        self._chronicle = chronicle
        self._watch = watch
        self._clock = clock
        self._log = log
        self._spawn = spawn
        self.over = False
        """The schedule is being stopped: nothing is settled any more."""

    def settle(self, active: ActiveMessage) -> None:
        """Every entry is done: expire, notify, then remove or defer."""
        if self.over:
            return  # what is not committed yet is as if it had not been tried
        message = active.message
        if message.envelope.trace is not Trace.NONE and active.report:
            self._spawn(self._trace(active))
            return
        self._settle_rest(active)

    def _settle_rest(self, active: ActiveMessage) -> None:
        message = active.message
        now = self._clock.now()
        pending = active.pending_recipients()
        heeded = active.wish is not None  # what is held or to be requeued does not expire, nor is anybody warned
        if pending and not heeded and self._give_up(message, now):
            word = "force-expired" if message.force_expired else "expired"
            sender = quote_address(message.envelope.sender)
            self._log.info(f"{message.queue_id}: from=<{sender}>, status={word}, returned to sender")
            for stored in pending:
                dsn = stored.dsn or Dsn("4.4.7", "message expired")
                active.set(
                    stored.index, RecipientState.DONE, with_action(dsn, dsn.status, "failed"), stored.log_recipient
                )
            self._chronicle.note(now, "expired", active, "", f"status={word}", ())
            pending = []
        warn = bool(
            pending
            and not heeded
            and self._settings.delay_warning_time
            and not message.delay_warned
            and now >= message.arrival_time + self._settings.delay_warning_time
        )
        if warn or any(wants_notice(r) for r in active.recipients):
            self._spawn(self._notify(active, warn))
        else:
            self._conclude(active, False)

    def _give_up(self, message: QueuedMessage, now: float) -> bool:
        if message.force_expired:
            return True
        return is_expired(now, message, self._settings) and self._watch.trusted(self._clock.steady())

    async def _trace(self, active: ActiveMessage) -> None:
        """Commit the report that the sender asked for, then go on; a probe has done its duty with it."""
        message = active.message
        verify = message.envelope.trace is Trace.VERIFY
        try:
            await self._notices.traced(message, await self._content(message), active.report)
        except (QueueFull, QueueFault) as error:
            self._log.warning(f"{message.queue_id}: notice not queued: {error}")
            verify = False
        else:
            self._recorder.add(Fate(message.queue_id, traced=True))
        if verify:
            active.concluding = True
            self._recorder.add(Fate(message.queue_id, remove=True), active)
        else:
            self._settle_rest(active)

    async def _content(self, message: QueuedMessage) -> Content:
        return await self._store.load_content(message.queue_id) or Content(b"", MemoryBody(b""))

    async def _notify(self, active: ActiveMessage, warn: bool) -> None:
        """Commit the notices, then conclude. A notice that cannot be queued keeps its recipients for the next time."""
        message = active.message
        content = await self._content(message)
        wanted = [r for r in active.recipients if wants_notice(r)]
        failed = [r for r in wanted if r.dsn is not None and (r.dsn.action == "failed" or r.failures)]
        succeeded = [r for r in wanted if r.dsn is not None and r.dsn.action != "failed"]
        warned = False
        try:
            if failed:
                await self._notices.failed(message, content, failed)
                self._reported(active, failed)
            if succeeded:
                await self._notices.succeeded(message, content, succeeded)
                self._reported(active, succeeded)
            if warn:
                await self._notices.delayed(message, content, active.pending_recipients())
                warned = True
        except (QueueFull, QueueFault) as error:
            self._log.warning(f"{message.queue_id}: notice not queued: {error}")
        self._conclude(active, warned)

    def _reported(self, active: ActiveMessage, recipients: Sequence[StoredRecipient]) -> None:
        now = self._clock.now()
        for r in recipients:
            active.recipients[r.index] = replace(r, reported=True)
            active.changed.add(r.index)
            self._chronicle.note(now, "notified", active, r.recipient.address, r.dsn.action if r.dsn else "", ())

    def _conclude(self, active: ActiveMessage, warned: bool) -> None:
        active.concluding = True
        self._recorder.add(self._fate(active, warned), active)

    def _fate(self, active: ActiveMessage, warned: bool) -> Fate:
        message = active.message
        if active.wish is Wish.DELETE:
            return Fate(message.queue_id)
        if not any(r.state is RecipientState.PENDING or wants_notice(r) for r in active.recipients):
            return Fate(message.queue_id, remove=True)
        if active.wish in (Wish.HOLD, Wish.REQUEUE):
            # Its row says where it stands.
            return Fate(message.queue_id, active.take_changed(), delay_warned=warned or None)
        again = next_attempt(self._clock.now(), message.arrival_time, self._settings)
        if active.stranded:
            again = 0.0  # released, and some of it was never begun
        return Fate(message.queue_id, active.take_changed(), State.DEFERRED, again, warned or None)
