"""How long a client waits for the 250 after its final dot, when 20 send at once."""

import asyncio
import time

from bench.peer import Peer, PeerFailed
from bench.relay import MESSAGE_SIZE, SESSIONS, Sink

BODY = (b"x" * 70 + b"\r\n") * (MESSAGE_SIZE // 72)
TIMEOUT = 60.0


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            if line[:1] not in (b"2", b"3"):
                raise PeerFailed(f"the server said {line!r}")
            return line


async def _session(port: int, count: int, waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await _reply(reader)
        for line in (b"EHLO source.example\r\n",):
            writer.write(line)
            await _reply(reader)
        for _ in range(count):
            for line in (b"MAIL FROM:<sender@source.example>\r\n", b"RCPT TO:<user@far.example>\r\n", b"DATA\r\n"):
                writer.write(line)
                await _reply(reader)
            writer.write(b"Subject: bench\r\n\r\n" + BODY + b".\r\n")
            start = time.perf_counter()
            await _reply(reader)
            waits.append(time.perf_counter() - start)
        writer.write(b"QUIT\r\n")
        await _reply(reader)
    finally:
        writer.close()


async def _all(port: int, messages: int) -> list[float]:
    waits: list[float] = []
    async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
        for _ in range(SESSIONS):
            group.create_task(_session(port, messages // SESSIONS, waits))
    return waits


def accept_latency(peer: Peer, messages: int) -> float:
    """Milliseconds: 99 of 100 messages had their 250 in that time, while the server relays them at once."""
    count = messages // SESSIONS * SESSIONS
    sink = Sink(peer.sink_port, count)
    try:
        waits = sorted(asyncio.run(_all(peer.port, messages)))
        sink.wait(TIMEOUT * 5)
    except* (OSError, TimeoutError, PeerFailed) as group:
        raise PeerFailed(str(group.exceptions[0])) from group
    finally:
        sink.close()
    return waits[len(waits) * 99 // 100 - 1] * 1000
