"""The seam of DNS: what can be asked, and what answers look like.

Found, no such name or no such record, and could-not-ask stay apart: an Answer with records, an
Answer without, or DnsRetry.

Standards: RFC 1035; RFC 2308 (NXDOMAIN and NODATA); RFC 4035 section 4.9.3 (the AD bit).
"""

from dataclasses import dataclass
from typing import Protocol


class DnsRetry(Exception):
    """SERVFAIL, REFUSED, a timeout, or an answer that makes no sense. The text ends up in delay reasons."""


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record. data: A and AAAA an address; MX, NS, PTR, CNAME a host name (no final dot); TXT joined
    strings; others presentation form."""

    name: str
    rtype: str
    ttl: int
    data: str
    preference: int = 0
    """MX only."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, CNAMEs followed."""

    records: tuple[Record, ...]
    nxdomain: bool = False
    authenticated: bool = False
    """The AD bit: the local resolver validated it."""
    canonical_name: str = ""
    """The name at the end of the CNAME chain."""
    ttl: int = -1
    """Seconds that the answer holds, without records too (RFC 2308); -1: nobody said."""


class Resolver(Protocol):
    """Asks DNS, with a cache."""

    async def query(self, name: str, rtype: str) -> Answer:
        """Ask for A, AAAA, MX, NS, TXT, PTR, CNAME, TLSA, SRV. Raises DnsRetry."""
