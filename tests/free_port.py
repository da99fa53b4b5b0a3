"""Ports for servers that a test starts.

They lie below those that the system gives to clients (/proc/sys/net/ipv4/ip_local_port_range): of those, any connection
may take one between the moment it is found free and the moment its server listens. Each worker of a parallel run has a
part of its own, and no process is given the same port twice before all others were.
"""

import itertools
import os
import random
import re
import socket

FIRST, LAST = 11200, 24000
WORKERS = 8
"""Parts of the range: gw0 to gw6, and what does not run under a worker."""


def _part() -> range:
    number = int((re.findall(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", "")) or ["7"])[0]) % WORKERS
    size = (LAST - FIRST) // WORKERS
    return range(FIRST + number * size, FIRST + (number + 1) * size)


_PORTS = _part()
_NEXT = itertools.count(random.SystemRandom().randrange(len(_PORTS)))
"""Another run on the same machine begins elsewhere."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    for number in itertools.islice(_NEXT, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port in {_PORTS}")


def free_address() -> str:
    """An address of loopback for a name server, which listens on port 53."""
    port = free_port()
    return f"127.53.{port >> 8}.{port & 255}"
