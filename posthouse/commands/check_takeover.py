"""posthouse check-takeover: what of a Postfix configuration acts here, what does not, and what would stop mail.

    posthouse check-takeover [-c DIR]

A report in sections: versions, parameters, services, tables, filters and logins, certificates,
ports, users, the spool. Exit status 1 when something would stop mail. Nothing is changed, and
nobody is asked beyond this machine. The findings are those of `postfix check`, and what only
matters when the system is exchanged.
"""

import errno
import os
import socket
import ssl
import sys
from typing import NamedTuple

from posthouse import __version__
from posthouse.commands.takeover_line import Line, scopes, why
from posthouse.commands.takeover_neighbours import neighbour_lines
from posthouse.commands.takeover_services import service_lines
from posthouse.commands.takeover_tables import table_lines
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.check import check_configuration
from posthouse.config.check_files import TABLE_PARAMETERS
from posthouse.config.configuration import COMPUTED, Configuration
from posthouse.config.effect import state
from posthouse.config.error import ConfigError
from posthouse.config.finding import Finding
from posthouse.config.master_cf import Service, load_master_cf
from posthouse.service.listeners import ACCESS_COMMANDS, MAIL_COMMANDS, service_endpoints

SHOWN = 40
"""Lines of one kind in a section; the rest is counted."""


class Section(NamedTuple):
    """A title and what is said below it."""

    title: str
    lines: list[Line]


def report(configuration: Configuration) -> list[Section]:
    """The whole."""
    path = f"{configuration.directory}/master.cf"
    try:
        services = tuple(load_master_cf(path).services)
    except ConfigError as error:
        return [Section("Services", [Line("stops", error.text)])]
    findings = check_configuration(configuration, services)
    return [
        Section("Versions", _versions(configuration)),
        Section("Parameters", _parameters(configuration, services, findings)),
        Section("Services", service_lines(configuration, services)),
        Section("Tables", _tables(configuration, services, findings)),
        Section("Filters, policy servers and logins", neighbour_lines(configuration, services)),
        Section("Certificates", _certificates(configuration, services, findings)),
        Section("Ports", _ports(configuration, services)),
        Section("Users and groups", _users(configuration)),
        Section("Spool", _spool(configuration)),
    ]


def _versions(configuration: Configuration) -> list[Line]:
    import apsw

    python = ".".join(map(str, sys.version_info[:3]))
    return [
        Line("ok", f"Posthouse {__version__}, Python {python}, SQLite {apsw.sqlite_lib_version()}"),
        Line("ok", f"written for Postfix: compatibility_level {configuration.value('compatibility_level')}"),
    ]


def _place(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}: " if finding.line else (f"{finding.file}: " if finding.file else "")


def _level(finding: Finding) -> str:
    if finding.level == "error":
        return "stops"
    # Nothing is lost by what has no effect: its reason says what does the same.
    return "note" if state(finding.parameter) == "no effect" else "warning"


def _lines(findings: list[Finding]) -> list[Line]:
    lines = [Line(_level(finding), _place(finding) + finding.text) for finding in findings]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [Line("note", f"and {len(lines) - SHOWN} more: postfix check tells all")]
    return lines


def _about(finding: Finding) -> str:
    """The section that a finding belongs to."""
    if finding.parameter.endswith(TABLE_PARAMETERS) and state(finding.parameter) == "acts":
        return "tables"
    if finding.parameter.endswith(("_cert_file", "_key_file", "_CAfile", "_chain_files")):
        return "certificates"
    return "parameters"


def _parameters(configuration: Configuration, services: tuple[Service, ...], findings: list[Finding]) -> list[Line]:
    names = {name for name in configuration.names() if name in PARAMETERS and name not in COMPUTED}
    for service in services:
        names.update(name for name in service.overrides if name in PARAMETERS)
    # A value that asks for nothing is kept by doing nothing: what is told is what counts.
    told = {finding.parameter for finding in findings}
    counts = {"acts": 0, "no effect": 0, "missing": 0}
    for name in names:
        counts[state(name) if name in told or state(name) == "no effect" else "acts"] += 1
    head = f"{len(names)} set: {counts['acts']} act, {counts['no effect']} have no effect, {counts['missing']} missing"
    return [Line("ok", head), *_lines([finding for finding in findings if _about(finding) == "parameters"])]


def _tables(configuration: Configuration, services: tuple[Service, ...], findings: list[Finding]) -> list[Line]:
    opened = table_lines(configuration, services)
    shut = [word for word, line in opened.items() if line.level == "stops"]
    others = [f for f in findings if _about(f) == "tables" and not any(word in f.text for word in shut)]
    told = [line for line in _lines(others) if line.level != "note"]
    return [*opened.values(), *told] or [Line("ok", "none")]


def _certificates(configuration: Configuration, services: tuple[Service, ...], findings: list[Finding]) -> list[Line]:
    lines: dict[str, Line] = {}
    for own, names in scopes(configuration, services):
        for name in sorted(names):
            if name not in PARAMETERS or not name.endswith(("_cert_file", "_chain_files")):
                continue
            if name.endswith("_chain_files"):
                lines |= _chain(name, own.words(name))
                continue
            certificate = own.value(name)
            key = own.value(name.replace("_cert_file", "_key_file")) or certificate
            if certificate in ("", "none") or not os.path.exists(certificate):
                continue
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
                lines[certificate] = Line("ok", f"{name}: {certificate}: readable, and its key fits")
            except (OSError, ssl.SSLError) as error:
                text = getattr(error, "reason", "") or error.strerror or str(error)
                lines[certificate] = Line("stops", f"{name}: {certificate}: {text}")
    told = _lines([finding for finding in findings if _about(finding) == "certificates"])
    return [*lines.values(), *told] or [Line("ok", "none")]


