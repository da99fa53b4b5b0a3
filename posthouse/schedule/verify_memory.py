"""address_verify_map on disk: a file of lines that only grows, and is rewritten when the cache is cleaned.

    ["joe@example.com", "deliverable", "250 2.1.5 Ok", 1700000000.0, 1700000000.0]

The parameter names a Postfix table (btree:/var/lib/postfix/verify_cache); ours lies beside it, with
".posthouse" behind the name, since its format is another. Nothing is synced: what a crash takes is
probed again. Workers share the file and read it when they start.
"""

import fcntl
import json
import os
from collections.abc import Callable

from posthouse.config.error import ConfigError
from posthouse.policy.restrictions.verify import ProbeStatus
from posthouse.schedule.verify import Known, Memory, NoMemory

SUFFIX = ".posthouse"
LINE_LIMIT = 8192
"""Bytes of a line: an address and a server's words. A longer one is not kept."""
_STATUSES = {status.value: status for status in ProbeStatus if status is not ProbeStatus.PENDING}


def encode_known(address: str, known: Known) -> bytes:
    """One line."""
    return json.dumps([address, known.status.value, known.text, known.updated, known.probed]).encode() + b"\n"


def parse_known(line: bytes) -> tuple[str, Known] | None:
    """What a line says; None for one that is torn or none of ours."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match value:
        case [str(address), str(word), str(text), int() | float() as updated, int() | float() as probed]:
            status = _STATUSES.get(word)
            if status is not None:
                return address, Known(status, text, float(updated), float(probed))
    return None


class FileMemory:
    """One file."""

    def __init__(self, path: str, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._descriptor = -1

    def load(self) -> dict[str, Known]:
        """All entries; an unreadable file is as good as none, and a warning says so."""
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with open(self._path, "rb") as file:
                entries: dict[str, Known] = {}
                for line in file:
                    found = parse_known(line) if len(line) <= LINE_LIMIT else None
                    if found is not None:
                        entries.pop(found[0], None)
                        entries[found[0]] = found[1]
                return entries
        except OSError as error:
            self._trouble(error)
            return {}

    def add(self, address: str, known: Known) -> None:
        """Append."""
        line = encode_known(address, known)
        if self._descriptor >= 0 and len(line) <= LINE_LIMIT:
            self._write(lambda: os.write(self._descriptor, line))

    def rewrite(self, entries: dict[str, Known]) -> None:
        """In place, under a lock: other workers append to this very file."""
        if self._descriptor < 0:
            return
        data = b"".join(encode_known(address, known) for address, known in entries.items())

        def write() -> None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                os.ftruncate(self._descriptor, 0)
                os.write(self._descriptor, data)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

        self._write(write)

    def _write(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BlockingIOError:
            pass  # another worker cleans
        except OSError as error:
            self._trouble(error)

    def _trouble(self, error: OSError) -> None:
        self._warn(f"cannot keep the address verification cache in {self._path}: {error.strerror}")
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_memory(value: str, warn: Callable[[str], None]) -> Memory:
    """address_verify_map: "type:/path", or "" for none. Raises ConfigError for a table without a path."""
    name = value.strip().removeprefix("proxy:")
    if not name:
        return NoMemory()
    _, colon, path = name.partition(":")
    if not colon or not path.startswith("/"):
        raise ConfigError(f"parameter address_verify_map: {value}: need type:/absolute/path")
    return FileMemory(path + SUFFIX, warn)
