"""The second half of a session in a child that is the mailbox's owner: plain bytes, spliced both ways.

This process keeps the socket, TLS and the login; the child runs a Pop3Session on its end of a
socket pair, sends the login's reply, holds the deadlines of the client and logs the end
(session.log_alone). When no child can be had, the reply to the login is ours: -ERR [SYS/TEMP].
"""

import asyncio
from collections.abc import Awaitable, Callable

from posthouse.access.pop3.service import LoggedIn, Serve, Served
from posthouse.access.pop3.settings import Pop3dSettings
from posthouse.host.log import ProcessLog
from posthouse.net.stream import Stream, StreamClosed, StreamTimeout
from posthouse.wire.pop3.reply import SYS_TEMP, error

NO_CHILD = error("The maildrop cannot be opened now", SYS_TEMP)
LAST_WORDS = 5.0
"""Seconds the child has to answer what a client sent that then said no more: a QUIT, most likely."""

StartChild = Callable[[LoggedIn], Awaitable[Stream | None]]
"""From a login to a stream whose other end runs its Pop3Session, or None: the account is served in this process.
Raises OSError, StreamClosed or StreamTimeout when the child cannot be had."""


def serve_elsewhere(start: StartChild, here: Serve, settings: Pop3dSettings, log: ProcessLog) -> Serve:
    """The Serve of a system where some accounts belong to other users."""

    async def serve(stream: Stream, logged_in: LoggedIn, pending: bytes) -> Served:
        try:
            child = await start(logged_in)
        except (OSError, StreamClosed, StreamTimeout) as failure:
            log.session(logged_in.number).warning(
                f"{logged_in.client}: no process for the maildrop of <{logged_in.login}>: {failure}"
            )
            stream.write(bytes(NO_CHILD))
            return Served()
        if child is None:
            return await here(stream, logged_in, pending)
        child.write(pending)
        try:
            await splice(stream, child, float(settings.pop3d_timeout))
        finally:
            child.close()
        return Served()

    return serve


async def splice(client: Stream, child: Stream, timeout: float) -> None:
    """Carry bytes until the child ends. The child enforces `timeout` on the client; twice that long without a word
    from it means that it hangs."""
    async with asyncio.TaskGroup() as group:
        upward = group.create_task(_upward(client, child, timeout))
        try:
            while data := await child.read(2 * timeout):
                client.write(data)
                await client.drain(timeout)
        except (StreamClosed, StreamTimeout):
            pass  # a client that is gone or takes nothing, or a child that hangs: the same end
        finally:
            upward.cancel()


async def _upward(client: Stream, child: Stream, timeout: float) -> None:
    while True:
        try:
            data = await client.read(timeout)
        except StreamTimeout:
            continue  # perhaps it still takes a long message: the child knows
        except StreamClosed:
            break
        if not data:
            await asyncio.sleep(LAST_WORDS)
            break
        child.write(data)
        try:
            await child.drain(timeout)
        except (StreamClosed, StreamTimeout):
            break
    child.close()  # which the child reads as a lost connection