def _chain(name: str, paths: tuple[str, ...]) -> dict[str, Line]:
    from posthouse.net.tls import TlsUnusable, chain_pairs, server_context

    shown = " ".join(paths)
    if not all(os.path.exists(path) for path in paths):
        return {}
    try:
        parts = []
        for path in paths:
            with open(path, "rb") as file:
                parts.append(file.read())
        server_context(chain_pairs(b"".join(parts)))
    except (OSError, TlsUnusable) as error:
        return {shown: Line("stops", f"{name}: {shown}: {why(error)}")}
    return {shown: Line("ok", f"{name}: {shown}: readable, and the keys fit")}


def _ports(configuration: Configuration, services: tuple[Service, ...]) -> list[Line]:
    from posthouse.service.instance import running_pid

    lines = []
    pid = running_pid(configuration.value("queue_directory"))
    for service in services:
        if service.type != "inet" or service.command not in (*MAIL_COMMANDS, *ACCESS_COMMANDS):
            continue
        try:
            endpoints = service_endpoints(service, configuration)
        except ConfigError as error:
            lines.append(Line("stops", f"master.cf:{service.line}: {error.text}"))
            continue
        for endpoint in endpoints:
            where = f"{endpoint.host} port {endpoint.port}"
            with socket.socket(endpoint.family, socket.SOCK_STREAM) as trial:
                try:
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if endpoint.family == socket.AF_INET6:
                        trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    trial.bind((endpoint.host, endpoint.port))
                    lines.append(Line("ok", f"{where}: free"))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE and pid is not None:
                        lines.append(Line("ok", f"{where}: held while the mail system runs (pid {pid})"))
                    elif error.errno == errno.EACCES:
                        lines.append(Line("warning", f"{where}: only root may try"))
                    else:
                        lines.append(Line("stops", f"{where}: {error.strerror}"))
    return lines or [Line("warning", "no listener: nothing comes in by the network")]


def _users(configuration: Configuration) -> list[Line]:
    import grp
    import pwd

    lines = []
    for name in ("mail_owner", "default_privs"):
        user = configuration.value(name)
        try:
            uid = pwd.getpwnam(user).pw_uid
        except KeyError:
            lines.append(Line("stops", f"{name}: no user {user}"))
            continue
        bad = uid == 0
        lines.append(Line("stops" if bad else "ok", f"{name}: {user}" + (" is root" if bad else f" (uid {uid})")))
    group = configuration.value("setgid_group")
    try:
        lines.append(Line("ok", f"setgid_group: {group} (gid {grp.getgrnam(group).gr_gid}); not needed here"))
    except KeyError:
        lines.append(Line("note", f"setgid_group: no group {group}; not needed here"))
    return lines


def _spool(configuration: Configuration) -> list[Line]:
    from posthouse.commands.spool_owner import ours_runs
    from posthouse.queue.staged import broken_off
    from posthouse.service.instance import left_by_postfix, running_pid

    path = configuration.value("queue_directory")
    lines = []
    pid = running_pid(path)
    if pid is None:
        lines.append(Line("ok", f"{path}: no mail system runs on it"))
    else:
        lines.append(Line("ok", f"{path}: {'Posthouse' if ours_runs(path) else 'Postfix'} runs on it (pid {pid})"))
    size = 0
    for queue, count in left_by_postfix(path):
        text = "pickup reads it" if queue == "maildrop" else "posthouse import-queue brings them over"
        lines.append(Line("note", f"{queue}: {count} message{'' if count == 1 else 's'} of Postfix; {text}"))
        for folder, _, names in os.walk(os.path.join(path, queue)):
            size += sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    if broken_off(os.path.join(path, "posthouse", "queue")) is not None:
        lines.append(Line("warning", "an import was broken off: run posthouse import-queue again"))
    for name in (path, configuration.value("data_directory")):
        there = name
        while not os.path.isdir(there) and there != "/":
            there = os.path.dirname(there) or "/"
        space = os.statvfs(there)
        free = space.f_bavail * space.f_frsize
        needed = size * 2 + max(configuration.integer("queue_minfree"), 2 * configuration.integer("message_size_limit"))
        level = "ok" if free > needed else "stops"
        lines.append(Line(level, f"{name}: {free >> 20} MiB free" + ("" if level == "ok" else ": too little")))
    return lines


MARKS = {"ok": " ", "note": "-", "warning": "?", "stops": "!"}


def print_report(sections: list[Section]) -> int:
    """Print it; how many things would stop mail."""
    for section in sections:
        print(section.title)
        for line in section.lines:
            print(f"  {MARKS[line.level]} {line.text}")
        print()
    lines = [line for section in sections for line in section.lines]
    stops = sum(line.level == "stops" for line in lines)
    warnings = sum(line.level == "warning" for line in lines)
    if stops:
        print(f"{stops} of this would stop mail (marked !), {warnings} to look at (marked ?).")
    else:
        print(f"Nothing of this would stop mail; {warnings} to look at (marked ?).")
    return stops


def main(directory: str) -> int:
    """Run the command; returns its exit status."""
    from posthouse.config.read import read_configuration

    return 1 if print_report(report(read_configuration(directory))) else 0
