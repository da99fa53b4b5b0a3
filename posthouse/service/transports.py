"""The delivery agents of an instance: one per `unix` line of master.cf whose command is an agent.

A service whose command is unknown, or that cannot be set up, is off: its mail defers with
"mail transport unavailable", and a warning says why.
"""

from collections.abc import Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial

from posthouse.bounce.session_notice import open_session_notices
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.programs import check_program
from posthouse.config.settings import read_settings
from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import Resolver
from posthouse.envelope.request import DeliveryAgent
from posthouse.host.log import ProcessLog, Sink
from posthouse.intake.transaction import Intake
from posthouse.routing.router import Router
from posthouse.schedule.settings import read_transport_settings
from posthouse.schedule.status_filter import open_status_filter
from posthouse.schedule.transport import TransportService
from posthouse.service.services import require_no_words, service_configuration, service_log
from posthouse.service.shares import part, transport_part
from posthouse.tables.maps import open_maps
from posthouse.tables.warning import speaking
from posthouse.transport.discard import DiscardAgent
from posthouse.transport.error import ErrorAgent
from posthouse.transport.hands import Hands
from posthouse.transport.local.agent import LocalAgent
from posthouse.transport.local.people import People
from posthouse.transport.local.settings import LocalSettings
from posthouse.transport.pipe import PipeAgent
from posthouse.transport.smtp.deliver import SmtpAgent
from posthouse.transport.virtual import VirtualAgent, VirtualSettings

DEFAULT_PROCESS_LIMIT = 100
"""default_process_limit's own default."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What belongs to all agents."""

    default_process_limit: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What agents are given."""

    sink: Sink
    resolver: Resolver
    native: NativeLookup | None
    own_addresses: Collection[str]
    router: Router
    intake: Intake
    people: People
    hands: Hands
    store_agent: Callable[[Configuration], DeliveryAgent]
    received: Callable[[str], bytes]
    notify: Intake | None = None
    """The door of notices to postmaster."""
    workers: int = 1
    """How many mail workers share the limits."""


def open_transports(
    configuration: Configuration, services: Sequence[Service], neighbours: Neighbours, log: ProcessLog
) -> dict[str, TransportService]:
    """By master.cf service name. Call while the process may still read keys and tables."""
    agents: dict[str, DeliveryAgent] = {}
    found: dict[str, TransportService] = {}
    for service in services:
        if service.type != "unix":
            continue
        own = service_configuration(configuration, service)
        program = service_log(own, neighbours.sink, service.command)
        try:
            for _, complaint in check_program(own, service.command):
                program.fatal(complaint)
                raise ConfigError(complaint)
            with speaking(program.warning, program.error):
                agent = _agent(service, own, neighbours, program, agents)
                status_filter = open_status_filter(service.command, own, program.warning)
        except ConfigError as error:
            log.error(f"transport {service.name} is off: {error}")
            continue
        if agent is None:
            continue
        agents[service.name] = agent
        limit = service.maxproc
        if limit is None:
            limit = read_settings(AgentSettings, own).default_process_limit
        settings = transport_part(read_transport_settings(configuration, service.name), neighbours.workers)
        limit = part(limit, neighbours.workers)
        found[service.name] = TransportService(service.name, agent, program, settings, limit, status_filter)
    return found


def _require_room(limit: int, message: int, name: str, log: ProcessLog) -> None:
    """A mailbox that cannot hold the largest message would lose it. Raises ConfigError."""
    if 0 < limit < message:
        text = f"configuration error: {name} is smaller than message_size_limit"
        log.fatal(text)
        raise ConfigError(text)


def _agent(
    service: Service,
    own: Configuration,
    neighbours: Neighbours,
    log: ProcessLog,
    agents: MutableMapping[str, DeliveryAgent],
) -> DeliveryAgent | None:
    if service.command != "pipe":
        require_no_words(service)
    match service.command:
        case "smtp" | "lmtp":
            return SmtpAgent.open(
                own,
                service.command,
                neighbours.resolver,
                log,
                neighbours.own_addresses,
                native=neighbours.native,
                notices=None if neighbours.notify is None else open_session_notices(own, neighbours.notify, log),
            )
        case "error":
            return ErrorAgent(retry=service.name == "retry")
        case "discard":
            return DiscardAgent()
        case "virtual":
            virtual = read_settings(VirtualSettings, own)
            _require_room(virtual.virtual_mailbox_limit, virtual.message_size_limit, "virtual_mailbox_limit", log)
            maps = open_maps(virtual.virtual_mailbox_maps, own, "virtual_mailbox_maps")
            return VirtualAgent(service.name, neighbours.hands, maps, virtual.recipient_delimiter)
        case "pipe":
            words = " ".join(service.arguments)
            return PipeAgent(service.name, neighbours.hands, words.partition("argv=")[2].partition(" ")[0])
        case "store":
            return neighbours.store_agent(own)
        case "local":
            settings = read_settings(LocalSettings, own)
            _require_room(settings.mailbox_size_limit, settings.message_size_limit, "mailbox_size_limit", log)
            return LocalAgent(
                settings,
                service.name,
                alias_maps=open_maps(settings.alias_maps, own, "alias_maps", substitution=False),
                mailbox_transport_maps=open_maps(
                    settings.mailbox_transport_maps, own, "mailbox_transport_maps", substitution=False
                ),
                fallback_transport_maps=open_maps(
                    settings.fallback_transport_maps, own, "fallback_transport_maps", substitution=False
                ),
                people=neighbours.people,
                hands=neighbours.hands,
                intake=neighbours.intake,
                agents=agents,
                qualify=neighbours.router.rewrite,
                is_here=partial(_is_here, neighbours.router, service.name),
                received=neighbours.received,
                log=log,
            )
    return None


async def _is_here(router: Router, name: str, address: str) -> bool:
    """Whether this transport delivers the address. Raises TableRetry."""
    return (await router.resolve("", address)).transport == name
