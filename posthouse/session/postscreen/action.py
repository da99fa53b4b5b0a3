"""What becomes of a client that fails a test: ignore, enforce, drop."""

from enum import Enum

from posthouse.config.error import ConfigError


class Act(Enum):
    """The words of postscreen_*_action."""

    IGNORE = "ignore"
    """Only logged; the test is repeated another time."""
    ENFORCE = "enforce"
    """The other tests go on, and then every recipient is refused with 550."""
    DROP = "drop"
    """The client hears 521 at once, and the connection ends."""


_ACTS = {act.value: act for act in Act} | {"continue": Act.IGNORE}


def parse_action(parameter: str, word: str) -> Act:
    """A parameter's value. Raises ConfigError in Postfix's words."""
    act = _ACTS.get(word.lower())
    if act is None:
        raise ConfigError(f"bad {parameter} value: {word}")
    return act
