"""Files that the configuration names: tables and certificates."""

import os
from collections.abc import Sequence

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

TABLE_PARAMETERS = ("_maps", "_checks", "alias_database", "_access_list")
"""Endings of parameters whose words are tables."""


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
        if name not in PARAMETERS:
            continue
        if name.endswith(TABLE_PARAMETERS):
            for word in configuration.words(name):
                findings += _check_table(configuration, name, word)
        elif name.endswith(("_cert_file", "_key_file", "_CAfile", "_chain_files")) and "_tls_" in name:
            for path in configuration.words(name):
                if path not in {"none", "$"} and not os.path.exists(path):
                    findings.append(found(configuration, "error", name, f"{name}: {path}: No such file or directory"))
    return findings


def _check_table(configuration: Configuration, name: str, word: str) -> list[Finding]:
    kind, colon, path = word.strip("{} ").removeprefix("proxy:").partition(":")
    if not colon or not kind.isalnum():
        return []
    if kind in ABSENT_TYPES:
        text = f"{name}: tables of type {kind} are not supported so far: mail that needs {word} could never be served"
        return [found(configuration, "error", name, text)]
    if kind not in TABLE_TYPES:
        return [found(configuration, "error", name, f"{name}: unsupported dictionary type: {kind}")]
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
