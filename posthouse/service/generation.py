"""One reading of the configuration by the master: what it wants to run, and as whom.

A reload makes the next generation beside the present one; which of the two the master stays with
is decided when all processes of the new one listen, or one of them cannot.
"""

import os
from collections.abc import Container
from dataclasses import dataclass, field

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service, read_master_cf
from posthouse.config.programs import require_program
from posthouse.config.read import read_configuration
from posthouse.config.settings import read_settings
from posthouse.host.users import Identity, own_identity, user_identity
from posthouse.service.listeners import ACCESS_COMMANDS, MAIL_COMMANDS, Endpoint, Listener, service_endpoints
from posthouse.service.services import service_configuration

INSIDE = frozenset(
    {"qmgr", "cleanup", "trivial-rewrite", "bounce", "verify", "anvil", "flush", "showq", "scache", "tlsmgr"}
)
"""Programs of Postfix that are no processes here: their parameters decide about all mail, so nothing starts without.

A bad parameter of a listener or a transport stops only that one.
"""


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """What the master itself needs."""

    queue_directory: str
    data_directory: str
    mail_owner: str
    mail_version: str
    posthouse_workers: int
    posthouse_access_workers: int
    mail_store_directory: str
    master_service_disable: tuple[str, ...]
    smtpd_tls_session_cache_timeout: int


def mail_identity(settings: MasterSettings) -> Identity:
    """mail_owner when we are root, else ourselves. Raises ConfigError."""
    if os.geteuid() != 0:
        return own_identity()
    try:
        identity = user_identity(settings.mail_owner)
    except KeyError:
        raise ConfigError(f"parameter mail_owner: unknown user name value: {settings.mail_owner}") from None
    if identity.uid == 0:
        raise ConfigError(f"parameter mail_owner: user {settings.mail_owner} has privileged user ID")
    return identity


@dataclass(slots=True)
class Generation:
    """One reading."""

    number: int
    configuration: Configuration
    settings: MasterSettings
    services: tuple[Service, ...]
    identity: Identity
    roles: dict[str, int]
    """Role to how many."""
    listeners: dict[Endpoint, tuple[str, Listener]] = field(default_factory=dict)
    """Where to listen: the role that serves it, and as what."""

    @property
    def processes(self) -> frozenset[tuple[str, int]]:
        """(role, index) of each."""
        return frozenset((role, index) for role, count in self.roles.items() for index in range(count))

    @property
    def has_store(self) -> bool:
        """Whether a transport delivers to the native store."""
        return any(service.command == "store" for service in self.services)


def disabled(service: Service, patterns: tuple[str, ...]) -> bool:
    """Whether master_service_disable means this line: by its type or by "name/type" (once "name.type"); the first
    pattern that fits decides, and "!" turns it round."""
    for pattern in patterns:
        wanted = pattern.lstrip("!")
        if "/" not in wanted and "." in wanted:
            name, _, kind = wanted.rpartition(".")
            wanted = f"{name}/{kind}"
        if wanted.lower() in (service.type.lower(), f"{service.name}/{service.type}".lower()):
            return (len(pattern) - len(pattern.lstrip("!"))) % 2 == 0
    return False


def read_generation(directory: str, number: int, mains: Container[str]) -> Generation:
    """Read main.cf and master.cf; `mains` are the roles that there are. Raises ConfigError, OSError."""
    configuration = read_configuration(directory)
    settings = read_settings(MasterSettings, configuration)
    lines = read_master_cf(os.path.join(directory, "master.cf"))
    services = tuple(service for service in lines if not disabled(service, settings.master_service_disable))
    roles: dict[str, int] = {"mail": max(1, settings.posthouse_workers)}
    if any(service.command in ACCESS_COMMANDS for service in services):
        roles["access"] = settings.posthouse_access_workers or os.cpu_count() or 1
    elif "access" in mains and any(service.command == "store" for service in services):
        roles["access"] = 1  # For mail(1), which reads the store by way of it.
    if os.geteuid() == 0 and "keeper" in mains:
        roles = {"keeper": 1, **roles}
    generation = Generation(number, configuration, settings, services, mail_identity(settings), roles)
    for service in services:
        if service.command in INSIDE:
            require_program(service_configuration(configuration, service), service.command)
        role = "mail" if service.command in MAIL_COMMANDS else "access" if service.command in ACCESS_COMMANDS else None
        if role is not None:
            for endpoint in service_endpoints(service, configuration):
                generation.listeners[endpoint] = role, Listener(service, endpoint)
    return generation
