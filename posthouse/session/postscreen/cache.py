"""postscreen_cache_map on disk: which client passed what, until when.

    192.0.2.1<TAB>1795609009;1;0;0;0
    _LAST_CACHE_CLEANUP_COMPLETED_<TAB>1795522429

The parameter names a Postfix table (btree:/var/lib/postfix/postscreen_cache); ours lies beside it, with ".posthouse"
behind the name: a file of lines that only grows, and is written anew when the cache is cleaned. The last line of a
client counts. Nothing is synced: who is forgotten in a crash is tested again. Workers share the file, and read what the
others appended before they look a client up.
"""

import fcntl
import os
from collections.abc import Callable
from typing import Protocol

from posthouse.config.error import ConfigError
from posthouse.session.postscreen.passes import EnabledTests, parse_passes

SUFFIX = ".posthouse"
CLEANED = "_LAST_CACHE_CLEANUP_COMPLETED_"
"""The key whose value is when the cache was last cleaned, as in Postfix's cache."""
LINE_LIMIT = 200
"""Bytes of a line: an address and five numbers."""
ENTRY_LIMIT = 200_000
"""Clients remembered at once, some 50 MB; the one that was written longest ago goes first."""
READ_SIZE = 1 << 20
"""Bytes of what others appended that are taken up at once."""


def format_line(address: str, text: str) -> bytes:
    """One line."""
    return f"{address}\t{text}\n".encode("ascii", "replace")


def parse_line(line: bytes) -> tuple[str, str] | None:
    """What a line says; None for one that is torn or none of ours."""
    if len(line) > LINE_LIMIT or not line.isascii():
        return None
    address, tab, text = line.decode("ascii").partition("\t")
    if not tab or not address.isprintable() or parse_passes(text) is None:
        return None
    return address, text


class PassCache(Protocol):
    """Where passes outlive the process."""

    title: str
    """The parameter's value, for the log."""

    def get(self, address: str) -> str | None:
        """A client's line."""

    def put(self, address: str, text: str) -> None:
        """Keep one. Never raises: it is a cache."""

    def rewrite(self, keep: Callable[[str], bool]) -> tuple[int, int]:
        """Drop what is not to be kept; gives (retained, dropped)."""


class NoCache:
    """postscreen_cache_map is empty: nobody is remembered."""

    title = ""

    def get(self, address: str) -> str | None:
        """Nobody."""
        return None

    def put(self, address: str, text: str) -> None:
        """Forgotten."""

    def rewrite(self, keep: Callable[[str], bool]) -> tuple[int, int]:
        """Nothing to do."""
        return 0, 0


class FileCache:
    """One file, and all of it in memory."""

    def __init__(self, title: str, path: str, warn: Callable[[str], None]) -> None:
        self.title = title
        self._path = path
        self._warn = warn
        self._descriptor = -1
        self._opened = False
        self._read = 0
        """Bytes of the file that are in memory."""
        self._rest = b""
        self._entries: dict[str, str] = {}

    def get(self, address: str) -> str | None:
        """A client's line, as this or another worker wrote it last."""
        self._catch_up()
        return self._entries.get(address)

    def put(self, address: str, text: str) -> None:
        """Append."""
        self._catch_up()
        self._keep(address, text)
        if self._descriptor >= 0:
            try:
                os.write(self._descriptor, format_line(address, text))  # read back with what others append meanwhile
            except OSError as error:
                self._trouble(error)

    def rewrite(self, keep: Callable[[str], bool]) -> tuple[int, int]:
        """In place, under a lock: other workers append to this very file."""
        self._catch_up()
        before = len(self._entries)
        self._entries = {a: text for a, text in self._entries.items() if a == CLEANED or keep(text)}
        marks = int(CLEANED in self._entries)
        if self._descriptor >= 0:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    os.ftruncate(self._descriptor, 0)
                    self._rest = b""
                    lines = [format_line(address, text) for address, text in self._entries.items()]
                    self._read = os.write(self._descriptor, b"".join(lines)) if lines else 0
                finally:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            except BlockingIOError:
                pass  # another worker cleans
            except OSError as error:
                self._trouble(error)
        return len(self._entries) - marks, before - len(self._entries)

    def _keep(self, address: str, text: str) -> None:
        self._entries.pop(address, None)
        while len(self._entries) >= ENTRY_LIMIT:
            del self._entries[next(iter(self._entries))]
        self._entries[address] = text

    def _catch_up(self) -> None:
        """Take up what came since."""
        if not self._opened:
            self._opened = True
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as error:
                self._trouble(error)
        if self._descriptor < 0:
            return
        try:
            size = os.fstat(self._descriptor).st_size
            if size == self._read:
                return
            if size < self._read:  # written anew by another worker
                self._read, self._rest = 0, b""
                self._entries.clear()
            while chunk := os.pread(self._descriptor, READ_SIZE, self._read):
                self._read += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self._rest = self._rest[-LINE_LIMIT:]
                for line in lines:
                    found = parse_line(line)
                    if found is not None:
                        self._keep(*found)
        except OSError as error:
            self._trouble(error)

    def _trouble(self, error: OSError) -> None:
        self._warn(f"cannot keep the postscreen cache in {self._path}: {error.strerror}")
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_cache(value: str, warn: Callable[[str], None]) -> PassCache:
    """postscreen_cache_map: "type:/path", or "" for none. Raises ConfigError for a table without a path."""
    title = value.strip()
    if not title:
        return NoCache()
    _, colon, path = title.removeprefix("proxy:").partition(":")
    if not colon or not path.startswith("/"):
        raise ConfigError(f"parameter postscreen_cache_map: {value}: need type:/absolute/path")
    return FileCache(title, path + SUFFIX, warn)


class Cleaning:
    """When a cache is cleaned, and how."""

    def __init__(self, cache: PassCache, tests: EnabledTests, interval: int, retention: int) -> None:
        self._cache = cache
        self._tests = tests
        self._interval = interval
        self._retention = retention
        self._next = 0.0

    def tend(self, now: float, log: Callable[[str], None]) -> None:
        """Clean when it is time; called with each connection, and says so as Postfix does."""
        if not self._interval or now < self._next or not self._cache.title:
            return
        last = self._cache.get(CLEANED)
        if last is not None and int(last.partition(";")[0]) + self._interval > now:
            self._next = float(last.partition(";")[0]) + self._interval
            return
        self._next = now + self._interval
        self._cache.put(CLEANED, str(int(now)))
        retained, dropped = self._cache.rewrite(lambda text: self._kept(text, now))
        log(f"cache {self._cache.title} full cleanup: retained={retained} dropped={dropped} entries")

    def _kept(self, text: str, now: float) -> bool:
        until = parse_passes(text)
        return until is not None and not self._tests.outlived(until, now - self._retention)
