"""Concurrency feedback: how much one delivery changes a destination's window.

Values are "number", "number / concurrency" or "number / sqrt_concurrency", as main.cf spells
default_destination_concurrency_positive_feedback. The number is from 0 to 1 (both ends
included), so that a window moves by one at most.
"""

import math
import re
from dataclasses import dataclass

from posthouse.config.error import ConfigError

_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?:/\s*(concurrency|sqrt_concurrency)\s*)?")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One parameter's value."""

    number: float
    divisor: str = ""

    def at(self, window: int) -> float:
        """The feedback of one delivery while the window is that wide."""
        if self.divisor == "concurrency":
            return self.number / max(window, 1)
        if self.divisor:
            return self.number / math.sqrt(max(window, 1))
        return self.number


def parse_feedback(text: str) -> Feedback:
    """Read a parameter's value."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(f"bad concurrency feedback: {text}")
    number = float(match[1])
    if number > 1:
        raise ConfigError(f"bad concurrency feedback: {text}: the number must be between 0 and 1")
    return Feedback(number, match[2] or "")
