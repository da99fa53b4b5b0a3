"""The places of a `pass` line."""

import asyncio

from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import Address
from posthouse.service.postscreen import NoServer, PassServer


class Sessions:
    """Sessions that last until they are let go."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.served = 0

    async def serve(self, stream: TcpStream, peer: Address, local: Address) -> None:
        self.served += 1
        await self.over.wait()


async def test_a_place_is_free_again_when_its_session_is_over() -> None:
    sessions = Sessions()
    server = PassServer("smtpd", sessions, 1, print)  # type: ignore[arg-type]  # what is asked of one
    stream, _ = stream_pair()
    assert await server.admit()
    first = asyncio.create_task(server.serve(stream, stream.peer, stream.local))
    second = asyncio.create_task(server.admit())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    sessions.over.set()
    await first
    assert await second
    assert sessions.served == 1


async def test_without_a_limit_there_is_always_a_place() -> None:
    server = PassServer("smtpd", Sessions(), 0, print)  # type: ignore[arg-type]  # as above
    assert all([await server.admit() for _ in range(5)])


async def test_without_a_server_the_log_says_so() -> None:
    warnings: list[str] = []
    assert not await NoServer("nosuch", warnings.append).admit()
    assert warnings == ["cannot connect to service private/nosuch: No such file or directory"]


async def test_who_waits_too_long_is_told_of_and_turned_away() -> None:
    warnings: list[str] = []
    server = PassServer("smtpd", Sessions(), 1, warnings.append, patience=0.0)  # type: ignore[arg-type]  # as above
    assert await server.admit()
    assert not await server.admit()
    assert warnings == ["timeout sending connection to service private/smtpd"]
