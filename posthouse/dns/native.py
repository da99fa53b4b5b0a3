"""Names as the system resolves them (nsswitch.conf: /etc/hosts, mDNS, LDAP, …), for smtp_host_lookup = native.

getaddrinfo blocks, so it runs in a small pool of threads of its own; answers are kept for a short
time, because the C library tells no TTL.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from posthouse.dns.resolver import DnsRetry

THREADS = 8
"""Look-ups at once: one slow name must not hold up all mail, and a thread costs little."""
KEEP = 30.0
"""Seconds an answer is used again."""
ENTRY_LIMIT = 2_000
"""Answers kept; beyond that all are forgotten, which costs one look-up each."""

_NOT_FOUND = frozenset({socket.EAI_NONAME, socket.EAI_NODATA} if hasattr(socket, "EAI_NODATA") else {socket.EAI_NONAME})

GetAddresses = Callable[[str, int], tuple[str, ...]]


def system_addresses(name: str, family: int) -> tuple[str, ...]:
    """getaddrinfo(3), each address once. Raises socket.gaierror."""
    found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


class NativeLookup:
    """The system's resolver behind a pool of threads."""

    def __init__(
        self,
        look_up: GetAddresses = system_addresses,
        clock: Callable[[], float] = time.monotonic,
        threads: int = THREADS,
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="native-lookup")
        self._kept: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}

    async def addresses(self, name: str, family: int = socket.AF_UNSPEC) -> tuple[str, ...]:
        """The addresses of a name; () when it has none. Raises DnsRetry when the system cannot say now."""
        key = (name.lower(), family)
        kept = self._kept.get(key)
        now = self._clock()
        if kept is not None and kept[0] > now:
            return kept[1]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._look_up, name, family)
        except socket.gaierror as error:
            if error.errno not in _NOT_FOUND:
                raise DnsRetry(f"unable to look up host {name}: {error.strerror}") from error
            found = ()
        except UnicodeError:
            found = ()
        if len(self._kept) >= ENTRY_LIMIT:
            self._kept.clear()
        self._kept[key] = (now + KEEP, found)
        return found

    def close(self) -> None:
        """Start no more look-ups; those that run end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
