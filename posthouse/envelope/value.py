"""@value: a frozen, slotted dataclass whose making costs no more than that of a changeable one.

dataclass(frozen=True) makes every field through object.__setattr__: 0.1 us each, and a relayed
message is some forty values of five to fifteen fields, which was a twentieth of all its time.
Here nothing changes a value because mypy (strict, all of the house) lets nobody; at run time the
fields are plain slots. Equality and hash are by fields, as with frozen=True. For what is made
once, frozen=True is as good and also holds at run time.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and sendmail starts here
    from collections.abc import Callable
    from typing import TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(*, frozen_default: bool) -> Callable[[T], T]:
        """For mypy's eyes only."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make it one."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
