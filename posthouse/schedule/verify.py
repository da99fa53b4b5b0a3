"""Address verification: what probes found out, remembered; verify(8).

An answer that is known and fresh is given at once. One that has aged is given too, and a new
probe sets out; with nothing known the question waits for the probe as long as it may. A
failed probe does not touch what is remembered of an address that could be delivered to: a server
that is down for a day makes nobody unknown. Several questions about one address share one probe.

Standards: Postfix ADDRESS_VERIFICATION_README (expiry and refreshing), address_verify_*.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from posthouse.address.address import fold
from posthouse.host.clock import Clock
from posthouse.policy.restrictions.verify import ProbeResult, ProbeStatus

IN_PROGRESS = ProbeResult(ProbeStatus.PENDING, "Address verification in progress")
PROBE_TTL = 1000.0
"""Seconds after which a probe that has not come back is given up, as in Postfix."""
PROBES_AT_ONCE = 50
"""Probes that run at once in a worker: each may hold a connection."""
ENTRY_LIMIT = 100_000
"""Addresses remembered: who probes with random names shall not fill the memory. The oldest go first."""


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """How long what is remembered."""

    address_verify_positive_expire_time: int = 2678400
    address_verify_positive_refresh_time: int = 604800
    address_verify_negative_cache: bool = True
    address_verify_negative_expire_time: int = 259200
    address_verify_negative_refresh_time: int = 10800
    address_verify_cache_cleanup_interval: int = 43200
    address_verify_pending_request_limit: int = 5000


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of an address."""

    status: ProbeStatus
    text: str
    updated: float
    """When a probe said so, in seconds since the epoch."""
    probed: float
    """When the last probe set out."""


class Memory(Protocol):
    """Where what is known outlives the process."""

    def load(self) -> dict[str, Known]:
        """All of it."""

    def add(self, address: str, known: Known) -> None:
        """One entry. Never raises: it is a cache."""

    def rewrite(self, entries: dict[str, Known]) -> None:
        """These and no others."""


class NoMemory:
    """address_verify_map is empty: nothing outlives the process."""

    def load(self) -> dict[str, Known]:
        """Nothing."""
        return {}

    def add(self, address: str, known: Known) -> None:
        """Forgotten."""

    def rewrite(self, entries: dict[str, Known]) -> None:
        """Forgotten."""


class Verification:
    """Answers what is known of addresses."""

    def __init__(
        self,
        settings: VerifySettings,
        send: Callable[[str], Awaitable[ProbeResult]],
        clock: Clock,
        memory: Memory | None = None,
    ) -> None:
        """`send` sends one probe and gives what became of it."""
        self._settings = settings
        self._send = send
        self._clock = clock
        self._memory: Memory = memory or NoMemory()
        self._entries: dict[str, Known] = {}
        self._probes: dict[str, asyncio.Task[ProbeResult]] = {}
        self._slots = asyncio.Semaphore(PROBES_AT_ONCE)
        self._cleaned = 0.0

    def start(self) -> None:
        """Take up what is remembered."""
        self._entries = self._memory.load()
        self._cleaned = self._clock.now()
        self._clean(self._cleaned)

    async def stop(self) -> None:
        """End the probes under way."""
        tasks = list(self._probes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def probe(self, address: str, patience: float) -> ProbeResult:
        """What is known of the address; with nothing known, what a probe says within `patience` seconds."""
        key = fold(address)
        now = self._clock.now()
        if now - self._cleaned >= self._settings.address_verify_cache_cleanup_interval > 0:
            self._cleaned = now
            self._clean(now)
        known = self._entries.get(key)
        if known is not None and self._expired(known, now):
            known = None
        task = self._probes.get(key)
        if task is None and (known is None or self._stale(known, now)):
            task = self._set_out(address, key, known, now)
        if known is not None:
            return ProbeResult(known.status, known.text)
        if task is None or patience <= 0:
            return IN_PROGRESS
        await asyncio.wait((task,), timeout=patience)
        return task.result() if task.done() and not task.cancelled() else IN_PROGRESS

    def _expired(self, known: Known, now: float) -> bool:
        settings = self._settings
        if known.status is ProbeStatus.DELIVERABLE:
            return known.updated + settings.address_verify_positive_expire_time < now
        return known.updated + settings.address_verify_negative_expire_time < now

    def _stale(self, known: Known, now: float) -> bool:
        settings = self._settings
        if now - known.probed < PROBE_TTL:
            return False
        if known.status is ProbeStatus.DELIVERABLE:
            return known.updated + settings.address_verify_positive_refresh_time < now
        return known.updated + settings.address_verify_negative_refresh_time < now

    def _set_out(self, address: str, key: str, known: Known | None, now: float) -> asyncio.Task[ProbeResult] | None:
        if len(self._probes) >= self._settings.address_verify_pending_request_limit:
            return None
        if known is not None:
            self._keep(key, Known(known.status, known.text, known.updated, now))
        task = asyncio.get_running_loop().create_task(self._probe(address, key, now))
        self._probes[key] = task
        task.add_done_callback(lambda ended: self._ended(ended, key))
        return task

    async def _probe(self, address: str, key: str, started: float) -> ProbeResult:
        async with asyncio.timeout(PROBE_TTL), self._slots:
            result = await self._send(address)
        old = self._entries.get(key)
        now = self._clock.now()
        if result.status is ProbeStatus.DELIVERABLE:
            self._keep(key, Known(result.status, result.text, now, started))
        elif old is not None and old.status is ProbeStatus.DELIVERABLE and not self._expired(old, now):
            pass
        elif self._settings.address_verify_negative_cache:
            self._keep(key, Known(result.status, result.text, now, started))
        return result

    def _ended(self, task: asyncio.Task[ProbeResult], key: str) -> None:
        self._probes.pop(key, None)
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, TimeoutError):
            return
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a probe broke off", "exception": error, "task": task}
        )

    def _keep(self, key: str, known: Known) -> None:
        self._entries.pop(key, None)
        while len(self._entries) >= ENTRY_LIMIT:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = known
        self._memory.add(key, known)

    def _clean(self, now: float) -> None:
        self._entries = {key: known for key, known in self._entries.items() if not self._expired(known, now)}
        self._memory.rewrite(self._entries)
