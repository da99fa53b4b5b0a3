"""The stub resolver: asks recursive servers, follows CNAMEs, caches, and asks each question once at a time.

Servers are asked in order, each for `timeout` seconds, `attempts` rounds; a server that failed goes
to the end of the order for a while. SERVFAIL, REFUSED, silence and nonsense are DnsRetry; NXDOMAIN and NODATA are
Answers without records. A name that cannot exist (a label over 63 octets) is NXDOMAIN without a question.
With dnssec set, queries carry DO, and `Answer.authenticated` tells the server's AD bit: it is worth as much as the
path to that server, so it is believed only of servers on this machine unless trust_ad is set.

Standards: RFC 1034 section 5.3; RFC 1035; RFC 2308; RFC 4035 section 4.9.3; RFC 6891; RFC 5452.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol

from posthouse.dns.cache import AnswerCache
from posthouse.dns.exchange import ExchangeFailed, ask
from posthouse.dns.resolver import Answer, DnsRetry, Record
from posthouse.dns.servers import FixedServers, Server, ServerList, servers_of
from posthouse.wire.dns import AD, NOERROR, NXDOMAIN, Message, Question
from posthouse.wire.dns_name import DnsFormatError, split_labels

CNAME_LIMIT = 10
"""CNAMEs followed for one question, as Postfix's DNS client does."""
QUERY_LIMIT = 500
"""Questions under way at once; more wait. Bounds sockets."""
PENALTY = 30.0
"""Seconds for which a server that failed is asked last."""
SERVER_TIMEOUT_LIMIT = 30.0
"""Seconds one question may take in all, whatever the servers' number, timeouts and attempts."""

RETRY_TEXT = "Host or domain name not found. Name service error for name={} type={}: Host not found, try again"
MALFORMED_TEXT = "Name service error for name={} type={}: Malformed or unexpected name server reply"


class ServerSource(Protocol):
    """Tells the servers to ask now."""

    def current(self) -> ServerList:
        """The list as it stands."""


