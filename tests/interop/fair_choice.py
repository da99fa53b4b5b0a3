"""How many inputs the differential tests generate, and choices each as likely as the others.

Hypothesis prefers some of the values of `sampled_from`, and repeats them: then rules of a grammar come a handful of
times among thousands of inputs.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))
COUNT = int(os.environ.get("DIFFERENTIAL_COUNT", "0"))
"""Inputs in all, about; 0 is the short form."""

LEAST = 100
"""How often each rule is tried in the long form, at least."""

LONG = COUNT >= 5000
"""Whether this is the long form."""

T = TypeVar("T")


def fair(draw: st.DrawFn, choices: Sequence[T]) -> T:
    """One of them."""
    return draw(st.randoms(use_true_random=True)).choice(choices)


@st.composite
def some(draw: st.DrawFn, choices: Sequence[T], least: int = 0, most: int | None = None) -> list[T]:
    """Some of them, each at most once, in any order."""
    source = draw(st.randoms(use_true_random=True))
    return source.sample(choices, source.randint(least, len(choices) if most is None else min(most, len(choices))))


@st.composite
def one_of(draw: st.DrawFn, choices: Sequence[T]) -> T:
    """One of them, as a strategy."""
    return fair(draw, choices)
