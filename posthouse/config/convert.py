"""Values read as yes or no, a number, or a time; refusals in Postfix's words."""

import re

from posthouse.config.error import ConfigError
from posthouse.config.parameter import Parameter

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
LONG_PARAMETERS = frozenset({"mailbox_size_limit", "message_size_limit", "virtual_mailbox_limit"})
"""Sizes that may pass 2 GiB; posthouse_… sizes may as well."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"\s*\+?(\d{1,19})([smhdwSMHDW]?)")
_NUMBER = re.compile(r"\s*([+-]?\d{1,30})\Z")


def boolean(name: str, value: str) -> bool:
    """A yes or no."""
    lowered = value.lower()
    if lowered == "yes":
        return True
    if lowered == "no":
        return False
    raise ConfigError(f"bad boolean configuration: {name} = {value}")


def integer(name: str, value: str, parameter: Parameter | None = None) -> int:
    """A number within its bounds."""
    match = _NUMBER.match(value)
    number = int(match[1]) if match else 0
    limit = LONG_MAX if name in LONG_PARAMETERS or name.startswith("posthouse_") else INT_MAX
    if match is None or not -limit - 1 <= number <= limit:
        raise ConfigError(f"bad numerical configuration: {name} = {value}")
    if parameter is not None:
        if number < parameter.minimum:
            raise ConfigError(f"invalid {name} parameter value {number} < {parameter.minimum}")
        if parameter.maximum and number > parameter.maximum:
            raise ConfigError(f"invalid {name} parameter value {number} > {parameter.maximum}")
    return number


def seconds(name: str, value: str, unit: str = "s", parameter: Parameter | None = None) -> int:
    """A time in seconds: numbers with s, m, h, d or w, one after the other; the unit given for a bare number."""
    total = 0
    position = 0
    while True:
        match = _TIME.match(value, position)
        if match is None:
            break
        total += int(match[1]) * UNITS[(match[2] or unit).lower()]
        position = match.end()
        if position == len(value):
            break
    if position != len(value) or not value or total > INT_MAX:
        raise ConfigError(f"parameter {name}: bad time value or unit: {value}")
    if parameter is not None:
        if total < parameter.minimum:
            raise ConfigError(f"invalid {name}: {total} (min {parameter.minimum})")
        if parameter.maximum and total > parameter.maximum:
            raise ConfigError(f"invalid {name}: {total} (max {parameter.maximum})")
    return total


def string(name: str, value: str, parameter: Parameter) -> str:
    """A text, not shorter than it must be."""
    if len(value) < parameter.minimum:
        raise ConfigError(f"bad string length {len(value)} < {parameter.minimum}: {name} = {value}")
    return value
