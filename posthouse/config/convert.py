"""Values read as yes or no, a number, or a time; refusals in Postfix's words."""

from posthouse.config.error import ConfigError
from posthouse.config.parameter import Parameter

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
LONG_PARAMETERS = frozenset({"mailbox_size_limit", "message_size_limit", "queue_minfree", "virtual_mailbox_limit"})
"""Sizes that may pass 2 GiB; posthouse_… sizes may as well."""

BELOW_ZERO = frozenset({"postscreen_dnsbl_allowlist_threshold"})
"""Numbers that mean something when they are negative."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BLANKS = " \t\r\n\v\f"
_DIGITS = "0123456789"
_NUMBER_DIGITS = 30
_TIME_DIGITS = 19
"""Digits that are still read: more are out of any range."""


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
    # blanks ["+" / "-"] digits, as strtol(3) reads it
    text = value.lstrip(_BLANKS)
    digits = text[1:] if text[:1] in ("+", "-") else text
    good = digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS
    number = int(text) if good else 0
    limit = LONG_MAX if name in LONG_PARAMETERS or name.startswith("posthouse_") else INT_MAX
    if not good or not -limit - 1 <= number <= limit:
        raise ConfigError(f"bad numerical configuration: {name} = {value}")
    if parameter is not None:
        if parameter.minimum and number < parameter.minimum:
            raise ConfigError(f"invalid {name} parameter value {number} < {parameter.minimum}")
        if number < 0 and name not in BELOW_ZERO:
            # Postfix checks no minimum of 0, and takes less for "none" as it takes 0.
            return 0
        if parameter.maximum and number > parameter.maximum:
            raise ConfigError(f"invalid {name} parameter value {number} > {parameter.maximum}")
    return number


def seconds(name: str, value: str, unit: str = "s", parameter: Parameter | None = None) -> int:
    """A time in seconds: a number with s, m, h, d or w; a bare number has the unit given.

    Postfix passes over what follows the unit: 1h30m is an hour.
    """
    # blanks ["+" / "-"] digits unit, as strtol(3) reads: where no number is, it is 0
    text = value.lstrip(_BLANKS)
    below = text.startswith("-")
    text = text[1:] if text[:1] in ("+", "-") else text
    after = text.lstrip(_DIGITS)
    digits = text[: len(text) - len(after)]
    if not digits:
        after = value
    mark = after[:1] or unit
    good = bool(value) and mark in UNITS and len(digits.lstrip("0")) <= _TIME_DIGITS
    number = int(digits or "0") if good else 0
    total = number * UNITS[mark] if good else 0
    # Postfix's own check of the overflow: the last number that would fit is refused as well.
    if not good or (below and number) or number > INT_MAX or (mark != "s" and number >= INT_MAX // UNITS[mark]):
        raise ConfigError(f"parameter {name}: bad time value or unit: {value}")
    if parameter is not None:
        if total < parameter.minimum:
            raise ConfigError(f"invalid {name}: {total} (min {parameter.minimum})")
        if parameter.maximum and total > parameter.maximum:
            raise ConfigError(f"invalid {name}: {total} (max {parameter.maximum})")
    return total


def passed_over(value: str) -> str:
    """What seconds() does not look at: all after the first unit."""
    after = value.lstrip(_BLANKS).removeprefix("+").lstrip(_DIGITS)
    return after[1:]


def string(name: str, value: str, parameter: Parameter) -> str:
    """A text, not shorter than it must be."""
    if len(value) < parameter.minimum:
        raise ConfigError(f"bad string length {len(value)} < {parameter.minimum}: {name} = {value}")
    return value
