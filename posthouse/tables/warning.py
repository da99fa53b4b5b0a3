"""Where warnings about lookup tables go.

A table warns when it is opened (a bad rule is skipped, a database is older than its source) and when it
cannot be asked. A service sends these to its log, a command to standard error; each says so once, at start.
Until then they go to standard error.
"""

import sys
from collections.abc import Callable


def _to_standard_error(text: str) -> None:
    print(f"posthouse: warning: {text}", file=sys.stderr)


_listener: Callable[[str], None] = _to_standard_error


def send_warnings_to(listener: Callable[[str], None]) -> Callable[[str], None]:
    """From now on warnings go to this function, e.g. ProcessLog.warning. Gives the one before."""
    global _listener
    before, _listener = _listener, listener
    return before


def warn(text: str) -> None:
    """Say something an operator should look at."""
    _listener(text)
