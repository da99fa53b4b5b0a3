"""Tables made of others: randmap, pipemap, unionmap.

    randmap:{a, b}                     one of the values, at random
    pipemap:{type:name, type:name}     the answer of one is the key of the next; not found anywhere is not found
    unionmap:{type:name, type:name}    all answers, with commas between

Standards: DATABASE_README, "randmap", "pipemap", "unionmap".
"""

import random
from collections.abc import Callable, Sequence

from posthouse.tables.file_values import ReadValue, as_written
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.words import split_words, strip_braces


class RandomTable:
    """randmap:{value, …}."""

    __slots__ = ("_choose", "_values", "name", "whole_key")

    def __init__(
        self,
        name: str,
        text: str,
        choose: Callable[[Sequence[str]], str] = random.choice,
        read_value: ReadValue = as_written,
    ) -> None:
        """Raises TableError, BadFiles."""
        self.name = name
        self.whole_key = True
        self._values = [read_value(value) for value in parse_members(name, "randmap", text, "value...")]
        self._choose = choose

    async def lookup(self, key: str) -> Row | None:
        """Always found."""
        return Row(self._choose(self._values), self.name, key)

    def close(self) -> None:
        """Nothing is held open."""


class PipeTable:
    """pipemap:{type:name, …}."""

    __slots__ = ("_tables", "name", "takes_empty_key", "whole_key")

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        self.name = name
        self.takes_empty_key = True
        self.whole_key = tables[0].whole_key
        self._tables = tuple(tables)

    async def lookup(self, key: str) -> Row | None:
        """The last table's answer."""
        row: Row | None = None
        asked = key
        for table in self._tables:
            row = await _member(self.name, table, asked)
            if row is None:
                return None
            asked = row.value
        return None if row is None else Row(row.value, self.name, key)

    def close(self) -> None:
        """Close the members."""
        for table in self._tables:
            table.close()


class UnionTable:
    """unionmap:{type:name, …}."""

    __slots__ = ("_tables", "name", "takes_empty_key", "whole_key")

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        self.name = name
        self.takes_empty_key = True
        self.whole_key = all(table.whole_key for table in tables)
        self._tables = tuple(tables)

    async def lookup(self, key: str) -> Row | None:
        """Every answer, joined."""
        values = [row.value for table in self._tables if (row := await _member(self.name, table, key)) is not None]
        return Row(",".join(values), self.name, key) if values else None

    def close(self) -> None:
        """Close the members."""
        for table in self._tables:
            table.close()


async def _member(name: str, table: Table, key: str) -> Row | None:
    """What a member answers; its failure is the whole table's."""
    try:
        return await table.lookup(key)
    except TableRetry as error:
        reason = str(error).partition("query error")[2]
        raise TableRetry(f"table {name}: query error{reason}") from error


def parse_members(name: str, kind: str, text: str, what: str, *, colon: bool = False) -> list[str]:
    """The words between the braces; `colon`: each must have one. Raises TableError."""
    inside = strip_braces(text)
    members = split_words(inside) if inside else []
    if not members or (colon and not all(":" in member for member in members)):
        raise TableError(f'bad syntax: "{name}"; need "{kind}:{{{what}}}"')
    return members
