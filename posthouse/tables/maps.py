"""The tables of one parameter, asked in order.

lookup() asks each table with one key. lookup_address() asks for an address by parts, in Postfix's order: the
whole address, then without its extension, then the local part (with the extension, then without) when the domain
is one of ours, then @domain. Each form is asked of every table before the next form; tables that want whole keys
(regexp, cidr…) see only the first.

Standards: postmap(1), canonical(5), virtual(5), "TABLE SEARCH ORDER".
"""

from collections.abc import Sequence

from posthouse.address.local_part import split_extension
from posthouse.config.configuration import Configuration
from posthouse.tables.local_domains import LocalDomains
from posthouse.tables.open import open_table
from posthouse.tables.table import Row, Table, TableRetry
from posthouse.tables.warning import speaker
from posthouse.tables.words import split_words

SHOWN = 2000
"""Characters of a key that a warning repeats: a line of the log has no more."""


class Maps:
    """Open tables under the parameter's name."""

    __slots__ = ("_local", "_warn", "tables", "title")

    def __init__(self, title: str, tables: Sequence[Table], local: LocalDomains | None = None) -> None:
        self.title = title
        """The parameter, e.g. "virtual_alias_maps"."""
        self.tables = tuple(tables)
        self._local = local
        self._warn = speaker()

    def __bool__(self) -> bool:
        return bool(self.tables)

    async def lookup(self, key: str) -> Row | None:
        """The first table's row that has one. Raises TableRetry."""
        return await self._find(key, partial=False)

    async def lookup_address(self, address: str, delimiter: str) -> tuple[Row, str] | None:
        """The row for an address, and what the matching key did not hold of the local part: delimiter and extension."""
        if not self.tables:
            return None
        row = await self._find(address, partial=False)
        if row is not None:
            return row, ""
        local_part, at, domain = address.rpartition("@")
        if not at:
            base, _ = split_extension(address, delimiter)
            row = await self._find(base, partial=True) if base != address else None
            return None if row is None else (row, address[len(base) :])
        base, _ = split_extension(local_part, delimiter)
        rest = local_part[len(base) :]
        if rest:
            row = await self._find(f"{base}@{domain}", partial=True)
            if row is not None:
                return row, rest
        if all(table.whole_key for table in self.tables):
            return None
        if self._local is not None and await self._local.is_local(domain):
            row = await self._find(local_part, partial=True)
            if row is not None:
                return row, ""
            row = await self._find(base, partial=True) if rest else None
            if row is not None:
                return row, rest
        row = await self._find(f"@{domain}", partial=True)
        return None if row is None else (row, rest)

    async def _find(self, key: str, *, partial: bool) -> Row | None:
        # Postfix never asks for the empty string: in most tables it is an error.
        if not key:
            return None
        for table in self.tables:
            if partial and table.whole_key:
                continue
            try:
                row = await table.lookup(key)
            except TableRetry:
                self._warn(f'{table.name} lookup error for "{key[:SHOWN]}"')
                raise
            if row is not None:
                return row
        return None

    def close(self) -> None:
        """Close every table."""
        for table in self.tables:
            table.close()


def open_maps(value: str, configuration: Configuration, title: str, *, substitution: bool = True) -> Maps:
    """The tables that a parameter's (expanded) value lists.

    substitution=False where a result is a path or a command: patterns may then not put $number into it.
    """
    words = split_words(value)
    local = LocalDomains(configuration) if words else None
    return Maps(title, [open_table(word, configuration, substitution=substitution) for word in words], local)
