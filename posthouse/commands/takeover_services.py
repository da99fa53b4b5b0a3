"""check-takeover: what the lines of master.cf mean here."""

import grp
import os
import pwd
from collections.abc import Sequence

from posthouse.commands.takeover_line import Line
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import Service
from posthouse.service.listeners import ACCESS_COMMANDS, MAIL_COMMANDS

AGENTS = ("smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "store")
"""Commands of delivery agents (service/transports.py)."""

REPLACED = {
    "pickup": "its -o settings act",
    "cleanup": "in the mail worker; its -o settings act",
    "qmgr": "the schedule of the mail worker",
    "nqmgr": "the schedule of the mail worker",
    "oqmgr": "the schedule of the mail worker",
    "tlsmgr": "in the mail worker",
    "trivial-rewrite": "in the mail worker",
    "bounce": "in the mail worker",
    "flush": "the queue is searched",
    "showq": "the queue's control socket",
    "verify": "in the mail worker",
    "proxymap": "tables are opened by who reads them",
    "anvil": "in the mail worker",
    "scache": "connections stay with their worker",
    "postlogd": "the master opens the log",
    "tlsproxy": "in the mail worker",
    "dnsblog": "in the mail worker",
}
"""Postfix's own helpers: no process of ours has their name."""

ONCE = ("qmgr", "nqmgr", "oqmgr", "trivial-rewrite")
"""Helpers of which there is one here: a second one with settings of its own is not kept apart."""


def service_lines(configuration: Configuration, services: Sequence[Service]) -> list[Line]:
    """A line for each service, and one for all chroots."""
    lines = [_line(configuration, services, service) for service in services]
    caged = sum(bool(service.chroot) for service in services)
    if caged:
        lines.append(
            Line("note", f"{caged} with chroot = y: nothing runs in a chroot here; sockets are sought there too")
        )
    return lines


def _line(configuration: Configuration, services: Sequence[Service], service: Service) -> Line:
    what = f"master.cf:{service.line}: {service.name} {service.type} {service.command}"
    if service.command in (*MAIL_COMMANDS, *ACCESS_COMMANDS):
        if service.type == "inet" or (service.type == "pass" and _in_front(services)):
            return Line("ok", f"{what}: served")
        return Line("stops", f"{what}: only inet listeners are served")
    if service.command in ("pipe", "spawn"):
        lacking = _lacking(service)
        if not lacking:
            return Line("ok", f"{what}: served")
        if service.command == "pipe":
            level = "warning" if service.name in _transports(configuration) else "note"
            return Line(level, f"{what}: {lacking}: mail that it is given would wait")
        level = "stops" if _asked_for(configuration, services, service) else "note"
        return Line(level, f"{what}: {lacking}: nobody would answer there")
    if service.command in AGENTS:
        return Line("ok", f"{what}: served")
    if service.command in REPLACED:
        first = next(other for other in services if other.command == service.command)
        own = service.overrides.keys() - {"syslog_name", "syslog_facility"}
        if service.command in ONCE and own and first is not service:
            return Line(
                "note", f"{what}: there is one for all mail here: its own {', '.join(sorted(own))} does nothing"
            )
        return Line("ok", f"{what}: needs no process ({REPLACED[service.command]})")
    return Line("stops", f"{what}: not served: nobody would answer there")


def _in_front(services: Sequence[Service]) -> bool:
    return any(service.command == "postscreen" for service in services)


def _transports(configuration: Configuration) -> set[str]:
    """Names of the transports that main.cf gives mail to by name."""
    names = [name for name in configuration.names() if name.endswith("_transport") or name == "content_filter"]
    return {configuration.value(name).partition(":")[0] for name in names}


def _lacking(service: Service) -> str:
    """What a pipe's line names and this machine has not: a user, a group, a command."""
    for position, word in enumerate(service.arguments):
        name, _, value = word.partition("=")
        if name == "user":
            user, _, group = value.partition(":")
            try:
                pwd.getpwnam(user)
            except KeyError:
                return f"no user {user}"
            try:
                grp.getgrnam(group or "root")
            except KeyError:
                return f"no group {group}"
        elif name == "argv":
            command = value or "".join(service.arguments[position + 1 : position + 2])
            if command.startswith("/") and not os.access(command, os.X_OK):
                return f"no command {command}"
    return ""


def _asked_for(configuration: Configuration, services: Sequence[Service], service: Service) -> bool:
    """Whether a value mentions the service's socket or port: a policy server that master.cf starts, a table."""
    host, _, port = service.name.rpartition(":")
    if service.type == "inet" and not host.startswith("127."):
        return True
    place = f":{port}" if service.type == "inet" else f"private/{service.name}"
    values = [configuration.raw(name) for name in configuration.names()]
    values += [value for other in services for value in other.overrides.values()]
    return any(place in value for value in values)
