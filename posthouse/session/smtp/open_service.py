"""An SMTP listener from its configuration: settings, tables, lists and the TLS context.

Everything is opened here, before serving and, where files need it, while still root.

Errors: ConfigError from the parameters; TlsUnusable is not raised: a listener without a usable
certificate serves without TLS after a warning, as Postfix does.
"""

import os
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
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Journal
from posthouse.net.tls import CIPHER_LISTS, KeyPair, TlsUnusable, cipher_list, server_context
from posthouse.session.smtp.client_limits import ClientLimits
from posthouse.session.smtp.seams import Authenticator, Door, HostMatch, Lookup, Stages, nothing
from posthouse.session.smtp.service import SmtpService
from posthouse.session.smtp.settings import SmtpdSettings
from posthouse.tables.maps import open_maps
from posthouse.tables.match_list import open_client_list, open_match_list


@dataclass(frozen=True, slots=True)
class SmtpdTables:
    """The lists and tables of a listener."""

    smtpd_client_event_limit_exceptions: str
    smtpd_sasl_exceptions_networks: str
    smtpd_authorized_xclient_hosts: str
    smtpd_authorized_xforward_hosts: str
    smtpd_authorized_verp_clients: str
    smtpd_discard_ehlo_keyword_address_maps: str
    smtpd_reject_footer_maps: str
    smtpd_command_filter: str
    smtpd_forbidden_commands: str
    local_header_rewrite_clients: tuple[str, ...]
    mynetworks: str


@dataclass(frozen=True, slots=True)
class SmtpdTlsSettings:
    """What makes a listener's TLS context."""

    smtpd_tls_cert_file: str
    smtpd_tls_key_file: str
    smtpd_tls_eccert_file: str
    smtpd_tls_eckey_file: str
    smtpd_tls_chain_files: tuple[str, ...]
    smtpd_tls_CAfile: str
    smtpd_tls_CApath: str
    tls_append_default_CA: bool
    smtpd_tls_req_ccert: bool
    smtpd_tls_security_level: str
    smtpd_enforce_tls: bool
    smtpd_tls_protocols: str
    smtpd_tls_mandatory_protocols: str
    smtpd_tls_ciphers: str
    smtpd_tls_mandatory_ciphers: str
    smtpd_tls_exclude_ciphers: tuple[str, ...]
    smtpd_tls_mandatory_exclude_ciphers: tuple[str, ...]
    tls_high_cipherlist: str
    tls_medium_cipherlist: str
    tls_low_cipherlist: str
    tls_export_cipherlist: str
    tls_null_cipherlist: str
    tls_preempt_cipherlist: bool


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
    limits: ClientLimits | None = None,
    flush: Callable[[str], Awaitable[bool | None]] | None = None,
    stressed: Callable[[], bool] | None = None,
) -> SmtpService:
    """The service of one listener. `configuration` has the master.cf line's -o settings, `name` is its first field.

    `tls_context` comes from open_tls_context(); `limits` is shared by a worker's listeners.
    """
    tables = read_settings(SmtpdTables, configuration)
    settings = read_settings(SmtpdSettings, configuration)
    if settings.smtpd_upstream_proxy_protocol not in ("", "haproxy"):
        raise ConfigError("parameter smtpd_upstream_proxy_protocol: unsupported protocol: only haproxy is known")
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
        under_stress=read_settings(SmtpdSettings, configuration.with_overrides({"stress": "yes"}, "stress")),
        limit_exceptions=open_client_list(
            tables.smtpd_client_event_limit_exceptions, configuration, "smtpd_client_event_limit_exceptions"
        ),
        sasl_exceptions=open_client_list(
            tables.smtpd_sasl_exceptions_networks, configuration, "smtpd_sasl_exceptions_networks"
        ),
        xclient=open_client_list(
            tables.smtpd_authorized_xclient_hosts, configuration, "smtpd_authorized_xclient_hosts"
        ),
        verp=open_client_list(tables.smtpd_authorized_verp_clients, configuration, "smtpd_authorized_verp_clients"),
        xforward=open_client_list(
            tables.smtpd_authorized_xforward_hosts, configuration, "smtpd_authorized_xforward_hosts"
        ),
        discard_ehlo=_table(
            tables.smtpd_discard_ehlo_keyword_address_maps, configuration, "smtpd_discard_ehlo_keyword_address_maps"
        ),
        footers=_table(tables.smtpd_reject_footer_maps, configuration, "smtpd_reject_footer_maps"),
        command_filter=_table(tables.smtpd_command_filter, configuration, "smtpd_command_filter"),
        forbidden=_words(tables.smtpd_forbidden_commands, configuration),
        local_rewrite=_local_rewrite(tables, configuration),
        flush=flush,
    )
    service.limits = limits or ClientLimits(time.monotonic, settings.anvil_rate_time_unit)
    if stressed is not None:
        service.stressed = stressed
    return service


