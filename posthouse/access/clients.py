"""Client addresses of IMAP and POP3: how many connections each has open, and how often it failed to log in.

Failures cost time that grows with each, over connections too, so that guessing passwords is slow;
a success takes nothing away, for a guesser may have an account of its own. IPv6 clients are
counted by their /64, which is one customer's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

ADDRESSES_KEPT = 100_000
"""Addresses remembered at once; those without a connection that failed longest ago go first."""
FORGOTTEN_AFTER = 600.0
"""Seconds without a failure until an address begins anew."""
LONGEST_DELAY = 15.0
"""Seconds: clients give up after 30 or more, and a person who mistyped must not believe the server dead."""


@dataclass(slots=True)
class _Known:
    open: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    failed_at: float = 0.0


class Clients:
    """The client addresses of one worker."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def connected(self, address: str, protocol: str) -> int:
        """One more connection; gives how many of this protocol are open."""
        known = self._of(address)
        known.open[protocol] = known.open.get(protocol, 0) + 1
        return known.open[protocol]

    def disconnected(self, address: str, protocol: str) -> None:
        """One fewer."""
        known = self._of(address)
        known.open[protocol] = known.open.get(protocol, 0) - 1
        if known.open[protocol] <= 0:
            del known.open[protocol]
        if not known.open and not known.failures:
            del self._known[network_of(address)]

    def failed(self, address: str) -> float:
        """One more login failed; gives the seconds until the client may hear so: 1, 2, 4, 8, 15."""
        known = self._of(address)
        now = self._clock()
        if now - known.failed_at > FORGOTTEN_AFTER:
            known.failures = 0
        known.failures += 1
        known.failed_at = now
        return min(2.0 ** min(known.failures - 1, 10), LONGEST_DELAY)

    def _of(self, address: str) -> _Known:
        key = network_of(address)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= ADDRESSES_KEPT:
                self._forget()
            known = self._known[key] = _Known()
        return known

    def _forget(self) -> None:
        idle = sorted((known.failed_at, key) for key, known in self._known.items() if not known.open)
        for _, key in idle[: max(len(idle) // 2, 1)]:
            del self._known[key]


def network_of(address: str) -> str:
    """What one client is counted by."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return f"{int(ip) >> 64:x}::/64" if isinstance(ip, IPv6Address) else address
