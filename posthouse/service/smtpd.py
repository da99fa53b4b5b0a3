"""The smtpd and lmtpd services: the sessions of an `inet` line of master.cf, with the line's own settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from posthouse.accounts.accounts import Accounts
from posthouse.accounts.dovecot import DovecotServer, dovecot_stream
from posthouse.bounce.session_notice import open_session_notices
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.master_cf import Service
from posthouse.config.programs import require_program
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.host.log import ProcessLog, Sink
from posthouse.intake.cleanup import CleanupIntake
from posthouse.intake.transaction import Intake
from posthouse.journal.journal import Journal
from posthouse.net.stream import Stream
from posthouse.net.tickets import Tickets
from posthouse.policy.milter.milters import open_smtpd_milters
from posthouse.policy.reach import Reach, reach
from posthouse.policy.stages import Stages
from posthouse.service.authentication import AccountAuthenticator, DovecotMechanisms
from posthouse.service.services import require_no_words, service_configuration, service_log
from posthouse.service.shares import smtpd_part
from posthouse.session.lmtp.open_service import as_lmtp
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.open_service import open_smtp_service, open_tls_context
from posthouse.session.smtp.proxy_filter import open_proxy_filter
from posthouse.session.smtp.seams import Door, Resolve
from posthouse.session.smtp.session_tickets import arrange_tickets
from posthouse.tables.warning import speaking

OWN_SASL_TYPES = ("cyrus", "posthouse")
"""smtpd_sasl_type values that mean our own account databases: cyrus is Postfix's default."""


@dataclass(frozen=True, slots=True)
class SmtpdServiceSettings:
    """What decides how a listener is set up."""

    queue_directory: str
    smtpd_sasl_type: str
    smtpd_sasl_path: str
    smtpd_sasl_service: str
    smtpd_sasl_local_domain: str
    smtpd_sasl_auth_enable: bool
    smtpd_peername_lookup: bool


@dataclass(frozen=True, slots=True)
class SmtpdParts:
    """What the listeners of one worker share."""

    sink: Sink
    resolver: Resolver
    hosts: HostsFile
    stages: Callable[[Configuration], Stages]
    intake: Callable[[Configuration], CleanupIntake]
    """smtpd's door: the queue."""
    direct: Callable[[Configuration], Door]
    """lmtpd's: the mailboxes."""
    journal: Journal
    accounts: Accounts | None
    limits: ClientLimits
    flush: Callable[[str], Awaitable[bool | None]] | None = None
    resolve: Resolve | None = None
    """Routing, for what milters are told."""
    notify: Intake | None = None
    """The door of notices to postmaster."""
    workers: int = 1
    """How many mail workers share this listener's limits."""
    tickets: Tickets | None = None
    """What all workers' TLS session tickets are made with."""
    sasl_servers: dict[str, DovecotServer] = field(default_factory=dict)
    """By smtpd_sasl_path: listeners with the same one share its connection."""


def open_smtpd(service: Service, configuration: Configuration, parts: SmtpdParts) -> SmtpListener:
    """The sessions of one line. Call while the process may still read keys and tables. Raises ConfigError."""
    own = service_configuration(configuration, service)
    log = service_log(own, parts.sink, service.command)
    with speaking(log.warning, log.error):
        return _open(service, own, parts, log)


def _open(service: Service, own: Configuration, parts: SmtpdParts, log: ProcessLog) -> SmtpListener:
    require_no_words(service)
    require_program(own, "smtpd")
    settings = read_settings(SmtpdServiceSettings, own)
    authenticator: AccountAuthenticator | None = None
    sasl_server: DovecotMechanisms | None = None
    if settings.smtpd_sasl_auth_enable:
        if settings.smtpd_sasl_type == "dovecot":
            sasl_server = DovecotMechanisms(_dovecot(settings, parts, log.warning), settings.smtpd_sasl_service)
        elif settings.smtpd_sasl_type not in OWN_SASL_TYPES:
            raise ConfigError(f"unsupported SASL server implementation: {settings.smtpd_sasl_type}")
        elif parts.accounts is not None:
            authenticator = AccountAuthenticator(parts.accounts, settings.smtpd_sasl_local_domain)
    queue = parts.intake(own)
    smtp = open_smtp_service(
        own,
        stages=parts.stages(own),
        intake=parts.direct(own) if service.command == "lmtpd" else queue,
        log=log,
        journal=parts.journal,
        name=service.name,
        resolver=parts.resolver if settings.smtpd_peername_lookup else None,
        hosts=parts.hosts,
        tls_context=arrange_tickets(open_tls_context(own, log.warning), own, parts.tickets, service.name, log.warning),
        authenticator=authenticator,
        sasl_server=sasl_server,
        limits=parts.limits,
        flush=parts.flush,
        milters=open_smtpd_milters(own, chroot=service.chroot),
        proxy=open_proxy_filter(own, _reach_filter(settings.queue_directory, chroot=service.chroot)),
        resolve=parts.resolve,
    )
    smtp.room = queue.room
    if parts.notify is not None and service.command == "smtpd":
        smtp.notices = open_session_notices(own, parts.notify, log)
    if parts.workers > 1:
        smtp.settings = smtpd_part(smtp.settings, parts.workers)
    return SmtpListener(as_lmtp(smtp) if service.command == "lmtpd" else smtp)


def _reach_filter(queue_directory: str, *, chroot: bool) -> Reach:
    """smtpd_proxy_filter says host:port where others say inet:host:port."""
    connect = reach(queue_directory, chroot=chroot)

    async def open_stream(endpoint: str, timeout: float) -> Stream:
        plain = not endpoint.startswith(("inet:", "unix:"))
        return await connect(f"inet:{endpoint}" if plain else endpoint, timeout)

    return open_stream


def _dovecot(settings: SmtpdServiceSettings, parts: SmtpdParts, warn: Callable[[str], None]) -> DovecotServer:
    path = settings.smtpd_sasl_path
    server = parts.sasl_servers.get(path)
    if server is None:
        stream = dovecot_stream(path, settings.queue_directory)
        server = parts.sasl_servers[path] = DovecotServer(path, stream, warn)
    return server
