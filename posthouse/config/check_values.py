"""Values that no service could read: not a number, not a time, too small, a user that does not exist."""

from collections.abc import Sequence

from posthouse.config.configuration import Configuration
from posthouse.config.convert import passed_over
from posthouse.config.error import ConfigError
from posthouse.config.everywhere import check_everywhere
from posthouse.config.expand import MacroError, parse_level
from posthouse.config.finding import Finding, found
from posthouse.config.master_cf import Service
from posthouse.config.settings import read_value

TYPES = {"bool": bool, "int": int, "time": int, "string": str, "raw": str}


def check_values(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """Every value that is set, read as its kind."""
    findings = _check_names(configuration, configuration.names())
    for service in services:
        own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
        findings += _check_names(own, tuple(service.overrides))
    try:
        parse_level(configuration.value("compatibility_level"))
    except (MacroError, ConfigError) as error:
        findings.append(found(configuration, "error", "compatibility_level", error.text))
    for name, text in check_everywhere(configuration):
        finding = found(configuration, "error", name, text)
        if finding not in findings:
            findings.append(finding)
    return findings


def _check_names(configuration: Configuration, names: Sequence[str]) -> list[Finding]:
    findings = []
    for name in names:
        parameter = configuration.parameter(name)
        if parameter is None:
            continue
        try:
            read_value(configuration, name, TYPES[parameter.kind])
            value = configuration.value(name) if parameter.kind == "time" else ""
            if rest := passed_over(value):
                counts = value.removesuffix(rest)
                findings.append(found(configuration, "warning", name, f"only {counts} counts of the time {value}"))
        except ConfigError as error:
            text = error.text
            if error.warnings:
                text = f"{name}: {error.warnings[-1]}"
            findings.append(found(configuration, "error", name, text))
    return findings
