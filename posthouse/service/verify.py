"""Address verification, wired: the verify service's part of a mail worker.

A probe goes the way of a message: recipients rewritten and expanded, resolved with the address_verify_ spellings of
the transports, and handed to the delivery agent with nothing to deliver. Its log lines are the agents', with
status=deliverable or undeliverable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.envelope.envelope import Recipient
from posthouse.envelope.outcome import Dsn, Fate, Outcome
from posthouse.envelope.verdict import Evidence
from posthouse.host.clock import Clock
from posthouse.host.log import ProcessLog
from posthouse.intake.address_mapping import AddressMapping
from posthouse.intake.expansion import Expansion
from posthouse.intake.settings import CleanupSettings
from posthouse.policy.restrictions.verify import ProbeResult, ProbeStatus
from posthouse.routing.probe_sender import probe_sender
from posthouse.routing.router import Router
from posthouse.routing.virtual_alias import ExpansionRefused
from posthouse.schedule.delivery_log import delivery_line
from posthouse.schedule.probe import Prober
from posthouse.schedule.transport import TransportService
from posthouse.schedule.verify import Verification, VerifySettings
from posthouse.schedule.verify_memory import open_memory
from posthouse.tables.table import TableRetry

ROUTES = (
    "local_transport",
    "virtual_transport",
    "relay_transport",
    "default_transport",
    "relayhost",
    "transport_maps",
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
)
"""Where probes may go another way than mail: address_verify_ before each name."""

SEVERAL = Dsn("2.0.0", "aliased to multiple recipients")
MAPPING_FAILED = Dsn("4.3.0", "address resolver failure")
_STATUSES = {
    Fate.DELIVERED: ProbeStatus.DELIVERABLE,
    Fate.BOUNCED: ProbeStatus.UNDELIVERABLE,
    Fate.DEFERRED: ProbeStatus.DEFERRED,
}


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How probes look, and where they go."""

    address_verify_sender: str
    address_verify_sender_ttl: int
    address_verify_map: str
    address_verify_local_transport: str
    address_verify_virtual_transport: str
    address_verify_relay_transport: str
    address_verify_default_transport: str
    address_verify_relayhost: str
    address_verify_transport_maps: str
    address_verify_sender_dependent_relayhost_maps: str
    address_verify_sender_dependent_default_transport_maps: str
    local_transport: str
    virtual_transport: str
    relay_transport: str
    default_transport: str
    relayhost: str
    transport_maps: str
    sender_dependent_relayhost_maps: str
    sender_dependent_default_transport_maps: str


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How long a listener's question waits."""

    address_verify_poll_count: int
    address_verify_poll_delay: int


class AddressProbes:
    """Sends probes and logs them."""

    def __init__(
        self,
        settings: ProbeSettings,
        router: Router,
        expansion: Expansion,
        prober: Prober,
        transports: Mapping[str, TransportService],
        new_queue_id: Callable[[], str],
        clock: Clock,
        log: ProcessLog,
    ) -> None:
        self._settings = settings
        self._router = router
        self._expansion = expansion
        self._prober = prober
        self._transports = transports
        self._new_queue_id = new_queue_id
        self._clock = clock
        self._log = log

    @classmethod
    def open(
        cls,
        configuration: Configuration,
        router: Router,
        transports: Mapping[str, TransportService],
        new_queue_id: Callable[[], str],
        clock: Clock,
        log: Callable[[str], ProcessLog],
    ) -> "AddressProbes":
        """From main.cf. `log` gives a program's. Raises ConfigError."""
        settings = read_settings(ProbeSettings, configuration)
        others = {name: value for name in ROUTES if (value := getattr(settings, f"address_verify_{name}")) is not None}
        if any(getattr(settings, name) != value for name, value in others.items()):
            router = Router.open(configuration.with_overrides(others, "address_verify"), log("trivial-rewrite"))
        cleanup = read_settings(CleanupSettings, configuration)
        mapping = AddressMapping(cleanup, router, enabled=True)
        expansion = Expansion(cleanup, router, mapping, None, None, enabled=True, copies=False)
        prober = Prober(router, transports, clock)
        return cls(settings, router, expansion, prober, transports, new_queue_id, clock, log("error"))

    async def probe(self, address: str) -> ProbeResult:
        """What became of a probe to the address."""
        settings = self._settings
        sender = probe_sender(settings.address_verify_sender, settings.address_verify_sender_ttl, self._clock.now())
        outcome = await self.outcome(self._new_queue_id(), self._router.rewrite(sender) if sender else "", address)
        return ProbeResult(_STATUSES[outcome.fate], outcome.dsn.reason)

    async def outcome(self, queue_id: str, sender: str, address: str) -> Outcome:
        """What would become of mail to the address; one line in the log."""
        started = self._clock.now()
        evidence: list[Evidence] = []
        try:
            found = await self._expansion.expand(sender, (Recipient(address, address),), (), evidence, [])
        except (TableRetry, ExpansionRefused):
            return self._told(queue_id, address, address, Outcome(0, Fate.DEFERRED, MAPPING_FAILED, "none"), started)
        if len(found.recipients) != 1:
            return self._told(queue_id, address, address, Outcome(0, Fate.DELIVERED, SEVERAL, "none"), started)
        recipient = found.recipients[0].address
        answer = await self._prober.ask(queue_id, sender, recipient, address)
        log = self._log if answer.service is None else answer.service.log
        return self._told(queue_id, answer.outcome.log_recipient or recipient, address, answer.outcome, started, log)

    def _told(
        self,
        queue_id: str,
        recipient: str,
        original: str,
        outcome: Outcome,
        started: float,
        log: ProcessLog | None = None,
    ) -> Outcome:
        took = self._clock.now() - started
        sending = outcome.transmit_time or (0.0 if outcome.setup_time else took)
        word = "deliverable" if outcome.fate is Fate.DELIVERED else "undeliverable"
        (log or self._log).info(
            delivery_line(
                queue_id,
                recipient,
                original,
                outcome.relay,
                took,
                (0.0, 0.0, outcome.setup_time, sending),
                outcome.connection_uses,
                outcome.dsn.status,
                word,
                outcome.dsn.reason,
            )
        )
        return outcome


def open_verification(
    configuration: Configuration, probes: AddressProbes, clock: Clock, warn: Callable[[str], None]
) -> Verification:
    """One worker's. Raises ConfigError."""
    memory = open_memory(read_settings(ProbeSettings, configuration).address_verify_map, warn)
    return Verification(read_settings(VerifySettings, configuration), probes.probe, clock, memory)


class ListenerProber:
    """reject_unverified_* of one listener, with its own patience."""

    def __init__(self, verification: Verification, configuration: Configuration) -> None:
        self._verification = verification
        settings = read_settings(PollSettings, configuration)
        self._patience = float((settings.address_verify_poll_count - 1) * settings.address_verify_poll_delay)

    async def probe(self, address: str) -> ProbeResult:
        """What is known; Postfix looks address_verify_poll_count times and sleeps in between, we are told."""
        return await self._verification.probe(address, self._patience)
