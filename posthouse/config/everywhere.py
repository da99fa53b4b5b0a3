"""The parameters that every program of Postfix reads when it starts, whatever it is for.

A command that would be fine without them still refuses to run when one is bad, in the words
that Postfix uses: so a broken main.cf shows at once, not when mail has already been taken.
"""

import grp
import pwd
from collections.abc import Iterator

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.expand import MacroError, parse_level
from posthouse.config.logical_line import printable
from posthouse.config.settings import read_value

TYPES = {"bool": bool, "int": int, "time": int, "string": str, "raw": str}

EVERYWHERE = (
    *("address_verify_negative_cache", "application_event_drain_time", "backwards_bounce_logfile_compatibility"),
    *("berkeley_db_create_buffer_size", "berkeley_db_read_buffer_size", "daemon_table_open_error_is_fatal"),
    *("daemon_timeout", "debug_peer_level", "default_process_limit", "delay_logging_resolution_limit"),
    *("deliver_lock_attempts", "deliver_lock_delay", "disable_dns_lookups", "disable_mime_input_processing"),
    *("disable_mime_output_conversion", "dns_ncache_ttl_fix_enable", "dont_remove", "enable_idna2003_compatibility"),
    *("enable_long_queue_ids", "enable_original_recipient", "fault_injection_code", "fork_attempts", "fork_delay"),
    *("hash_queue_depth", "header_address_token_limit", "header_size_limit", "helpful_warnings", "in_flow_delay"),
    *("ipc_idle", "ipc_timeout", "ipc_ttl", "line_length_limit", "lmdb_map_size", "max_idle", "max_use"),
    *("message_size_limit", "mime_boundary_length_limit", "mime_nesting_limit", "multi_instance_enable"),
    *("owner_request_special", "respectful_logging", "send_cyrus_sasl_authzid", "smtputf8_enable", "soft_bounce"),
    *("stale_lock_time", "strict_7bit_headers", "strict_8bitmime", "strict_8bitmime_body"),
    *("strict_mime_encoding_domain", "strict_smtputf8", "tcp_windowsize", "trigger_timeout"),
    *("command_directory", "daemon_directory", "data_directory", "default_database_type", "default_privs"),
    *("mail_name", "mail_owner", "mydomain", "myhostname", "myorigin", "queue_directory", "setgid_group"),
    *("syslog_facility", "syslog_name"),
)
"""Names that postmap of Postfix 3.7 refuses to start with when their value is bad."""

PROTOCOLS = frozenset({"all", "ipv4", "ipv6"})


def require_everywhere(configuration: Configuration) -> None:
    """Raise ConfigError at the first of them that is bad; for commands, before they do anything."""
    for _, text in check_everywhere(configuration):
        raise ConfigError(text)


def check_everywhere(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Name and complaint of each bad one. Only what is set is looked at: defaults are good."""
    for name in EVERYWHERE:
        if not configuration.is_set(name):
            continue
        parameter = configuration.parameter(name)
        assert parameter is not None, "the catalog holds them all"
        try:
            read_value(configuration, name, TYPES[parameter.kind])
        except ConfigError as error:
            yield name, error.text
            return
    try:
        parse_level(configuration.value("compatibility_level"))
    except MacroError as error:
        yield "compatibility_level", error.text
    yield from _check_protocols(configuration)
    yield from _check_owners(configuration)
    if configuration.is_set("myorigin") and len(configuration.value("myorigin").replace(",", " ").split()) > 1:
        text = printable(configuration.value("myorigin"))
        yield "myorigin", f"myorigin parameter setting must not contain multiple values: {text}"


def _check_protocols(configuration: Configuration) -> Iterator[tuple[str, str]]:
    value = configuration.value("inet_protocols")
    for word in configuration.words("inet_protocols"):
        if word not in PROTOCOLS:
            yield "inet_protocols", f'unknown inet_protocols value "{word}" in "{value}"'
            return


def _check_owners(configuration: Configuration) -> Iterator[tuple[str, str]]:
    place = f"file {configuration.directory}/main.cf: parameter"
    for name in ("mail_owner", "default_privs"):
        if configuration.is_set(name):
            user = configuration.value(name)
            try:
                entry = pwd.getpwnam(user)
            except KeyError:
                yield name, f"{place} {name}: unknown user name value: {user}"
                continue
            if entry.pw_uid == 0:
                yield name, f"{place} {name}: user {user} has privileged user ID"
            elif entry.pw_gid == 0:
                yield name, f"{place} {name}: user {user} has privileged group ID"
    if configuration.is_set("setgid_group"):
        group = configuration.value("setgid_group")
        try:
            if grp.getgrnam(group).gr_gid == 0:
                yield "setgid_group", f"{place} setgid_group: group {group} has privileged group ID"
        except KeyError:
            yield "setgid_group", f"{place} setgid_group: unknown group name: {group}"
