"""check-takeover: whether the programs that a configuration sends mail and questions to answer on this machine."""

import os
import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise

from posthouse.commands.takeover_line import Line, scopes, why
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service

CONNECT_TIMEOUT = 2.0
"""Seconds for a filter or a policy server on this machine to accept a connection."""

NETWORK_AGENTS = ("smtp", "lmtp")


def neighbour_lines(configuration: Configuration, services: Sequence[Service]) -> list[Line]:
    """Milters, policy servers, logins, content filters and the servers that transports of this machine go to."""
    lines: dict[str, Line] = {}
    commands = {service.name: service.command for service in services if service.type in ("unix", "fifo")}
    for own, names in scopes(configuration, services):
        queue_directory = own.value("queue_directory")
        for name in sorted(names):
            for address in _addresses(own, name):
                if address not in lines:
                    lines[address] = answers(f"{name}: {address}", address, queue_directory)
            if name == "smtpd_sasl_auth_enable" and own.boolean(name):
                path = own.value("smtpd_sasl_path")
                lines[f"sasl {path}"] = _sasl(own, queue_directory)
            elif name == "content_filter" or (name.endswith("_transport") and name in PARAMETERS):
                for line in _transport(own, name, commands):
                    lines.setdefault(line.text, line)
    return list(lines.values()) or [Line("ok", "none")]


def _addresses(own: Configuration, name: str) -> Iterator[str]:
    """Milters and policy servers."""
    words = own.words(name) if name in PARAMETERS else ()
    found: list[str] = []
    if name in ("smtpd_milters", "non_smtpd_milters"):
        found = list(words)
    elif name.endswith("_restrictions"):
        found = [word for verb, word in pairwise(words) if verb == "check_policy_service"]
    for word in found:
        yield word.strip("{} ").partition(",")[0].strip()


def _transport(own: Configuration, name: str, commands: dict[str, str]) -> Iterator[Line]:
    """A transport and the place it goes to, where that is on this machine."""
    value = own.value(name)
    service, _, nexthop = value.partition(":")
    if not service:
        return
    if service not in commands:
        yield Line("stops", f"{name}: {value}: master.cf has no service {service}")
    elif commands[service] in NETWORK_AGENTS and nexthop:
        address = nexthop
        if not nexthop.startswith(("inet:", "unix:")):
            host, _, port = nexthop.rpartition(":")
            address = f"inet:{host}:{port}" if host and port.isdecimal() else f"inet:{nexthop}:25"
        line = answers(f"{name}: {value}", address, own.value("queue_directory"))
        if line.level != "note":
            yield line


def _sasl(own: Configuration, queue_directory: str) -> Line:
    kind, path = own.value("smtpd_sasl_type"), own.value("smtpd_sasl_path")
    if kind == "dovecot":
        address = path if path.startswith("inet:") else f"unix:{path}"
        return answers(f"smtpd_sasl_path: {path}", address, queue_directory)
    if kind == "posthouse" or own.is_set("account_databases"):
        return Line("ok", "logins: our own accounts (account_databases)")
    return Line("stops", f"smtpd_sasl_type = {kind}: Cyrus SASL is not served here; use dovecot, or account_databases")


def answers(what: str, address: str, queue_directory: str) -> Line:
    """Whether somebody on this machine listens; others are not asked."""
    kind, _, rest = address.partition(":")
    if kind in ("unix", "local"):
        paths = [os.path.join(queue_directory, rest.lstrip("/")), rest] if rest.startswith("/") else []
        paths = paths or [os.path.join(queue_directory, rest)]
        failure = ""
        for path in paths:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(CONNECT_TIMEOUT)
                try:
                    connection.connect(path)
                    return Line("ok", f"{what}: answers")
                except OSError as error:
                    failure = why(error)
        return Line("warning", f"{what}: {failure}: does its server run?")
    if kind != "inet":
        return Line("note", f"{what}: not tried")
    host, _, port = rest.rpartition(":")
    host = host.strip("[]") or "localhost"
    if host not in ("localhost", "::1") and not host.startswith("127."):
        return Line("note", f"{what}: another host; not tried")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except (OSError, ValueError) as error:
        return Line("warning", f"{what}: {why(error)}: does its server run?")
    return Line("ok", f"{what}: answers")
