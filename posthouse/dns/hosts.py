"""/etc/hosts: names and addresses that need no name server.

The file is looked at again at most once a second and read again when it changed.

Standards: hosts(5).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

HOSTS = "/etc/hosts"
RECHECK_INTERVAL = 1.0
"""Seconds between two looks at the file's state."""


def parse_hosts(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The first name of each address, and the addresses of each name (lower case). Bad lines are skipped."""
    names: dict[str, str] = {}
    addresses: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = str(ip_address(words[0].partition("%")[0]))
        except ValueError:
            continue
        names.setdefault(address, words[1])
        for name in words[1:]:
            key = name.lower()
            if address not in addresses.get(key, ()):
                addresses[key] = (*addresses.get(key, ()), address)
    return names, addresses


@dataclass(slots=True)
class HostsFile:
    """The file as it stands now."""

    path: str = HOSTS
    clock: Callable[[], float] = time.monotonic
    _state: tuple[int, int, int] | None = field(default=None, init=False)
    _checked: float = field(default=float("-inf"), init=False)
    _names: dict[str, str] = field(default_factory=dict, init=False)
    _addresses: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)

    def name_of(self, address: str) -> str:
        """The first name of an address, or ""."""
        self._refresh()
        return self._names.get(address, "")

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, in the file's order."""
        self._refresh()
        return self._addresses.get(name.lower().removesuffix("."), ())

    def _refresh(self) -> None:
        now = self.clock()
        if now - self._checked < RECHECK_INTERVAL:
            return
        self._checked = now
        try:
            stat = os.stat(self.path)
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if state != self._state:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self._names, self._addresses = parse_hosts(file.read())
                self._state = state
        except OSError:
            self._state = None
            self._names, self._addresses = {}, {}
