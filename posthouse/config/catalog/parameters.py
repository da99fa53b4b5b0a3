"""The whole catalog: every parameter of Postfix 3.7, those that 3.8 to 3.12 added, and our own."""

from importlib import import_module

from posthouse.config.parameter import Parameter

FAMILIES = (
    "bounce",
    "cleanup",
    "general",
    "lmtp",
    "local",
    "milter",
    "postscreen",
    "process",
    "qmqpd",
    "queue",
    "routing",
    "smtp",
    "smtpd",
    "system",
    "tls",
    "tlsproxy",
    "verify",
    "virtual",
)
"""Families that Postfix 3.7 knows; `postconf -d` lists these."""

ADDED_FAMILIES = ("newer", "posthouse")
"""Families known when set, and not listed by `postconf -d`."""


def _load(families: tuple[str, ...]) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for family in families:
        rows: tuple[tuple[str, str, str, int, int], ...] = import_module(
            f"posthouse.config.catalog.{family}"
        ).PARAMETERS
        for name, kind, default, minimum, maximum in rows:
            found[name] = Parameter(name, kind, default, minimum, maximum, family)
    return found


POSTFIX_PARAMETERS = _load(FAMILIES)
"""The built-in parameters of Postfix 3.7, by name."""

PARAMETERS = {**POSTFIX_PARAMETERS, **_load(ADDED_FAMILIES)}
"""Every parameter known here, by name."""
