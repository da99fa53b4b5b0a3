"""A program at a terminal, and somebody who types when it has asked."""

import os
import pty
import select
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType

from tests.system.machine import eventually


class Terminal:
    """The program runs while the context lasts; what is left of it then is killed."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """argv[0] is the program's path."""
        self.said = b""
        self._ended: int | None = None
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            os.execve(argv[0], list(argv), dict(environment))

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._ended is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._descriptor)

    def _listen(self) -> None:
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:
                return  # Linux: the program has closed its side.
            if not chunk:
                return
            self.said += chunk

    def shows(self, text: str) -> None:
        """Wait for a text that was not there when the last one was found."""

        def found() -> bool:
            self._listen()
            return text.encode() in self.said

        try:
            eventually(found)
        except AssertionError:
            raise AssertionError(f"the terminal never showed {text}: {self.said[-3000:]!r}") from None
        self.said = self.said[self.said.index(text.encode()) + len(text) :]

    def types(self, keys: str) -> None:
        """Type."""
        os.write(self._descriptor, keys.encode())

    def status(self) -> int:
        """Wait for the program's end; its exit status."""

        def ended() -> bool:
            self._listen()
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._ended = os.waitstatus_to_exitcode(status)
            return bool(pid)

        eventually(ended, f"the program's end: {self.said[-3000:]!r}")
        assert self._ended is not None
        return self._ended
