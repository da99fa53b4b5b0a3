"""Two streams joined: what comes from one goes to the other, as slowly as the slower takes it.

The child behind the second stream keeps the timers of the dialogue; ours only notices a connection
that is dead on both sides.
"""

import asyncio

from posthouse.net.stream import Stream, StreamClosed, StreamTimeout

LAST_WORDS = 5.0
"""Seconds the far end has to answer a client that has said its last (LOGOUT and end of file in one packet)."""


async def splice(near: Stream, far: Stream, timeout: float) -> tuple[int, int]:
    """Until one end closes: octets carried to far, and to near. Both are closed then."""
    carried = [0, 0]

    async def pump(source: Stream, target: Stream, direction: int) -> None:
        while data := await source.read(timeout):
            carried[direction] += len(data)
            target.write(data)
            await target.drain(timeout)

    outward, homeward = asyncio.create_task(pump(near, far, 0)), asyncio.create_task(pump(far, near, 1))
    tasks = {outward, homeward}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if outward in done and outward.exception() is None:
            done, _ = await asyncio.wait(tasks, timeout=LAST_WORDS)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, StreamClosed | StreamTimeout):
                raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        near.close()
        far.close()
    return carried[0], carried[1]
