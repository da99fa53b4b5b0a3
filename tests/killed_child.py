"""Work in a child process that is killed at a chosen step: what crash tests of commands go by."""

import os
from collections.abc import Callable

Step = Callable[[str], None]


def killed_at(at: int, work: Callable[[Step], None]) -> bool:
    """Do the work in a child that dies at its step number `at`; False when it came to its end before."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    count = 0

    def step(_: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            os._exit(9)

    try:
        work(step)
    finally:
        os._exit(0)
