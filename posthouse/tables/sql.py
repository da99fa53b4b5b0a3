"""What mysql:, pgsql: and sqlite: tables share: from a key to a query, from rows to one value.

Every column of every row is a value. NULL is left out, an empty one too, with a warning; the rest goes through
result_format and is joined with commas.

Standards: mysql_table(5), pgsql_table(5), sqlite_table(5).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from posthouse.tables.client_keys import ClientKeys
from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.table import Table, TableRetry
from posthouse.tables.template import Templates
from posthouse.tables.warning import warn


@dataclass(frozen=True, slots=True)
class SqlSettings:
    """The parameters that all three have."""

    source: str
    query: str
    result_format: str
    domain: str
    expansion_limit: int


def read_sql_settings(parameters: ClientParameters, legacy: str = "") -> SqlSettings:
    """`legacy`: the query that another old parameter stands for. Raises TableError."""
    query = parameters.text("query") or legacy
    if not query:
        table = parameters.text("table", minimum=1)
        field = parameters.text("select_field", minimum=1)
        where = parameters.text("where_field", minimum=1)
        query = f"SELECT {field} FROM {table} WHERE {where}='%s' {parameters.text('additional_conditions')}"
    return SqlSettings(
        parameters.source,
        query,
        parameters.text("result_format", "%s", 1),
        parameters.text("domain"),
        parameters.integer("expansion_limit", 0),
    )


class SqlLookup:
    """The part of a lookup that needs no server."""

    __slots__ = ("_keys", "_kind", "_settings", "_templates", "name")

    def __init__(
        self, name: str, settings: SqlSettings, open_member: Callable[[str], Table], *, fold: bool, unicode: bool
    ) -> None:
        """Raises TableError."""
        self.name = name
        self._kind = name.partition(":")[0]
        self._settings = settings
        self._templates = Templates(name, settings.source, [settings.query], settings.result_format)
        self._keys = ClientKeys(settings.domain, open_member, fold=fold, unicode=unicode)

    async def key(self, key: str) -> str | None:
        """The key as it is asked for, or None when it is not. Raises TableRetry."""
        return await self._keys.admit(key)

    def query(self, key: str, quote: Callable[[str], str]) -> str | None:
        """The SQL for a key, or None when it lacks what the templates need."""
        return self._templates.query(key, quote)

    def value(self, rows: Iterable[Sequence[str | None]], key: str) -> str | None:
        """One value from all columns of all rows. Raises TableRetry beyond expansion_limit."""
        values: list[str] = []
        limit = self._settings.expansion_limit
        for row in rows:
            for column in row:
                value = self._templates.result(column, key)
                if value is None:
                    continue
                values.append(value)
                if 0 < limit < len(values):
                    source = self._settings.source
                    warn(f"dict_{self._kind}_lookup: {source}: Expansion limit exceeded for key: '{key}'")
                    raise TableRetry(f"table {self.name}: query error: expansion limit exceeded")
        return ",".join(values) or None

    def close(self) -> None:
        """Close the tables of the domain list."""
        self._keys.close()


def column_text(data: bytes) -> str:
    """A column as C sees it: up to a NUL."""
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
