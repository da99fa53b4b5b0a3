"""Which host is asked, and how long connections are kept."""

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.tables.servers import CONNECTIONS, IDLE_SECONDS, RETRY_SECONDS, Host, ServerLost, ServerRefused, Servers


class Place:
    """Hosts that take or refuse connections, and what happened."""

    def __init__(self, *hosts: Host, retry: float = RETRY_SECONDS) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.dead: set[str] = set()
        self.faults: list[Exception] = []
        self.servers: Servers[str] = Servers(
            hosts, self.connect, self.closed.append, self.said.append,
            complain=lambda host, text: f"connect {host}: {text}", retry=retry,
            clock=lambda: self.now, choose=lambda some: some[0],
        )  # fmt: skip

    async def connect(self, host: Host) -> str:
        if host.name in self.dead:
            raise ServerLost("refused")
        self.opened.append(host.name)
        return f"{host.name}{len(self.opened)}"

    async def question(self, connection: str) -> str:
        if self.faults:
            raise self.faults.pop(0)
        return f"answer of {connection}"

    async def ask(self) -> str | None:
        return await self.servers.ask(self.question, lambda host, text: f"query {host}: {text}")


def inet(name: str) -> Host:
    return Host(name, name)


async def test_a_connection_is_kept_for_the_next_lookup() -> None:
    place = Place(inet("a"))
    assert [await place.ask(), await place.ask()] == ["answer of a1", "answer of a1"]
    assert place.opened == ["a"]


async def test_sockets_come_before_addresses() -> None:
    place = Place(inet("a"), Host("unix:/s", "/s", local=True))
    assert await place.ask() == "answer of /s1"


async def test_a_dead_host_gives_way_to_the_next_and_is_left_alone_for_a_while() -> None:
    place = Place(inet("a"), inet("b"))
    place.dead.add("a")
    assert await place.ask() == "answer of b1"
    assert place.said == ["connect a: refused"]
    place.servers.close()
    place.dead.clear()
    assert await place.ask() == "answer of b2"
    place.servers.close()
    place.now += RETRY_SECONDS
    assert await place.ask() == "answer of a3"


async def test_nobody_answers_when_all_are_dead() -> None:
    place = Place(inet("a"), inet("b"))
    place.dead |= {"a", "b"}
    assert await place.ask() is None
    assert place.said == ["connect a: refused", "connect b: refused"]
    assert await place.ask() is None
    assert len(place.said) == 2


async def test_a_kept_connection_that_broke_is_replaced_silently_once() -> None:
    place = Place(inet("a"))
    await place.ask()
    place.faults = [ServerLost("gone away")]
    assert await place.ask() == "answer of a2"
    assert place.said == []
    assert place.closed == ["a1"]


async def test_a_new_connection_that_breaks_puts_the_host_aside() -> None:
    place = Place(inet("a"))
    place.faults = [ServerLost("gone away")]
    assert await place.ask() is None
    assert place.said == ["query a: gone away"]


async def test_a_refused_query_goes_to_the_next_host() -> None:
    place = Place(inet("a"), inet("b"))
    place.faults = [ServerRefused("no such column")]
    assert await place.ask() == "answer of b2"
    assert place.said == ["query a: no such column"]


async def test_without_back_off_a_lookup_tries_once_and_the_next_one_again() -> None:
    place = Place(inet("a"), retry=0)
    place.dead.add("a")
    assert await place.ask() is None
    place.dead.clear()
    assert await place.ask() == "answer of a1"


async def test_an_idle_connection_is_closed() -> None:
    place = Place(inet("a"))
    await place.ask()
    place.now += IDLE_SECONDS
    assert await place.ask() == "answer of a2"
    assert place.closed == ["a1"]


async def test_lookups_at_once_share_a_bounded_number_of_connections() -> None:
    place = Place(inet("a"))
    go = asyncio.Event()
    waiting: list[str] = []

    async def slow(connection: str) -> str:
        waiting.append(connection)
        await go.wait()
        return connection

    tasks = [asyncio.create_task(place.servers.ask(slow, lambda host, text: text)) for _ in range(CONNECTIONS + 3)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(waiting) == CONNECTIONS
    go.set()
    await asyncio.gather(*tasks)
    assert len(place.opened) == CONNECTIONS


async def test_a_lookup_that_is_cancelled_closes_its_connection() -> None:
    place = Place(inet("a"))
    started = asyncio.Event()

    async def slow(connection: str) -> str:
        started.set()
        await asyncio.Event().wait()
        return connection

    task = asyncio.create_task(place.servers.ask(slow, lambda host, text: text))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.closed == ["a1"]


def test_every_loop_has_connections_of_its_own() -> None:
    place = Place(inet("a"))
    assert [asyncio.run(place.ask()) for _ in range(2)] == ["answer of a1", "answer of a2"]


def test_choice_is_among_hosts_that_are_up() -> None:
    seen: list[int] = []

    def choose(some: Sequence[Host]) -> Host:
        seen.append(len(some))
        return some[-1]

    async def connect(host: Host) -> str:
        if host.name == "c":
            raise ServerRefused("no")
        return host.name

    servers = Servers([inet("a"), inet("b"), inet("c")], connect, lambda _: None, lambda _: None,
                      complain=lambda host, text: text, choose=choose)  # fmt: skip

    async def question(connection: str) -> str:
        return connection

    assert asyncio.run(servers.ask(question, lambda host, text: text)) == "b"
    assert seen == [3, 2]
