"""Where warnings about lookup tables go.

A table warns when it is opened (a bad rule is skipped, a database is older than its source) and when it
cannot be asked. A service sends these to its log, a command to standard error; each says so once, at start.
Until then they go to standard error. Where several services share a process, what is opened speaking() for one of them
warns in its name for good.
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


_speaker: Callable[[str], None] | None = None
_complainer: Callable[[str], None] | None = None


class speaking:  # a verb: `with speaking(log.warning):`
    """What is opened within warns through `listener`, now and later; that it cannot be opened is told to `errors`.
    (postmap -q does without contextlib.)"""

    def __init__(self, listener: Callable[[str], None], errors: Callable[[str], None] | None = None) -> None:
        self._listener = listener
        self._errors = errors
        self._before: tuple[Callable[[str], None] | None, Callable[[str], None] | None] = (None, None)

    def __enter__(self) -> None:
        global _speaker, _complainer
        self._before = _speaker, _complainer
        _speaker, _complainer = self._listener, self._errors

    def __exit__(self, *exception: object) -> None:
        global _speaker, _complainer
        _speaker, _complainer = self._before


def speaker() -> Callable[[str], None]:
    """Through which function what is opened now is to warn."""
    return warn if _speaker is None else _speaker


_complained: set[tuple[Callable[[str], None], str]] = set()


def complain(trouble: str, error: str) -> None:
    """A table cannot be opened: an error where somebody listens for them, else a warning that says what follows."""
    if _complainer is not None:
        if (_complainer, error) not in _complained:  # once for a program, however many of its parts open the table
            _complained.add((_complainer, error))
            _complainer(error)
    else:
        warn(trouble)


def warn(text: str) -> None:
    """Say something an operator should look at."""
    (_listener if _speaker is None else _speaker)(text)
