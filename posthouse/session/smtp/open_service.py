"""An SMTP listener from its configuration: settings, tables and lists.

Everything is opened here, before serving and, where files need it, while still root.

Errors: ConfigError from the parameters.
"""

import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.interfaces import own_interfaces
from posthouse.config.settings import read_settings
from posthouse.dns.hosts import HostsFile
from posthouse.dns.resolver import Resolver
from posthouse.envelope.envelope import Client
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Journal
from posthouse.policy.milter.milters import SmtpdMilters
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.proxy_filter import ProxyFilter
from posthouse.session.smtp.seams import (
    Authenticator,
    Door,
    HostMatch,
    Lookup,
    MechanismServer,
    NoHosts,
    Resolve,
    Stages,
    nothing,
)
from posthouse.session.smtp.security_options import unknown_option
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.session.smtp.tls import open_tls_context as open_tls_context
from posthouse.tables.maps import open_maps
from posthouse.tables.match_list import open_client_list, open_match_list


@dataclass(frozen=True, slots=True)
class SmtpdTables:
    """The lists and tables of a listener."""

    smtpd_client_event_limit_exceptions: str
    smtpd_sasl_exceptions_networks: str
    smtpd_sasl_mechanism_filter: str
    smtpd_authorized_xclient_hosts: str
    smtpd_authorized_xforward_hosts: str
    smtpd_authorized_verp_clients: str
    smtpd_discard_ehlo_keyword_address_maps: str
    smtpd_reject_footer_maps: str
    smtpd_command_filter: str
    smtpd_forbidden_commands: str
    local_header_rewrite_clients: tuple[str, ...]
    mynetworks: str


def open_smtp_service(
    configuration: Configuration,
    *,
    stages: Stages,
    intake: Door,
    log: ProcessLog,
    journal: Journal,
    name: str,
    resolver: Resolver | None = None,
    hosts: HostsFile | None = None,
    tls_context: ssl.SSLContext | None = None,
    authenticator: Authenticator | None = None,
    sasl_server: MechanismServer | None = None,
    limits: ClientLimits | None = None,
    flush: Callable[[str], Awaitable[bool | None]] | None = None,
    milters: SmtpdMilters | None = None,
    proxy: ProxyFilter | None = None,
    resolve: Resolve | None = None,
    stressed: Callable[[], bool] | None = None,
) -> SmtpService:
    """The service of one listener. `configuration` has the master.cf line's -o settings, `name` is its first field.

    `tls_context` comes from tls.open_tls_context(); `limits` is shared by a worker's listeners.
    """
    tables = read_settings(SmtpdTables, configuration)
    settings = read_settings(SmtpdSettings, configuration)
    if settings.smtpd_upstream_proxy_protocol not in ("", "haproxy"):
        raise ConfigError("parameter smtpd_upstream_proxy_protocol: unsupported protocol: only haproxy is known")
    if settings.smtpd_sasl_auth_enable:
        _require_options(settings.smtpd_sasl_security_options, "smtpd_sasl_security_options")
        _require_options(settings.smtpd_sasl_tls_security_options, "smtpd_sasl_tls_security_options")
    service = SmtpService(
        settings=settings,
        stages=stages,
        intake=intake,
        log=log,
        journal=journal,
        name=name,
        resolver=resolver,
        hosts=hosts,
        tls_context=tls_context,
        authenticator=authenticator,
        sasl_server=sasl_server,
        sasl_filter=open_match_list(
            tables.smtpd_sasl_mechanism_filter, configuration, "smtpd_sasl_mechanism_filter", parent_domains=False
        ),
        under_stress=read_settings(SmtpdSettings, configuration.with_overrides({"stress": "yes"}, "stress")),
        limit_exceptions=_clients(
            tables.smtpd_client_event_limit_exceptions, configuration, "smtpd_client_event_limit_exceptions"
        ),
        sasl_exceptions=_clients(
            tables.smtpd_sasl_exceptions_networks, configuration, "smtpd_sasl_exceptions_networks"
        ),
        xclient=_clients(tables.smtpd_authorized_xclient_hosts, configuration, "smtpd_authorized_xclient_hosts"),
        verp=_clients(tables.smtpd_authorized_verp_clients, configuration, "smtpd_authorized_verp_clients"),
        xforward=_clients(tables.smtpd_authorized_xforward_hosts, configuration, "smtpd_authorized_xforward_hosts"),
        discard_ehlo=open_lookup(
            tables.smtpd_discard_ehlo_keyword_address_maps, configuration, "smtpd_discard_ehlo_keyword_address_maps"
        ),
        footers=open_lookup(tables.smtpd_reject_footer_maps, configuration, "smtpd_reject_footer_maps"),
        command_filter=open_lookup(tables.smtpd_command_filter, configuration, "smtpd_command_filter"),
        forbidden=forbidden_words(tables.smtpd_forbidden_commands, configuration, "smtpd_forbidden_commands"),
        local_rewrite=_local_rewrite(tables, configuration),
        flush=flush,
        milters=milters,
        proxy=proxy,
        resolve=resolve,
    )
    service.limits = limits or ClientLimits(time.monotonic, settings.anvil_rate_time_unit)
    if stressed is not None:
        service.stressed = stressed
    return service


