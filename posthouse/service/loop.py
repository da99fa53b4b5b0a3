"""A worker's process: the event loop, the log's batches, and what the master says."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from posthouse.config.error import ConfigError
from posthouse.host.log import FileSink, SyslogSink
from posthouse.service.channel import ADOPT, FATAL, LEFT, LOG, READY, RETIRE, STOP
from posthouse.service.child import Inheritance
from posthouse.tables.table import TableError
from posthouse.tables.warning import send_warnings_to

LOG_DELAY = 0.01
"""Seconds in which log lines gather to a batch."""

RETIRE_GRACE = 120.0
"""Seconds that a retired worker has to finish sessions and attempts after a reload."""

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread gives way: the queue's writer must not wait 5 ms for the loop."""

GARBAGE_THRESHOLD = 10_000
"""Objects made before cycles among them are looked for: at the interpreter's 700 that took 5 % of the time of a relayed
message, and hardly anything here is a cycle."""


class Work(Protocol):
    """What a worker's process runs."""

    async def start(self) -> None:
        """Begin. Raises OSError, ConfigError."""

    async def adopt(self) -> None:
        """A brother is gone: take over what it left."""

    def leave(self) -> None:
        """Accept no more."""

    async def retire(self, grace: float) -> None:
        """After leave(): finish, stop."""

    async def stop(self, grace: float = ...) -> None:
        """Stop now."""


Make = Callable[[Callable[[], None]], Work]
"""Makes the work; what it is given ends the process at once, when it is broken beyond mending."""

BROKEN = b"broken"
"""Said by the work itself, not by the master."""


def run_worker(inheritance: Inheritance, sink: FileSink | SyslogSink, make: Make) -> int:
    """Make the work as root, drop root (make does), and run it until the master says otherwise."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_run(inheritance, sink, make))
    finally:
        sink.flush()
        loop.close()


async def _run(inheritance: Inheritance, sink: FileSink | SyslogSink, make: Make) -> int:
    from posthouse.service import maillog

    loop = asyncio.get_running_loop()
    channel = inheritance.channel
    log = maillog.program_log(inheritance.configuration, sink, "master")
    send_warnings_to(log.warning)
    loop.set_exception_handler(lambda _, context: _defect(log.error, context))
    said: asyncio.Queue[bytes] = asyncio.Queue()
    try:
        work = make(lambda: said.put_nowait(BROKEN))
        await work.start()
    except (ConfigError, TableError, OSError) as error:
        channel.send(FATAL + str(error).encode("utf-8", "replace"))
        return 1
    gc.collect()
    gc.freeze()  # configuration and tables stay: they need not be looked at again
    gc.set_threshold(GARBAGE_THRESHOLD)

    def hear() -> None:
        message = channel.receive()
        if message is None:
            loop.remove_reader(channel.socket)
            said.put_nowait(b"")
        elif message.data == LOG and message.descriptor is not None and isinstance(sink, FileSink):
            sink.flush()
            os.close(sink.descriptor)
            sink.descriptor = message.descriptor
        else:
            said.put_nowait(message.data)

    channel.socket.setblocking(False)
    loop.add_reader(channel.socket, hear)
    if isinstance(sink, FileSink):
        sink.on_waiting = _flush_later(loop, sink)
        sink.flush()
    channel.send(READY)
    retiring: asyncio.Task[None] | None = None
    try:
        while True:
            hearing = loop.create_task(said.get())
            waiting: set[asyncio.Task[bytes] | asyncio.Task[None]] = {hearing}
            if retiring is not None:
                waiting.add(retiring)
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if hearing in done and hearing.result() == BROKEN:
                return (
                    1  # nothing is waited for: a session without a reply tries again, and the master starts a successor
                )
            if retiring is not None and retiring in done:
                hearing.cancel()
                return 0
            word = hearing.result()
            if word == RETIRE and retiring is None:
                work.leave()
                channel.send(LEFT)
                retiring = loop.create_task(work.retire(RETIRE_GRACE))
            elif word == ADOPT and retiring is None:
                await work.adopt()
            elif word in (STOP, b""):
                if retiring is not None:
                    retiring.cancel()
                await work.stop(1.0)
                return 0
    finally:
        if isinstance(sink, FileSink):
            sink.on_waiting = None
        sink.flush()


def _flush_later(loop: asyncio.AbstractEventLoop, sink: FileSink) -> Callable[[], None]:
    """What gives a batch of log lines its end. (A look every 10 ms took each idle worker half a minute of an hour.)"""
    own = threading.get_ident()

    def later() -> None:
        loop.call_later(LOG_DELAY, sink.flush)

    def waiting() -> None:
        if threading.get_ident() == own:
            later()
        else:
            loop.call_soon_threadsafe(later)

    return waiting


def _defect(say: Callable[[str], None], context: dict[str, object]) -> None:
    """A fault of ours that no session or delivery caught: one line in the log, the whole on standard error."""
    import traceback

    error = context.get("exception")
    say(f"{context.get('message')}: {type(error).__name__}: {error}")
    if isinstance(error, BaseException):
        traceback.print_exception(error)
