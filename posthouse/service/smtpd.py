"""The smtpd and lmtpd services: the sessions of an `inet` line of master.cf, with the line's own settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.host.log import Sink
from posthouse.journal.journal import Journal
from posthouse.policy.stages import Stages
from posthouse.service.services import service_configuration, service_log
from posthouse.service.shares import smtpd_part
from posthouse.session.lmtp.open_service import as_lmtp
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.open_service import open_smtp_service, open_tls_context
from posthouse.session.smtp.seams import Authenticator, Door

SASL_TYPES = ("cyrus", "posthouse")
"""smtpd_sasl_type values that mean our own account databases: cyrus is Postfix's default."""


@dataclass(frozen=True, slots=True)
class SmtpdServiceSettings:
    """What decides how a listener is set up."""

    smtpd_sasl_type: str
    smtpd_sasl_auth_enable: bool
    smtpd_peername_lookup: bool


@dataclass(frozen=True, slots=True)
class SmtpdParts:
    """What the listeners of one worker share."""

    sink: Sink
    resolver: Resolver
    hosts: HostsFile
    stages: Callable[[Configuration], Stages]
    intake: Callable[[Configuration], Door]
    """smtpd's door: the queue."""
    direct: Callable[[Configuration], Door]
    """lmtpd's: the mailboxes."""
    journal: Journal
    authenticator: Authenticator | None
    limits: ClientLimits
    flush: Callable[[str], Awaitable[bool | None]] | None = None
    workers: int = 1
    """How many mail workers share this listener's limits."""


def open_smtpd(service: Service, configuration: Configuration, parts: SmtpdParts) -> SmtpListener:
    """The sessions of one line. Call while the process may still read keys and tables. Raises ConfigError."""
    own = service_configuration(configuration, service)
    log = service_log(own, parts.sink, service.command)
    settings = read_settings(SmtpdServiceSettings, own)
    authenticator = parts.authenticator
    if settings.smtpd_sasl_auth_enable and settings.smtpd_sasl_type not in SASL_TYPES:
        log.warning(f"smtpd_sasl_type = {settings.smtpd_sasl_type} is missing so far in Posthouse: AUTH is not offered")
        authenticator = None
    smtp = open_smtp_service(
        own,
        stages=parts.stages(own),
        intake=parts.direct(own) if service.command == "lmtpd" else parts.intake(own),
        log=log,
        journal=parts.journal,
        name=service.name,
        resolver=parts.resolver if settings.smtpd_peername_lookup else None,
        hosts=parts.hosts,
        tls_context=open_tls_context(own, log.warning),
        authenticator=authenticator,
        limits=parts.limits,
        flush=parts.flush,
    )
    if parts.workers > 1:
        smtp.settings = smtpd_part(smtp.settings, parts.workers)
    return SmtpListener(as_lmtp(smtp) if service.command == "lmtpd" else smtp)