def _table(value: str, configuration: Configuration, parameter: str) -> Lookup:
    if not value.strip():
        return nothing
    maps = open_maps(value, configuration, parameter)

    async def look(key: str) -> str | None:
        row = await maps.lookup(key)
        return None if row is None else row.value

    return look


def _words(value: str, configuration: Configuration) -> Lookup:
    words = open_match_list(value, configuration, "smtpd_forbidden_commands", parent_domains=False)

    async def look(key: str) -> str | None:
        return await words.matches(key)

    return look


def _local_rewrite(tables: SmtpdTables, configuration: Configuration) -> Callable[[str, str, str], Awaitable[bool]]:
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
            lookups.append(_table(words.pop(0), configuration, "local_header_rewrite_clients"))
        elif ":" in word:
            lookups.append(_table(word, configuration, "local_header_rewrite_clients"))
        else:
            raise ConfigError(f"parameter local_header_rewrite_clients: unknown or unsupported restriction: {word}")

    async def decide(name: str, address: str, login: str) -> bool:
        if address in own or (authenticated and login):
            return True
        if networks is not None and await networks.matches("" if name == "unknown" else name, address) is not None:
            return True
        for look in lookups:
            if await look(address) is not None:
                return True
        return False

    return decide


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def open_tls_context(configuration: Configuration, warn: Callable[[str], None]) -> ssl.SSLContext | None:
    """The listener's context, or None when there is no usable certificate (after a warning). Reads keys: call it while
    still root."""
    settings = read_settings(SmtpdTlsSettings, configuration)
    level = settings.smtpd_tls_security_level.lower()
    mandatory = level == "encrypt" or (not level and settings.smtpd_enforce_tls)
    pairs = []
    try:
        if settings.smtpd_tls_chain_files:
            pairs = [KeyPair(data, data) for data in map(_read, settings.smtpd_tls_chain_files)]
        else:
            for certificate, key in (
                (settings.smtpd_tls_cert_file, settings.smtpd_tls_key_file),
                (settings.smtpd_tls_eccert_file, settings.smtpd_tls_eckey_file),
            ):
                if certificate and certificate != "none":
                    pairs.append(KeyPair(_read(certificate), _read(key or certificate)))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        warn(f'cannot get certificate from file "{error.filename}": {why}: disabling TLS support')
        return None
    if not pairs:
        return None
    exclude = [*settings.smtpd_tls_exclude_ciphers]
    if mandatory:
        exclude += settings.smtpd_tls_mandatory_exclude_ciphers
    lists = {**CIPHER_LISTS, **{grade: getattr(settings, f"tls_{grade}_cipherlist") for grade in CIPHER_LISTS}}
    grade = settings.smtpd_tls_mandatory_ciphers if mandatory else settings.smtpd_tls_ciphers
    try:
        return server_context(
            pairs,
            protocols=settings.smtpd_tls_mandatory_protocols if mandatory else settings.smtpd_tls_protocols,
            ciphers=cipher_list(grade, exclude, lists),
            preempt_cipherlist=settings.tls_preempt_cipherlist,
            require_client_certificate=settings.smtpd_tls_req_ccert and mandatory,
            ca_file=settings.smtpd_tls_CAfile,
            ca_path=settings.smtpd_tls_CApath,
            append_default_ca=settings.tls_append_default_CA,
        )
    except TlsUnusable as error:
        warn(f"{error}: disabling TLS support")
        return None
