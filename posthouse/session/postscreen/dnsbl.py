"""postscreen_dnsbl_sites: the score of a client.

    sites  = site *([","] site)
    site   = domain ["=" filter] ["*" weight]          zen.spamhaus.org=127.0.0.[2..11]*3

Each domain is asked once, whatever number of sites name it. A site whose filter an answer passes adds its weight. The
name in replies is that of the site with the largest weight. A pass holds as long as the shortest-lived of the answers
that speak against the client when the score is above 0, else of the others, within postscreen_dnsbl_min_ttl and
postscreen_dnsbl_max_ttl. Sessions of one client that overlap share one score.

Standards: RFC 5782 sections 2.1 and 2.4; RFC 2308 (how long "not listed" holds).
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

from posthouse.address.domain import is_hostname
from posthouse.config.error import ConfigError
from posthouse.dns.resolver import DnsRetry, Resolver
from posthouse.host.log import ProcessLog
from posthouse.policy.restrictions.dnsbl import Filter, parse_filter, passes
from posthouse.tables.table import TableRetry

SHOWN_SITES = 20
"""Answers that a score keeps as evidence."""


@dataclass(frozen=True, slots=True)
class Site:
    """One word of the list."""

    domain: str
    pattern: Filter | None = None
    weight: int = 1


def parse_site(text: str) -> Site:
    """Raises ConfigError in Postfix's words."""
    domain, star, factor = text.rpartition("*") if "*" in text else (text, "", "")
    weight = 1
    if star:
        digits = factor[1:] if factor[:1] in ("-", "+") else factor
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise ConfigError(f'bad DNSBL weight factor "{factor}" in "{text}"')
        weight = int(factor)
    domain, equals, pattern = domain.partition("=")
    if not is_hostname(domain.removesuffix(".")):
        raise ConfigError(f'bad DNSBL domain name "{domain}" in "{text}"')
    try:
        return Site(domain, parse_filter(pattern) if equals else None, weight)
    except ValueError:
        raise ConfigError(f'bad DNSBL filter syntax: "{pattern}" in "{text}"') from None


def parse_sites(value: str) -> dict[str, tuple[Site, ...]]:
    """The sites by domain. Raises ConfigError."""
    sites: dict[str, tuple[Site, ...]] = {}
    for word in _words(value):
        site = parse_site(word)
        sites[site.domain] = (*sites.get(site.domain, ()), site)
    return sites


def _words(value: str) -> list[str]:
    """Words between commas and blanks; a filter's brackets hold neither."""
    return value.replace(",", " ").split()


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of a client now; more may come while `complete` is False."""

    total: int = 0
    name: str = ""
    """The heaviest site."""
    ttl: int = -1
    """Seconds that the score holds; -1: nobody said."""
    complete: bool = False
    evidence: tuple[str, ...] = ()


class _Asking:
    """One client's score while it is made."""

    __slots__ = ("against", "done", "evidence", "heaviest", "name", "others", "tasks", "total", "users")

    def __init__(self, done: asyncio.Event) -> None:
        self.done = done
        self.users = 0
        self.total = 0
        self.name = ""
        self.heaviest: int | None = None
        self.against = -1
        """Seconds that the shortest-lived answer holds that adds to the score."""
        self.others = -1
        """The same of answers that do not."""
        self.evidence: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def score(self) -> Score:
        ttl = self.against if self.total > 0 else self.others
        return Score(self.total, self.name, ttl, self.done.is_set(), tuple(self.evidence))


class DnsScores:
    """The scores of one listener's clients."""

    def __init__(
        self,
        sites: dict[str, tuple[Site, ...]],
        resolver: Resolver,
        timeout: float,
        log: ProcessLog,
        shown_name: Callable[[str], Awaitable[str | None]],
        warn: Callable[[str], None],
    ) -> None:
        """`log` is dnsblog's, `shown_name` is postscreen_dnsbl_reply_map."""
        self._sites = sites
        self._resolver = resolver
        self._timeout = timeout
        self._log = log
        self._shown_name = shown_name
        self._warn = warn
        self._asking: dict[str, _Asking] = {}

    def begin(self, address: str) -> "ClientScore":
        """Ask, or join those who ask already."""
        asking = self._asking.get(address)
        if asking is None:
            asking = self._asking[address] = _Asking(asyncio.Event())
            label = ip_address(address.partition("%")[0]).reverse_pointer.rsplit(".", 2)[0]
            loop = asyncio.get_running_loop()
            for domain, sites in self._sites.items():
                task = loop.create_task(self._ask(asking, address, label, domain, sites))
                asking.tasks.append(task)
                task.add_done_callback(functools.partial(self._answered, asking))
        asking.users += 1
        return ClientScore(self, address, asking)

    def release(self, address: str, asking: _Asking, *, give_up: bool) -> None:
        """One session fewer waits. Behind the last one, questions under way end in their time, so that the log tells of
        slow lists; or at once, when the client did not stay."""
        asking.users -= 1
        if asking.users:
            return
        del self._asking[address]
        if give_up:
            for task in asking.tasks:
                task.cancel()

    def _answered(self, asking: _Asking, task: asyncio.Task[None]) -> None:
        asking.tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a DNS list's question broke off", "exception": error, "task": task}
            )
        if not asking.tasks:
            asking.done.set()

    async def _ask(self, asking: _Asking, address: str, label: str, domain: str, sites: tuple[Site, ...]) -> None:
        query = f"{label}.{domain}"
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._resolver.query(query, "A")
        except DnsRetry as retry:
            self._log.warning(f"dnsblog_query: lookup error for DNS query {query}: {retry}")
            asking.others = 0  # to be asked again soon
            return
        except TimeoutError:
            self._warn(f"dnsblog reply timeout {self._timeout:.0f}s for {domain}")
            return
        found = [record.data for record in answer.records]
        for data in found:
            self._log.info(f"addr {address} listed by domain {domain} as {data}")
        against = False
        for site in sites:
            if any(passes(data, site.pattern) for data in found):
                asking.total += site.weight
                against = against or site.weight > 0
                if len(asking.evidence) < SHOWN_SITES:
                    asking.evidence.append(f"{query}: {', '.join(found)}: {site.weight:+d}")
                if asking.heaviest is None or site.weight > asking.heaviest:
                    asking.heaviest = site.weight
                    asking.name = domain
        if answer.ttl >= 0 and against:
            asking.against = answer.ttl if asking.against < 0 else min(asking.against, answer.ttl)
        elif answer.ttl >= 0:
            asking.others = answer.ttl if asking.others < 0 else min(asking.others, answer.ttl)

    async def shown(self, domain: str) -> str:
        """The name for replies: some lists have a key in theirs that nobody shall see."""
        try:
            return await self._shown_name(domain) or domain
        except TableRetry:
            return domain


class ClientScore:
    """One session's part in a score. Must be released."""

    __slots__ = ("_address", "_asking", "_scores")

    def __init__(self, scores: DnsScores, address: str, asking: _Asking) -> None:
        self._scores = scores
        self._address = address
        self._asking: _Asking | None = asking

    @property
    def done(self) -> asyncio.Event:
        """Set when every list has answered, or had its time."""
        assert self._asking is not None
        return self._asking.done

    def now(self) -> Score:
        """As it stands."""
        assert self._asking is not None
        return self._asking.score()

    def release(self, *, give_up: bool) -> None:
        """No more is wanted."""
        if self._asking is not None:
            self._scores.release(self._address, self._asking, give_up=give_up)
            self._asking = None
