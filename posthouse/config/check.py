"""What `postfix check` says about a configuration, without changing anything.

Errors are what keeps a service from reading its settings: a value of the wrong kind, a table
of an unknown type, a certificate that is not there. Warnings are advice: names that mean
nothing, domains in two classes, networks wider than the machine's, limits that disagree.
Each has the file and line that say so.
"""

from collections.abc import Sequence

from posthouse.config.check_advice import advice
from posthouse.config.check_files import check_files
from posthouse.config.check_names import check_names
from posthouse.config.check_networks import check_networks
from posthouse.config.check_values import check_values
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.finding import Finding
from posthouse.config.master_cf import MasterCf, Service, load_master_cf

__all__ = ["Finding", "check_configuration"]


def check_configuration(configuration: Configuration, services: Sequence[Service] | None = None) -> list[Finding]:
    """Everything there is to say, errors first. Without services master.cf is read too."""
    path = f"{configuration.directory}/master.cf"
    findings = [placed(text) for text in configuration.warnings]
    if services is None:
        try:
            master = load_master_cf(path)
        except ConfigError as error:
            findings.append(Finding("error", path, _line(error.text), "", error.text))
            master = MasterCf(path, [], [])
        findings += [placed(text, path) for text in master.warnings]
        services = master.services
    findings += check_values(configuration, services)
    for part in (check_names, check_files, check_networks, advice):
        try:
            findings += part(configuration, services)
        except ConfigError:
            # A value that cannot be read is told by check_values already.
            continue
    return sorted(findings, key=lambda finding: finding.level)


def placed(text: str, file: str = "") -> Finding:
    """A reader's warning as a finding, its "FILE, line N: " taken apart."""
    place, colon, rest = text.partition(": ")
    path, comma, number = place.partition(", line ")
    if comma and number.isdigit():
        return Finding("warning", path, int(number), "", rest)
    if colon and place.startswith("/"):
        return Finding("warning", place, 0, "", rest)
    return Finding("warning", file, 0, "", text)


def _line(text: str) -> int:
    word = text.partition(": line ")[2].partition(":")[0]
    return int(word) if word.isdigit() else 0
