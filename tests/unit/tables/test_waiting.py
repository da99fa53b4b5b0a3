"""Threads that cannot await ask tables through one loop."""

import asyncio
import threading

from posthouse.tables.table import TableRetry
from posthouse.tables.waiting import wait


async def where() -> tuple[int, int]:
    await asyncio.sleep(0)
    return id(asyncio.get_running_loop()), threading.get_ident()


def in_threads(count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda: found.append(wait(where()))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_all_threads_share_one_loop_and_its_thread() -> None:
    found = in_threads(4)
    assert len(found) == 4 and len(set(found)) == 1
    assert found[0][1] != threading.get_ident()
    assert wait(where())[1] == threading.get_ident()


def test_what_a_lookup_raises_comes_to_its_thread() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise TableRetry("no answer")

    raised: list[BaseException] = []

    def ask() -> None:
        try:
            wait(fail())
        except TableRetry as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert [str(error) for error in raised] == ["no answer"]
