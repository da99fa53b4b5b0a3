"""The queue's commands, carried out by its owner: list, flush, delete, hold, release, requeue, expire, cat, and more.

A delivery that runs is never broken off: what is wanted of its message is committed, and heeded when it has ended
(schedule/wish.py). Listings go page by page, each its own transaction, with none open while a client reads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from posthouse.journal.journal import Entry as JournalEntry
from posthouse.journal.journal import Journal
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.queue.dropped import maildrop_rows
from posthouse.queue.operations import DEFAULT_QUEUES, DONE, fate_of, queue_name
from posthouse.queue.records import envelope_records
from posthouse.queue.row import row_of
from posthouse.queue.store import QueuedMessage, QueueStore, State
from posthouse.schedule.schedule import Schedule
from posthouse.schedule.wish import Wish
from posthouse.wire.control import ControlProtocolError, ControlRequest, LineReader, encode_line, parse_request

REQUEST_TIMEOUT = 10.0
"""Seconds for a command to say what it wants."""

ANSWER_TIMEOUT = 3600.0
"""Seconds for a client to take more of an answer: `mailq | less` may stand for an hour, and holds nothing open."""

NEEDS = {"list": "mailq", "cat": "owner", "flush": "flush", "pickup": "flush"}
"""Which right a request needs: authorized_mailq_users, authorized_flush_users, or being root or mail_owner."""

CAT_LIMIT = 256 << 20
"""Bytes of content in one answer."""

WISHES = {wish.value: wish for wish in Wish}
"""Operations that an active message heeds; that it expires shows in its row when it is taken up again."""

_STEPS = {"delete": "deleted", "hold": "held", "release": "released", "requeue": "released", "expire": "expired"}


class QueueControl:
    """Control over one mail worker's queue."""

    def __init__(self, schedule: Schedule, store: QueueStore, journal: Journal, *, maildrop_of: str = "") -> None:
        """`maildrop_of` is the queue_directory whose maildrop is listed, too: one worker's task, "" for others."""
        self._schedule = schedule
        self._store = store
        self._journal = journal
        self._maildrop_of = maildrop_of
        self._pauses = 0
        self.pickup = asyncio.Event()
        """Set when the maildrop is to be looked into before its time."""

    def queue_of(self, message: QueuedMessage) -> str:
        """The name of the queue a message stands in."""
        active = self._schedule.active.get(message.queue_id)
        if active is None or active.wish is not None or message.requeued:
            return queue_name(message)
        return "active"

    async def rows(self) -> AsyncIterator[list[dict[str, Any]]]:
        """Every message's row (postqueue -j), in pages."""
        if self._maildrop_of:
            yield await asyncio.to_thread(lambda: list(maildrop_rows(self._maildrop_of)))
        after: tuple[str, int] | None = ("", -1)
        while after is not None:
            page, after = await self._store.page(after)
            yield [row_of(message, self.queue_of(message)) for message in page]

    async def flush(self, ids: tuple[str, ...] = (), site: str = "") -> int:
        """Try again now: everything, some messages, or what is for a site."""
        self._schedule.revive_destinations()
        if ids:
            return sum([await self._flush_one(queue_id) for queue_id in ids])
        if not site:
            self._schedule.feeder.run_queue(incoming=True, deferred=True, until=float("inf"))
            return 0
        count = 0
        domain = site.lower().strip("[]")
        async for message in self._store.due(float("inf")):
            if any(r.recipient.address.rpartition("@")[2].lower().strip("[]") == domain for r in message.recipients):
                count += self._take_up(message)
        return count

    async def adopt(self) -> None:
        """Take up the shards that nobody owns: an import has just made one."""
        if await self._store.tend():
            self._schedule.feeder.rescan()
            self._schedule.feeder.run_queue(incoming=True, deferred=True, until=None)

    async def _flush_one(self, queue_id: str) -> int:
        message = await self._store.load(queue_id)
        if message is None or message.state not in (State.INCOMING, State.DEFERRED):
            return 0
        return self._take_up(message)

    def _take_up(self, message: QueuedMessage) -> int:
        if message.queue_id in self._schedule.active or not self._schedule.has_room():
            return 0
        self._schedule.activate(message, flushed=True)
        return 1

    async def operate(
        self, operation: str, ids: tuple[str, ...], queues: frozenset[str] = DEFAULT_QUEUES
    ) -> AsyncIterator[list[str]]:
        """Carry an operation out on some messages, or on ("ALL",); the ids it was done to, page by page."""
        if ids != ("ALL",):
            found = [message for queue_id in ids if (message := await self._store.load(queue_id)) is not None]
            yield await self._operate(operation, found, queues)
            return
        after: tuple[str, int] | None = ("", -1)
        while after is not None:
            page, after = await self._store.page(after)
            yield await self._operate(operation, page, queues)

    async def _operate(self, operation: str, messages: list[QueuedMessage], queues: frozenset[str]) -> list[str]:
        """One batch, one commit. No message of it can become active meanwhile."""
        feeder = self._schedule.feeder
        wanted = [
            m for m in messages if (queue := self.queue_of(m)) in queues and fate_of(operation, m, queue) is not None
        ]
        feeder.freeze(m.queue_id for m in wanted)
        try:
            ready = [m for message in wanted if (m := await self._carry_out(operation, message)) is not None]
            await self._schedule.recorder.commit()
        finally:
            feeder.thaw(m.queue_id for m in wanted)
        now = self._schedule.clock.now()
        for m in ready:
            self._journal.record(
                JournalEntry(
                    now, _STEPS[operation], m.queue_id, m.message_id, "", m.envelope.sender, "", DONE[operation]
                )
            )
        if operation in ("release", "requeue"):
            for m in ready:
                if m.queue_id not in self._schedule.active:
                    feeder.reconsider(m.queue_id)
            if ready:
                feeder.run_queue(incoming=True, deferred=True, until=None)
        return [m.queue_id for m in ready]

    async def _carry_out(self, operation: str, message: QueuedMessage) -> QueuedMessage | None:
        """Set one message's fate on its way to the disk; None when it is gone, or there is nothing to do any more."""
        active = self._schedule.active.get(message.queue_id)
        if active is not None and active.concluding:
            await self._schedule.concluded(message.queue_id)
            fresh = await self._store.load(message.queue_id)
            if fresh is None:
                return None  # it was just delivered
            message, active = fresh, None
        # A page was read some time ago: what was delivered since is gone, and its fate changes nothing.
        fate = fate_of(operation, message, self.queue_of(message))
        if fate is None:
            return None
        if active is not None and operation in WISHES:
            self._schedule.heed(WISHES[operation], fate)
        else:
            self._schedule.recorder.add(fate)
        return message

    async def cat(self, queue_id: str) -> dict[str, Any] | None:
        """Everything about one message, for postcat -q."""
        message = await self._store.load(queue_id)
        if message is None:
            return None
        content = await self._store.load_content(queue_id)
        if content is None or content.size > CAT_LIMIT:
            return None
        body = await content.body.read()
        return {
            "queue": self.queue_of(message),
            "records": envelope_records(message),
            "header": content.header.decode("latin-1"),
            "body": body.decode("latin-1"),
        }

    def pause(self) -> Callable[[], None]:
        """Start no deliveries; call what is returned to go on."""
        self._pauses += 1
        self._schedule.pause()

        def go_on() -> None:
            self._pauses -= 1
            if not self._pauses:
                self._schedule.go_on()

        return go_on


