"""Lookups where nothing can be awaited: in the keeper's children and in threads, which ask one thing after the other.

Each such thread has an event loop of its own, kept for the connections of network tables. Under a running loop only
local tables can be asked so; any other raises TableRetry.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from posthouse.tables.table import drive

T = TypeVar("T")

_own = threading.local()


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns or raises."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop: asyncio.AbstractEventLoop | None = getattr(_own, "loop", None)
        if loop is None:
            loop = _own.loop = asyncio.new_event_loop()
        return loop.run_until_complete(coroutine)
    return drive(coroutine)
