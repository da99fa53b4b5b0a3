"""Files that the configuration names: tables and certificates."""

import os
from collections.abc import Sequence
from itertools import pairwise

from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.configuration import Configuration
from posthouse.config.finding import Finding, found
from posthouse.config.master_cf import Service
from posthouse.config.words import split_words

TABLE_TYPES = frozenset(
    {
        *("btree", "cdb", "cidr", "environ", "fail", "hash", "inline", "internal", "ldap", "lmdb", "memcache", "mysql"),
        *("nis", "pcre", "pgsql", "pipemap", "proxy", "randmap", "regexp", "socketmap", "sqlite", "static", "tcp"),
        *("texthash", "unionmap", "unix"),
    }
)
"""Types that can be opened (a house test holds this against posthouse.tables)."""

ABSENT_TYPES = frozenset({"dbm", "debug", "mongodb", "netinfo", "nisplus", "sdbm"})
"""Postfix's types that are not here so far: mail that needs such a table would wait for ever."""

INDEXED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}
"""Types that postmap makes from a source, and what it adds to the source's name."""

READ_AS_THEY_ARE = frozenset({"regexp", "pcre", "cidr", "texthash"})

TABLE_PARAMETERS = (
    *("_maps", "_checks", "alias_database", "_access_list", "_command_filter", "_status_filter", "_reply_map"),
)
"""Endings of parameters whose words are tables."""

LIST_PARAMETERS = frozenset(
    {
        *("fast_flush_domains", "local_header_rewrite_clients", "mydestination", "mynetworks", "relay_domains"),
        *("smtpd_authorized_verp_clients", "smtpd_authorized_xclient_hosts", "smtpd_authorized_xforward_hosts"),
        *("smtpd_client_event_limit_exceptions", "virtual_alias_domains", "virtual_mailbox_domains"),
    }
)
"""Lists whose words may be tables, or files that hold more words."""


def table_words(configuration: Configuration, name: str) -> Sequence[str]:
    """The words of a parameter that name tables (`type:name`, with proxy: and braces as written) or files."""
    if name in ("proxy_read_maps", "proxy_write_maps"):
        return ()
    words = configuration.words(name)
    if name.endswith(TABLE_PARAMETERS):
        return words
    if name in LIST_PARAMETERS:
        bare = [word.lstrip("!") for word in words]
        # Others with a colon are addresses of IP version 6.
        known = TABLE_TYPES | ABSENT_TYPES
        return [word for word in bare if word.startswith("/") or word.removeprefix("proxy:").partition(":")[0] in known]
    if name.endswith("_restrictions") or name in configuration.words("smtpd_restriction_classes"):
        return [word for verb, word in pairwise(words) if verb.startswith("check_") and verb.endswith("_access")]
    return ()


def check_files(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """Tables of unknown types, tables without a file or older than their source, certificates that are not there."""
    findings = _check(configuration, configuration.names())
    for service in services:
        own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
        findings += _check(own, tuple(service.overrides))
    return findings


def _check(configuration: Configuration, names: Sequence[str]) -> list[Finding]:
    findings: list[Finding] = []
    for name in names:
        if name not in PARAMETERS and name not in configuration.words("smtpd_restriction_classes"):
            continue
        for word in table_words(configuration, name):
            findings += _check_table(configuration, name, word)
        if name.endswith(("_cert_file", "_key_file", "_CAfile", "_chain_files")) and "_tls_" in name:
            for path in configuration.words(name):
                if path not in {"none", "$"} and not os.path.exists(path):
                    findings.append(found(configuration, "error", name, f"{name}: {path}: No such file or directory"))
    return findings


def _check_table(configuration: Configuration, name: str, word: str) -> list[Finding]:
    if word.startswith("/") and not os.path.exists(word):
        text = f"{name}: {word}: No such file or directory; mail that needs it waits"
        return [found(configuration, "warning", name, text)]
    kind, colon, path = word.strip("{} ").removeprefix("proxy:").partition(":")
    if not colon or not kind.isalnum():
        return []
    if kind in ABSENT_TYPES:
        text = f"{name}: tables of type {kind} are not supported so far: mail that needs {word} could never be served"
        return [found(configuration, "error", name, text)]
    if kind not in TABLE_TYPES:
        text = f"{name}: unsupported dictionary type: {kind}; mail that needs it waits"
        return [found(configuration, "warning", name, text)]
    if kind in {"pipemap", "unionmap"}:
        inner = split_words(path.strip("{} "))
        return [finding for part in inner for finding in _check_table(configuration, name, part)]
    if kind in READ_AS_THEY_ARE and path.startswith("/") and not os.path.exists(path):
        text = f"{name}: {kind}:{path} is unavailable: No such file or directory; mail that needs it waits"
        return [found(configuration, "warning", name, text)]
    if kind in INDEXED and path.startswith("/"):
        return _check_indexed(configuration, name, kind, path)
    return []


def _check_indexed(configuration: Configuration, name: str, kind: str, path: str) -> list[Finding]:
    index = path + INDEXED[kind]
    try:
        made = os.stat(index).st_mtime
    except OSError:
        text = f"{name}: open database {index}: No such file or directory; run: postmap {kind}:{path}"
        return [found(configuration, "warning", name, text)]
    try:
        source = os.stat(path).st_mtime
    except OSError:
        return []
    if source > made:
        text = f"{name}: database {index} is older than source file {path}; run: postmap {kind}:{path}"
        return [found(configuration, "warning", name, text)]
    return []