async def serve_control(stream: Stream, control: QueueControl, permits: Callable[[str], bool], user: str) -> None:
    """Answer one connection. `permits` says whether its caller has a right: "mailq", "flush" or "owner"."""
    try:
        await _serve(stream, control, permits, user)
    except (StreamClosed, StreamTimeout):
        pass  # the client went away: nothing is open that would have to be undone
    except ControlProtocolError as error:
        stream.write(encode_line({"error": str(error)}))
    finally:
        stream.close()


REFUSALS = {
    "mailq": "User {user} is not allowed to view the mail queue",
    "flush": "User {user} is not allowed to flush the mail queue",
    "owner": "use of this command is reserved for the superuser",
}


async def _serve(stream: Stream, control: QueueControl, permits: Callable[[str], bool], user: str) -> None:
    reader = LineReader()
    lines: list[bytes] = []
    while not lines:
        data = await stream.read(REQUEST_TIMEOUT)
        if not data:
            return
        lines = reader.receive_data(data)
    request = parse_request(lines[0])
    right = NEEDS.get(request.do, "owner")
    if not permits(right):
        stream.write(encode_line({"error": REFUSALS[right].format(user=user)}))
        return
    count = 0
    async for answers in _answers(request, control, stream):
        count += len(answers)
        stream.write(b"".join(map(encode_line, answers)))
        await stream.drain(ANSWER_TIMEOUT)
    stream.write(encode_line({"end": count}))
    await stream.drain(ANSWER_TIMEOUT)


async def _answers(
    request: ControlRequest, control: QueueControl, stream: Stream
) -> AsyncIterator[list[dict[str, Any]]]:
    if request.do == "list":
        async for page in control.rows():
            yield page
    elif request.do == "flush":
        await control.flush(request.ids, request.site)
        if not request.ids and not request.site:
            control.pickup.set()
    elif request.do == "pickup":
        control.pickup.set()
    elif request.do == "adopt":
        await control.adopt()
    elif request.do == "cat":
        for queue_id in request.ids:
            found = await control.cat(queue_id)
            if found is not None:
                yield [{"cat": found}]
    elif request.do == "pause":
        go_on = control.pause()
        try:
            yield [{"done": "pause"}]
            while await stream.read(ANSWER_TIMEOUT):
                pass
        finally:
            go_on()
    else:
        queues = frozenset(request.queues) or DEFAULT_QUEUES
        async for done in control.operate(request.do, request.ids, queues):
            yield [{"done": queue_id} for queue_id in done]
            await asyncio.sleep(0)
