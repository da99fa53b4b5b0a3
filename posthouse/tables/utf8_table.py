"""A table that is asked in UTF-8 only, and may answer in nothing else.

While smtputf8_enable is on, every table is one: a key that is not UTF-8 cannot be in it, and is not found, with a
warning; a value that is not UTF-8 is a fault of the table.

Standards: postconf(5), "smtputf8_enable"; the standard of UTF-8 section 3.
"""

from __future__ import annotations

from posthouse.tables.fold import is_utf8
from posthouse.tables.table import Row, Table, TableRetry
from posthouse.tables.warning import warn

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from typing import Any

WRONG = "malformed UTF-8 or invalid codepoint"


class Utf8Table:
    """Another table behind."""

    __slots__ = ("_table", "name", "whole_key")

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.whole_key = table.whole_key
        self._table = table

    async def lookup(self, key: str) -> Row | None:
        """The other table's row."""
        if not is_utf8(key):
            warn(f'{self._shown}: non-UTF-8 key "{key}": {WRONG}')
            return None
        row = await self._table.lookup(key)
        if row is not None and not is_utf8(row.value):
            warn(f'{self._shown}: key "{key}": non-UTF-8 value "{row.value}": {WRONG}')
            raise TableRetry(f"table {self._shown}: query error")
        return row

    @property
    def _shown(self) -> str:
        path = getattr(self._table, "path", "")
        return f"{self.name.partition(':')[0]}:{path}" if path else self.name

    def close(self) -> None:
        """Close the other table."""
        self._table.close()

    def __getattr__(self, name: str) -> Any:
        # What only some tables can: items, delete, and their like.
        return getattr(self._table, name)
