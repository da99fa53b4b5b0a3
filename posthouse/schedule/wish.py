"""What an operator wants of a message while it is active (docs/queue-states.md, steps S to U).

The wish is committed by who takes it; the message then begins nothing more, what runs ends by itself, and its
settlement leaves the row where the wish has put it.
"""

from enum import Enum


class Wish(Enum):
    """One wish; a later one takes the place of an earlier one."""

    HOLD = "hold"
    RELEASE = "release"
    REQUEUE = "requeue"
    DELETE = "delete"
    """There is no row any more: nothing may be written beside it."""
