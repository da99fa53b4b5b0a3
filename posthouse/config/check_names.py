"""Names that mean nothing, and names that mean nothing here."""

from collections.abc import Sequence
from difflib import get_close_matches

from posthouse.config.catalog.no_effect import REASONS, SILENT
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.catalog.refused import REFUSED
from posthouse.config.configuration import COMPUTED, Configuration
from posthouse.config.effect import acting_parameters
from posthouse.config.finding import Finding, found
from posthouse.config.known_names import KnownNames
from posthouse.config.master_cf import Service

LIKENESS = 0.8
"""How alike two names must be for "did you mean": one letter in a short name, two or three in a long one."""

ASKS_NOTHING = {"biff": ("no",), "smtpd_forbid_bare_newline": ("yes", "normalize")}
"""Values that are kept by doing nothing: Debian's main.cf turns off what we do not have, and what others must ask for
(only <CR><LF>.<CR><LF> ends a message) is always so."""


def check_names(configuration: Configuration, services: Sequence[Service]) -> list[Finding]:
    """Misspelt names, names that are defined nowhere, and parameters that do nothing here."""
    main, master = f"{configuration.directory}/main.cf", f"{configuration.directory}/master.cf"
    names = KnownNames({name: configuration.raw(name) for name in configuration.names()}, services, main, master)
    names.scan()
    findings = []
    for text in names.early_warnings:
        place, _, rest = text.partition(": ")
        # "FILE: undefined parameter: n", or a macro error without a file.
        known = place in {main, master}
        findings.append(Finding("warning", place if known else "", 0, "", rest if known else text))
    for name in configuration.names():
        if name not in names.by_user and not names.is_builtin(name):
            findings.append(found(configuration, "warning", name, _misspelt(name)))
        else:
            findings += _effect(configuration, name)
    for service in services:
        own = configuration.with_overrides(service.overrides, f"master.cf:{service.line}")
        for name in service.overrides:
            findings += _effect(own, name)
    return findings


def _misspelt(name: str) -> str:
    like = get_close_matches(name, PARAMETERS, 1, LIKENESS)
    return f"unused parameter: {name}" + (f"; did you mean {like[0]}?" if like else "")


def _effect(configuration: Configuration, name: str) -> list[Finding]:
    parameter = PARAMETERS.get(name)
    if parameter is None or name in COMPUTED or name in SILENT or name in acting_parameters():
        return []
    if configuration.raw(name) in (parameter.default, *ASKS_NOTHING.get(name, ())):
        return []
    if name in REFUSED:
        return [found(configuration, "warning", name, f"{name}: {REFUSED[name]}")]
    if name in REASONS:
        return [found(configuration, "warning", name, f"{name} has no effect here: {REASONS[name]}")]
    return [found(configuration, "warning", name, f"{name} is not implemented so far: its value does nothing")]
