"""sqlite: tables, an SQLite file.

The file is opened read-only, with the SQLite that apsw brings along, and opened anew when another has taken its place.
Only the first statement of the query counts, and of its rows the first column. SQLite blocks, so it runs in a thread.

Standards: sqlite_table(5).
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import apsw

from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.sql import SqlLookup, column_text, read_sql_settings
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.threads import in_thread
from posthouse.tables.warning import warn

BUSY_MILLISECONDS = 10_000
"""How long a writer is waited for."""


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """Where the file is."""

    dbpath: str


class SqliteTable:
    """A query, and the file that it is asked of."""

    def __init__(self, lookup: SqlLookup, settings: SqliteSettings) -> None:
        """Opens the file. Raises TableError."""
        self.name = lookup.name
        self.whole_key = False
        self.takes_empty_key = True
        self._lookup = lookup
        self._path = settings.dbpath
        self._turn = asyncio.Lock()
        self._connection: apsw.Connection | None = None
        self._seen: tuple[int, int, int] | None = None
        try:
            # Opened now to know whether it can be, and closed: a connection must not cross a fork.
            apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY).close()
        except apsw.Error as error:
            raise TableError(f"{self.name}: Can't open database: {error}") from error

    def _open(self) -> apsw.Connection:
        """The file as it is now. Raises apsw.Error."""
        try:
            status = os.stat(self._path)
            seen = (os.getpid(), status.st_dev, status.st_ino)
        except OSError:
            seen = self._seen or (0, 0, 0)
        if self._connection is None or seen != self._seen:
            if self._seen is not None and self._seen[0] == os.getpid():
                self.close_file()
            self._connection = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(BUSY_MILLISECONDS)
            self._seen = seen
        return self._connection

    async def lookup(self, key: str) -> Row | None:
        """The joined columns of the rows for a key, or None."""
        asked = await self._lookup.key(key)
        if asked is None:
            return None
        query = self._lookup.query(asked, lambda text: text.replace("'", "''"))
        if query is None:
            return None
        async with self._turn:
            try:
                rows = await in_thread(lambda: self._ask(query))
            except apsw.Error as error:
                source = self.name.partition(":")[2]
                text = f"dict_sqlite_lookup: {source}: SQL {_step(error)} failed: {error}"
                warn(text)
                raise TableRetry(f"table {self.name}: query error: {error}") from error
        value = self._lookup.value(rows, asked)
        return None if value is None else Row(value, self.name, asked)

    def _ask(self, query: str) -> list[list[str | None]]:
        connection = self._open()
        first = query.encode("utf-8")[: _first_statement(connection, query)]
        return [[_text(row[0])] for row in connection.execute(first.decode("utf-8"))]

    def close_file(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close(True)
            self._connection = None

    def close(self) -> None:
        """Close the file, and the tables of the domain list."""
        self.close_file()
        self._lookup.close()


def _first_statement(connection: apsw.Connection, query: str) -> int:
    """Where the first statement ends, in octets. Raises apsw.Error."""
    offset = 0
    data = query.encode("utf-8")
    while (place := data.find(b";", offset)) >= 0:
        offset = place + 1
        if apsw.complete(data[:offset].decode("utf-8", "replace")):
            return offset
    return len(data)


def _text(column: object) -> str | None:
    if column is None:
        return None
    if isinstance(column, bytes):
        return column_text(column)
    if isinstance(column, float):
        # As SQLite writes it: fifteen digits, and a point in every one.
        text = f"{column:.15g}"
        mantissa, e, exponent = text.partition("e")
        return text if "." in mantissa or not mantissa.strip("-").isdigit() else f"{mantissa}.0{e}{exponent}"
    return column_text(str(column).encode("utf-8"))


def _step(error: apsw.Error) -> str:
    return "prepare" if isinstance(error, (apsw.SQLError, apsw.NotADBError)) else "step"


def open_sqlite(
    name: str,
    parameters: ClientParameters,
    open_member: Callable[[str], Table],
    *,
    fold: bool = True,
    unicode: bool = True,
) -> SqliteTable:
    """Read the parameters and open the file. Raises TableError."""
    settings = SqliteSettings(parameters.text("dbpath", minimum=1))
    sql = read_sql_settings(parameters)
    return SqliteTable(SqlLookup(name, sql, open_member, fold=fold, unicode=unicode), settings)
