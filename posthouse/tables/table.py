"""The seam of all lookup tables.

Found, not found, and could-not-look stay apart: a Row, None, or TableRetry.
Local tables never suspend, so commands run lookups by drive() without an event loop.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import, and postmap -q starts here
    from typing import Any, Protocol, TypeVar

    T = TypeVar("T")
else:
    Protocol = object


class TableRetry(Exception):
    """The table could not be asked now: the caller defers (451 4.3.0, or dsn 4.3.0)."""


class TableError(Exception):
    """The table cannot be opened or built. The text is a whole diagnostic: type:name, file and line."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was found, and where."""

    value: str
    table: str
    """"type:name" as configured."""
    key: str
    """The key (or pattern) that matched."""
    line: int = 0
    """Line in the source for tables read as text; 0 when the table does not know."""


class Table(Protocol):
    """One lookup table, open."""

    @property
    def name(self) -> str:
        """ "type:name" as configured."""

    @property
    def whole_key(self) -> bool:
        """Whether it is asked once with the whole key (regexp, pcre, cidr, tcp, socketmap, static), not by parts."""

    async def lookup(self, key: str) -> Row | None:
        """The row for a key, or None. Raises TableRetry when the table could not be asked."""

    def close(self) -> None:
        """Give back files and connections."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop; TableRetry when it does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise TableRetry("a table that asks a server cannot be waited for here")
