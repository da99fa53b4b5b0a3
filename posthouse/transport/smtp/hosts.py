"""From a nexthop to the addresses to try, in order: dns/mx.py's answer as the client needs it.

Standards: RFC 5321 section 5.1.
"""

import errno
import os
from dataclasses import dataclass

from posthouse.dns.mx import MxLookup
from posthouse.envelope.outcome import Dsn
from posthouse.transport.smtp.nexthop import Nexthop


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address to try."""

    host: str
    address: str
    """Numeric, or the path of a Unix socket."""
    port: int
    best: bool = True
    """Whether no better host exists: only such a connection is kept for the nexthop's next message."""
    authenticated: bool = False
    """Whether DNSSEC vouches for the way to this address."""
    canonical_name: str = ""
    """The name at the end of the host's CNAME chain, or ""."""
    canonical_domain: str = ""
    """The name at the end of the nexthop's own CNAME chain, or ""."""
    unix: str = ""
    """The path to open, or "". address is the path as it was configured."""

    @property
    def label(self) -> str:
        """ "host[address]", as in reasons."""
        return f"{self.host}[{self.address}]"

    @property
    def relay(self) -> str:
        """ "host[address]:port", as in relay= and "connect to"."""
        return self.label if self.unix else f"{self.label}:{self.port}"


def os_reason(error: OSError) -> str:
    """The system's words for why a connection was not made, without asyncio's wrapping."""
    number = error.errno
    if number is None or not 0 < number < 1000:
        return error.strerror or str(error) or "Connection refused"
    return os.strerror(number or errno.ECONNREFUSED)


async def find_candidates(
    nexthop: Nexthop, lookup: MxLookup, *, detect_loop: bool, myhostname: str, queue_directory: str
) -> list[Candidate] | Dsn:
    """The addresses to try, or why there are none."""
    if nexthop.path:
        path = nexthop.path if nexthop.path.startswith("/") else os.path.join(queue_directory, nexthop.path)
        return [Candidate(myhostname, nexthop.path, 0, unix=path)]
    find = lookup.domain if nexthop.use_mx else lookup.host
    route = await find(nexthop.host, detect_loop=detect_loop)
    if route.failure is not None:
        return Dsn(route.failure.status, route.failure.text)
    best = min(host.preference for host in route.hosts)
    return [
        Candidate(
            h.name,
            h.address,
            nexthop.port,
            h.preference == best,
            h.authenticated,
            h.canonical_name,
            route.canonical_domain,
        )
        for h in route.hosts
    ]
