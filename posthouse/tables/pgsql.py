"""pgsql: tables, PostgreSQL.

    hosts = postgresql://user@host/database?sslmode=require   a whole connection URI: user, password, dbname are in it
    hosts = host:port   unix:/folder/of/the/socket

The client speaks UTF-8 (Postfix up to 3.7 says LATIN1), or what `encoding` names, as in Postfix 3.8. NULL is an empty
value, as in Postfix: it is left out with a warning.

The driver is the package psycopg, an extra; TLS, passwords files and service files are its library's (libpq) affair.

Standards: pgsql_table(5).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.servers import Host, ServerLost, ServerRefused, Servers
from posthouse.tables.sql import SqlLookup, column_text, read_sql_settings
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.warning import warn

URI = ("postgresql:", "postgres:")


@dataclass(frozen=True, slots=True)
class PgsqlSettings:
    """How the server is reached."""

    hosts: tuple[str, ...]
    user: str
    password: str
    dbname: str
    encoding: str


def read_pgsql_settings(parameters: ClientParameters) -> PgsqlSettings:
    """Raises TableError."""
    return PgsqlSettings(
        tuple(re.split(r"[ ,\t\r\n]+", parameters.text("hosts").strip(" ,\t\r\n") or "localhost")),
        parameters.text("user"),
        parameters.text("password"),
        parameters.text("dbname", minimum=1),
        parameters.text("encoding", "UTF8", 1),
    )


def parse_host(text: str) -> Host:
    """A URI, unix:/folder, inet:host:port, host:port or host. Raises TableError."""
    if text.startswith(URI):
        return Host(text, text)
    if text.startswith("unix:"):
        return Host(text, text[len("unix:") :], local=True)
    name, colon, port = text.removeprefix("inet:").rpartition(":")
    if not colon:
        name, port = port, ""
    if port and not (port.isascii() and port.isdigit()):
        raise TableError(f'bad port number in "{text}"')
    return Host(text, name.strip("[]") or "localhost", int(port or 0))


class PgsqlTable:
    """A query, and the servers that it is asked of."""

    def __init__(self, lookup: SqlLookup, settings: PgsqlSettings) -> None:
        """Raises TableError."""
        self.name = lookup.name
        self.whole_key = False
        self.takes_empty_key = True
        self._lookup = lookup
        self._settings = settings
        hosts = [parse_host(text) for text in settings.hosts]
        self._servers: Servers[Any] = Servers(
            hosts, self._connect, _close, warn, complain=lambda host, text: f"connect to pgsql server {host}: {text}"
        )

    async def _connect(self, host: Host) -> Any:
        import psycopg

        settings = self._settings
        try:
            if host.name.startswith(URI):
                connection = await psycopg.AsyncConnection.connect(host.name, autocommit=True)
            else:
                places = {
                    "host": host.name,
                    "port": host.port or None,
                    "user": settings.user or None,
                    "password": settings.password or None,
                    "dbname": settings.dbname,
                }
                given = {name: value for name, value in places.items() if value is not None}
                connection = await psycopg.AsyncConnection.connect("", autocommit=True, **given)  # type: ignore[arg-type]
            # A connection that does not say how it wants its text could be read wrong, keys and all.
            await connection.execute("SELECT set_config('client_encoding', %s, false)", (settings.encoding,))
        except psycopg.Error as error:
            raise ServerRefused(str(error).strip().removeprefix("connection failed: ")) from error
        except OSError as error:
            raise ServerLost(error.strerror or str(error)) from error
        return connection

    async def lookup(self, key: str) -> Row | None:
        """The joined columns of the rows for a key, or None."""
        asked = await self._lookup.key(key)
        if asked is None or self._lookup.query(asked, str) is None:
            return None

        async def question(connection: Any) -> list[list[str | None]]:
            from psycopg.pq import Escaping

            encoding = connection.info.encoding
            quoting = Escaping(connection.pgconn)

            def quote(text: str) -> str:
                try:
                    return bytes(quoting.escape_string(text.encode(encoding))).decode(encoding)
                except UnicodeError as error:
                    raise ServerRefused(f"key cannot be written in {encoding}: {error}") from error

            return await self._ask(connection, self._lookup.query(asked, quote) or "")

        rows = await self._servers.ask(
            question, lambda host, text: f"pgsql query failed: fatal error from host {host}: {text}"
        )
        if rows is None:
            raise TableRetry(f"table {self.name}: query error: no server answers")
        value = self._lookup.value(rows, asked)
        return None if value is None else Row(value, self.name, asked)

    async def _ask(self, connection: Any, query: str) -> list[list[str | None]]:
        import psycopg

        try:
            cursor = await connection.execute(query.encode(connection.info.encoding), prepare=False)
            while cursor.nextset():
                pass  # the last of several statements counts, as for PQexec
        except psycopg.Error as error:
            if connection.closed or connection.broken:
                raise ServerLost(str(error).strip()) from error
            severity = f"{error.diag.severity}:  " if error.diag.severity else ""
            raise ServerRefused(f"{severity}{str(error).strip()}") from error
        except (OSError, UnicodeError) as error:
            raise ServerLost(str(error)) from error
        result = cursor.pgresult
        if result is None:
            return []
        return [
            [column_text(result.get_value(row, column) or b"") for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()
        self._lookup.close()


def _close(connection: Any) -> None:
    # AsyncConnection.close() is a coroutine that does no more than this.
    connection.pgconn.finish()


def open_pgsql(
    name: str,
    parameters: ClientParameters,
    open_member: Callable[[str], Table],
    *,
    fold: bool = True,
    unicode: bool = True,
) -> PgsqlTable:
    """Read the parameters; connects when first asked. Raises TableError."""
    settings = read_pgsql_settings(parameters)
    function = parameters.text("select_function")
    sql = read_sql_settings(parameters, f"SELECT {function}('%s')" if function else "")
    try:
        import psycopg  # noqa: F401 - whether it is there
    except ImportError as error:
        raise TableError(
            f"{name}: PostgreSQL tables need the package psycopg: pip install 'posthouse[pgsql]'"
        ) from error
    return PgsqlTable(SqlLookup(name, sql, open_member, fold=fold, unicode=unicode), settings)