def _require_options(options: tuple[str, ...], parameter: str) -> None:
    word = unknown_option(options)
    if word is not None:
        raise ConfigError(f'unknown {parameter} value "{word}" in "{" ".join(options)}"')


def open_lookup(value: str, configuration: Configuration, parameter: str) -> Lookup:
    """A parameter's tables as a function from key to value."""
    if not value.strip():
        return nothing
    maps = open_maps(value, configuration, parameter)

    async def look(key: str) -> str | None:
        row = await maps.lookup(key)
        return None if row is None else row.value

    return look


BOGUS = "regexp:{{/^[^A-Z]/ Bogus}}"
"""The default's last word: done without a table, for it is asked of every command that is not known."""


def forbidden_words(value: str, configuration: Configuration, parameter: str) -> Lookup:
    """smtpd_forbidden_commands and its like, by the verb."""
    bogus = BOGUS in value
    words = open_match_list(value.replace(BOGUS, ""), configuration, parameter, parent_domains=False)

    async def look(key: str) -> str | None:
        if bogus and not ("A" <= key[:1].upper() <= "Z"):
            return BOGUS
        return await words.matches(key)

    return look


def _clients(value: str, configuration: Configuration, parameter: str) -> HostMatch:
    """A list of clients. An empty one costs a connection nothing."""
    return open_client_list(value, configuration, parameter) or NoHosts()


def _local_rewrite(tables: SmtpdTables, configuration: Configuration) -> Callable[[str, Client], Awaitable[bool]]:
    """local_header_rewrite_clients: whose headers are completed with our domain."""
    own: frozenset[str] = frozenset()
    networks: HostMatch | None = None
    authenticated = False
    lookups: list[Lookup] = []
    words = list(tables.local_header_rewrite_clients)
    while words:
        word = words.pop(0)
        if word == "permit_inet_interfaces":
            own = frozenset(str(interface.ip) for interface in own_interfaces(configuration))
        elif word == "permit_mynetworks":
            networks = open_client_list(tables.mynetworks, configuration, "mynetworks")
        elif word == "permit_sasl_authenticated":
            authenticated = True
        elif word == "check_address_map" and words:
            lookups.append(open_lookup(words.pop(0), configuration, "local_header_rewrite_clients"))
        elif ":" in word:
            lookups.append(open_lookup(word, configuration, "local_header_rewrite_clients"))
        else:
            raise ConfigError(f"parameter local_header_rewrite_clients: unknown or unsupported restriction: {word}")

    async def decide(peer: str, client: Client) -> bool:
        name, address = client.name, client.address
        if peer in own or (authenticated and client.sasl_username):
            return True
        if networks is not None and await networks.matches("" if name == "unknown" else name, address) is not None:
            return True
        for look in lookups:
            if await look(address) is not None:
                return True
        return False

    return decide
