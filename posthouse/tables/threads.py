"""Threads for tables whose libraries block: SQLite's and OpenLDAP's. Their C code leaves the interpreter free.

The threads are few: each holds a lookup that waits for a disk or a server, and those that find none free wait.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 8
"""Lookups that may block at a time."""

_pool: ThreadPoolExecutor | None = None


async def in_thread(function: Callable[[], T]) -> T:
    """What the function returns or raises, from a thread."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(THREADS, thread_name_prefix="table")
    return await asyncio.get_running_loop().run_in_executor(_pool, function)
