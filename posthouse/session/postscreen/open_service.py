"""A postscreen listener from its configuration: settings, tables and lists. Opened before serving, while still root.

Errors: ConfigError from the parameters.
"""

from dataclasses import replace

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.dns.resolver import Resolver
from posthouse.host.log import ProcessLog
from posthouse.journal.journal import Journal
from posthouse.session.postscreen.access_list import open_access_list
from posthouse.session.postscreen.cache import Cleaning, open_cache
from posthouse.session.postscreen.dnsbl import DnsScores, parse_sites
from posthouse.session.postscreen.passes import EnabledTests
from posthouse.session.postscreen.queues import Queues
from posthouse.session.postscreen.service import NextServer, PostscreenService
from posthouse.session.postscreen.settings import (
    PostscreenSettings,
    PostscreenTables,
    read_actions,
    read_patience,
    read_postscreen,
)
from posthouse.session.smtp.open_service import forbidden_words, open_lookup, open_tls_context
from posthouse.tables.match_list import open_match_list

ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def open_postscreen_service(
    configuration: Configuration,
    *,
    server: NextServer,
    resolver: Resolver,
    log: ProcessLog,
    journal: Journal,
    workers: int = 1,
) -> PostscreenService:
    """The service of one listener; `configuration` has the master.cf line's -o settings. `workers` share its limits."""
    settings = _part(read_postscreen(configuration), workers)
    tables = read_settings(PostscreenTables, configuration)
    level = settings.postscreen_tls_security_level
    if level.lower() not in ("", "none", "may", "encrypt"):
        log.warning(f'postscreen_tls_security_level: unsupported TLS level "{level}", using "encrypt"')
    tests = EnabledTests(settings)
    sites = parse_sites(settings.postscreen_dnsbl_sites)
    scores = None
    if sites:
        shown = open_lookup(tables.postscreen_dnsbl_reply_map, configuration, "postscreen_dnsbl_reply_map")
        timeout = settings.postscreen_dnsbl_timeout
        scores = DnsScores(sites, resolver, timeout, log.program("dnsblog"), shown, log.warning)
    cache = open_cache(tables.postscreen_cache_map, log.warning)
    cleaning = Cleaning(
        cache, tests, settings.postscreen_cache_cleanup_interval, settings.postscreen_cache_retention_time
    )
    discard = "postscreen_discard_ehlo_keyword_address_maps"
    return PostscreenService(
        settings=settings,
        patience=read_patience(configuration, stress=False),
        patience_under_stress=read_patience(configuration, stress=True),
        actions=read_actions(settings),
        tests=tests,
        access=open_access_list(tables.postscreen_access_list, tables.mynetworks, configuration, log.warning),
        interfaces=open_match_list(
            tables.postscreen_allowlist_interfaces,
            configuration,
            "postscreen_allowlist_interfaces",
            parent_domains=False,
        ),
        cache=cache,
        cleaning=cleaning,
        queues=Queues(settings.postscreen_pre_queue_limit, log.info),
        next=server,
        log=log,
        journal=journal,
        scores=scores,
        tls_context=open_tls_context(configuration, log.warning, "postscreen_") if settings.tls_offered else None,
        footers=open_lookup(tables.postscreen_reject_footer_maps, configuration, "postscreen_reject_footer_maps"),
        reject_footer=_unexpanded(tables.postscreen_reject_footer, "smtpd_reject_footer", configuration),
        footer_letters=letters(
            _unexpanded(tables.postscreen_expansion_filter, "smtpd_expansion_filter", configuration)
        ),
        discard_ehlo=open_lookup(tables.postscreen_discard_ehlo_keyword_address_maps, configuration, discard),
        command_filter=open_lookup(tables.postscreen_command_filter, configuration, "postscreen_command_filter"),
        command_filter_name=f"postscreen_command_filter:{tables.postscreen_command_filter}",
        forbidden=forbidden_words(tables.postscreen_forbidden_commands, configuration, "postscreen_forbidden_commands"),
        origin=configuration.origin,
    )


def _part(settings: PostscreenSettings, workers: int) -> PostscreenSettings:
    """One worker's part of what holds for the machine."""
    if workers == 1:
        return settings

    def part(limit: int) -> int:
        return max(1, limit // workers) if limit else 0

    return replace(
        settings,
        postscreen_client_connection_count_limit=part(settings.postscreen_client_connection_count_limit),
        postscreen_pre_queue_limit=part(settings.postscreen_pre_queue_limit),
        postscreen_post_queue_limit=part(settings.postscreen_post_queue_limit),
    )


def _unexpanded(value: str, default: str, configuration: Configuration) -> str:
    """A raw value whose default is another raw parameter."""
    return configuration.raw(default) if value == f"${default}" else value


def letters(text: str) -> frozenset[str]:
    """The characters of an expansion filter, with C's escapes: "\\t\\40!"."""
    found = set()
    place = 0
    while place < len(text):
        letter = text[place]
        place += 1
        if letter == "\\" and place < len(text):
            digits = ""
            while len(digits) < 3 and place < len(text) and text[place] in "01234567":
                digits += text[place]
                place += 1
            if digits:
                letter = chr(int(digits, 8) & 255)
            else:
                letter = ESCAPES.get(text[place], text[place])
                place += 1
        found.add(letter)
    return frozenset(found)