class StubResolver:
    """Implements Resolver over UDP and TCP."""

    def __init__(
        self,
        servers: Sequence[Server] | ServerSource,
        *,
        timeout: float = 5.0,
        attempts: int = 2,
        dnssec: bool = False,
        trust_ad: bool = False,
        clock: Callable[[], float] = time.monotonic,
        random_ident: Callable[[], int] = lambda: secrets.randbelow(0x10000),
    ) -> None:
        self._source: ServerSource = (
            FixedServers(servers, timeout, attempts) if isinstance(servers, Sequence) else servers
        )
        self._dnssec = dnssec
        self._trust_ad = trust_ad
        self._clock = clock
        self._ident = random_ident
        self._cache = AnswerCache(clock)
        self._under_way: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._penalty: dict[Server, float] = {}
        self._slots = asyncio.Semaphore(QUERY_LIMIT)
        self._servers: tuple[Server, ...] = ()

    async def query(self, name: str, rtype: str) -> Answer:
        """Ask for A, AAAA, MX, NS, TXT, PTR, CNAME, TLSA, SRV. Raises DnsRetry."""
        try:
            name = wire_name(name)
        except DnsFormatError:
            return Answer((), nxdomain=True, canonical_name=name)
        key = (name, rtype)
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._resolve(name, rtype))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # Who gives up waiting must not cancel the question for the others.
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Give up all questions under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, key: tuple[str, str], task: asyncio.Task[Answer]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: when everybody stopped waiting, nobody else looks

    async def _resolve(self, name: str, rtype: str) -> Answer:
        current, ttl, authenticated = name, float("inf"), True
        for _ in range(CNAME_LIMIT):
            message, server = await self._ask(current, rtype)
            if message.rcode not in (NOERROR, NXDOMAIN):
                raise DnsRetry(RETRY_TEXT.format(name, rtype))
            authenticated = authenticated and bool(message.flags & AD) and (self._trust_ad or _on_this_machine(server))
            asked = current
            current, chain_ttl = _follow(message, current, rtype)
            ttl = min(ttl, chain_ttl)
            wanted = current.lower()
            records = tuple(
                Record(r.name, r.rtype, r.ttl, r.data, r.preference)
                for r in message.answers
                if r.rtype == rtype and r.name.lower() == wanted
            )
            if records:
                ttl = min(ttl, *(r.ttl for r in records))
                answer = Answer(records, authenticated=authenticated, canonical_name=current, ttl=int(ttl))
            elif message.rcode == NXDOMAIN or current == asked:
                nxdomain = message.rcode == NXDOMAIN
                ttl = min(ttl, _negative_ttl(message))
                answer = Answer((), nxdomain, authenticated, current, int(ttl))
            elif any(r.rtype == "SOA" for r in message.authority):
                # The server followed the chain itself and says that its end has no such record.
                ttl = min(ttl, _negative_ttl(message))
                answer = Answer((), False, authenticated, current, int(ttl))
            else:
                continue
            self._cache.put((name, rtype), answer, ttl)
            return answer
        raise DnsRetry(f"Name server loop for {name}")

    async def _ask(self, name: str, rtype: str) -> tuple[Message, Server]:
        """The first usable answer of any server."""
        plan = self._source.current()
        if plan.servers != self._servers:
            self._cache.clear()
            self._servers = plan.servers
        question = Question(name, rtype)
        refusal: tuple[Message, Server] | None = None
        malformed = False
        try:
            async with asyncio.timeout(SERVER_TIMEOUT_LIMIT), self._slots:
                for _ in range(plan.attempts):
                    now = self._clock()
                    for server in sorted(plan.servers, key=lambda s: self._penalty.get(s, 0.0) > now):
                        try:
                            message = await ask(server, question, self._ident(), plan.timeout, dnssec_ok=self._dnssec)
                        except ExchangeFailed as failure:
                            malformed = malformed or "malformed" in str(failure)
                            self._penalty[server] = self._clock() + PENALTY
                            continue
                        except DnsFormatError:
                            raise DnsRetry(MALFORMED_TEXT.format(name, rtype)) from None
                        if message.rcode in (NOERROR, NXDOMAIN):
                            self._penalty.pop(server, None)
                            return message, server
                        refusal = refusal or (message, server)
                    if refusal is not None:
                        # SERVFAIL and REFUSED from everybody who answered: asking again at once changes nothing.
                        return refusal
        except TimeoutError:
            pass
        raise DnsRetry((MALFORMED_TEXT if malformed else RETRY_TEXT).format(name, rtype))


def wire_name(name: str) -> str:
    """The name in the form that is asked: lower case, no final dot, A-labels. Raises DnsFormatError."""
    name = name.removesuffix(".").lower()
    if not name.isascii():
        import idna  # late: most names need no table of Unicode

        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise DnsFormatError(str(error)) from error
    split_labels(name)
    return name


def _follow(message: Message, name: str, rtype: str) -> tuple[str, float]:
    """The end of the CNAME chain within one message, and the chain's TTL. A loop ends where it began."""
    ttl = float("inf")
    if rtype in ("CNAME", "ANY"):
        return name, ttl
    aliases = {r.name.lower(): r for r in message.answers if r.rtype == "CNAME"}
    current = name
    for _ in range(CNAME_LIMIT):
        alias = aliases.get(current.lower())
        if alias is None:
            return current, ttl
        ttl = min(ttl, alias.ttl)
        current = alias.data
    raise DnsRetry(f"Name server loop for {name}")


def _negative_ttl(message: Message) -> float:
    """RFC 2308 section 5: the lesser of the SOA's TTL and its minimum; without a SOA nothing is kept."""
    for record in message.authority:
        if record.rtype == "SOA":
            return float(min(record.ttl, int(record.data.rpartition(" ")[2])))
    return 0.0


def _on_this_machine(server: Server) -> bool:
    return ip_address(server[0].partition("%")[0]).is_loopback


def open_resolver(dns_servers: Sequence[str] = (), *, dnssec: bool = False, trust_ad: bool = False) -> StubResolver:
    """The resolver for the value of `dns_servers`. Raises ValueError for a bad address."""
    return StubResolver(servers_of(dns_servers), dnssec=dnssec, trust_ad=trust_ad)
