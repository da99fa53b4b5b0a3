"""Lookups where nothing can be awaited: in the keeper's children and in threads, which ask one thing after the other.

Tables belong to one event loop: their connections, and their files' handles. All threads of a process therefore ask
through one loop, which has a thread of its own; lookups of several threads go on side by side there. A main thread
without a loop (a command's) runs its own. Under a running loop only local tables can be asked so; any other raises
TableRetry.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from posthouse.tables.table import drive

T = TypeVar("T")

_own = threading.local()
_lock = threading.Lock()
_shared: tuple[int, asyncio.AbstractEventLoop] | None = None
"""The process that has it, and the loop: after a fork the thread is gone."""


def _shared_loop() -> asyncio.AbstractEventLoop:
    global _shared
    with _lock:
        if _shared is None or _shared[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="tables", daemon=True).start()
            _shared = os.getpid(), loop
        return _shared[1]


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns or raises."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is not threading.main_thread():
            return asyncio.run_coroutine_threadsafe(coroutine, _shared_loop()).result()
        loop: asyncio.AbstractEventLoop | None = getattr(_own, "loop", None)
        if loop is None:
            loop = _own.loop = asyncio.new_event_loop()
        return loop.run_until_complete(coroutine)
    return drive(coroutine)
