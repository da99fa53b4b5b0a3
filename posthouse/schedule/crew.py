"""The tasks of one schedule: who started them ends them, and a part that breaks is started again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from posthouse.host.log import ProcessLog

RESTART_DELAY = 1.0
"""Seconds before a part that broke by a fault of ours is started again."""

Work = Coroutine[Any, Any, None]


class Crew:
    """Owner of tasks. `over` is set when none is to be started again."""

    def __init__(self, log: ProcessLog) -> None:
        self.over = False
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._services: dict[asyncio.Task[None], Callable[[], Work]] = {}

    def spawn(self, work: Work, again: Callable[[], Work] | None = None) -> None:
        """Run it; `again` makes it anew when it breaks."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        if again is not None:
            self._services[task] = again
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        again = self._services.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours. Its message is deferred as if nobody had answered; the log has to say why.
            self._log.error(f"{type(error).__name__}: {error}")
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a part of the schedule broke", "exception": error, "task": task})
            if again is not None:
                loop.call_later(RESTART_DELAY, self._start_again, again)

    def _start_again(self, again: Callable[[], Work]) -> None:
        if not self.over:
            self.spawn(again(), again)

    async def end(self) -> None:
        """Cancel every task and wait for its end."""
        self.over = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
