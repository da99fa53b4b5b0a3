r"""mysql: tables, MySQL and MariaDB.

The client speaks UTF-8 (utf8mb4). Keys are quoted as the server's sql_mode wants: with \, or doubled quotes where
NO_BACKSLASH_ESCAPES is on. `hosts = localhost` means the server's usual socket, as in every MySQL client. A query may
call a procedure; one that returns no rows at all is an error unless require_result_set = no.

tls_*: with tls_CAfile or tls_CApath the server's chain is checked, with tls_verify_cert its name too; a server without
TLS is then refused. Not for Unix sockets.

The driver is the package asyncmy, an extra.

Standards: mysql_table(5).
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.mysql_options import read_mysql_options
from posthouse.tables.servers import Host, ServerLost, ServerRefused, Servers
from posthouse.tables.sql import SqlLookup, column_text, read_sql_settings
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.warning import warn

SOCKET = "/run/mysqld/mysqld.sock"
"""Where Debian's server listens; an option file may name another."""
PORT = 3306
NO_BACKSLASH_ESCAPES = 0x200
"""SERVER_STATUS_NO_BACKSLASH_ESCAPES, in the status of every answer."""
LOST = (2006, 2013)
"""CR_SERVER_GONE_ERROR, CR_SERVER_LOST: numbers below 2000 are the server's own words."""
CLIENT_ERRORS = 2000

_ESCAPES = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\x1a": "\\Z"}
_TO_ESCAPE = re.compile("[\0\n\r\\\\'\"\x1a]")


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """How the server is reached."""

    hosts: tuple[str, ...]
    user: str
    password: str
    dbname: str
    require_result_set: bool
    option_file: str
    option_group: str
    tls_cert_file: str
    tls_key_file: str
    tls_ca_file: str
    tls_ca_path: str
    tls_ciphers: str
    tls_verify_cert: bool
    charset: str


def read_mysql_settings(parameters: ClientParameters) -> MysqlSettings:
    """Raises TableError."""
    return MysqlSettings(
        tuple(re.split(r"[ ,\t\r\n]+", parameters.text("hosts").strip(" ,\t\r\n") or "localhost")),
        parameters.text("user"),
        parameters.text("password"),
        parameters.text("dbname", minimum=1),
        parameters.boolean("require_result_set", True),
        parameters.text("option_file"),
        parameters.text("option_group", "client"),
        parameters.text("tls_cert_file"),
        parameters.text("tls_key_file"),
        parameters.text("tls_CAfile"),
        parameters.text("tls_CApath"),
        parameters.text("tls_ciphers"),
        parameters.boolean("tls_verify_cert", False),
        parameters.text("charset", "utf8mb4", 1),
    )


def escape(text: str, status: int) -> str:
    """A key inside of quotes, for a server that said this status."""
    if status & NO_BACKSLASH_ESCAPES:
        return text.replace("'", "''")
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], text)


def parse_host(text: str, options: dict[str, str]) -> Host:
    """unix:/path, inet:host:port, host:port, host. Raises TableError."""
    if text.startswith("unix:"):
        return Host(text, text[len("unix:") :], local=True)
    bare = text.removeprefix("inet:")
    name, colon, port = bare.rpartition(":") if bare.count(":") == 1 or bare.startswith("[") else (bare, "", "")
    if not colon or port.endswith("]"):
        name, port = bare, ""
    name = name.strip("[]")
    if port and not (port.isascii() and port.isdigit()):
        raise TableError(f'bad port number in "{text}"')
    if name in ("", "localhost"):
        return Host(text, options.get("socket") or SOCKET, local=True)
    return Host(text, name, int(port or options.get("port") or PORT))


class MysqlTable:
    """A query, and the servers that it is asked of."""

    def __init__(self, lookup: SqlLookup, settings: MysqlSettings) -> None:
        """Reads the option file. Raises TableError."""
        self.name = lookup.name
        self.whole_key = False
        self.takes_empty_key = True
        self._lookup = lookup
        self._settings = settings
        self._options = read_mysql_options(settings.option_file, settings.option_group)
        self._ssl = self._context()
        hosts = [parse_host(text, self._options) for text in settings.hosts]
        self._servers: Servers[Any] = Servers(
            hosts, self._connect, _close, warn, complain=lambda host, text: f"connect to mysql server {host}: {text}"
        )

    def _context(self) -> ssl.SSLContext | None:
        settings, options = self._settings, self._options
        ca_file = settings.tls_ca_file or options.get("ssl-ca", "")
        ca_path = settings.tls_ca_path or options.get("ssl-capath", "")
        cert = settings.tls_cert_file or options.get("ssl-cert", "")
        key = settings.tls_key_file or options.get("ssl-key", "")
        ciphers = settings.tls_ciphers or options.get("ssl-cipher", "")
        verify = settings.tls_verify_cert or _is_on(options.get("ssl-verify-server-cert", "0"))
        if not (ca_file or ca_path or cert or key or ciphers or verify or _is_on(options.get("ssl", "0"))):
            return None
        try:
            context = ssl.create_default_context(cafile=ca_file or None, capath=ca_path or None)
            context.check_hostname = verify
            context.verify_mode = ssl.CERT_REQUIRED if verify or ca_file or ca_path else ssl.CERT_NONE
            if cert:
                context.load_cert_chain(cert, key or None)
            if ciphers:
                context.set_ciphers(ciphers)
        except (OSError, ssl.SSLError) as error:
            raise TableError(f"{self.name}: TLS: {error}") from error
        return context

    async def _connect(self, host: Host) -> Any:
        from asyncmy import errors
        from asyncmy.connection import Connection

        options = self._options
        connection = Connection(  # type: ignore[no-untyped-call]  # its stub has no types
            host=None if host.local else host.name,
            port=host.port,
            unix_socket=host.name if host.local else None,
            user=self._settings.user or options.get("user", ""),
            password=self._settings.password or options.get("password", ""),
            database=self._settings.dbname,
            charset=self._settings.charset,
            conv={},
            autocommit=True,
            ssl=None if host.local else self._ssl,
        )
        try:
            await connection.connect()
        except errors.MySQLError as error:
            reason = error.__cause__
            if not isinstance(reason, OSError):
                raise ServerRefused(_words(error)) from error
            where = f"local server through socket '{host.name}'" if host.local else f"server on '{host.name}'"
            raise ServerLost(f"Can't connect to {where} ({reason.errno or reason})") from error
        except (OSError, asyncio.IncompleteReadError, LookupError, ValueError, RuntimeError) as error:
            raise ServerLost(str(error) or type(error).__name__) from error
        return connection

    async def lookup(self, key: str) -> Row | None:
        """The joined columns of the rows for a key, or None."""
        asked = await self._lookup.key(key)
        if asked is None or self._lookup.query(asked, str) is None:
            return None

        async def question(connection: Any) -> list[list[str | None]] | None:
            status = connection.server_status
            query = self._lookup.query(asked, lambda text: escape(text, status))
            return await self._ask(connection, query or "")

        rows = await self._servers.ask(question, lambda _, text: f"{self.name}: query failed: {text}")
        if rows is None:
            raise TableRetry(f"table {self.name}: query error: no server answers")
        value = self._lookup.value(rows, asked)
        return None if value is None else Row(value, self.name, asked)

    async def _ask(self, connection: Any, query: str) -> list[list[str | None]]:
        from asyncmy import errors

        rows: list[list[str | None]] | None = None
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(query)
                while True:
                    if cursor.description is not None:
                        if rows is not None:
                            raise ServerRefused("multiple result sets returning data are not supported")
                        rows = [[_text(column) for column in row] for row in await cursor.fetchall()]
                    if not await cursor.nextset():
                        break
        except errors.MySQLError as error:
            number = error.args[0] if error.args else 0
            if number in LOST:
                raise ServerLost(_words(error)) from error
            raise ServerRefused(_words(error)) from error
        except (OSError, asyncio.IncompleteReadError, LookupError, ValueError, RuntimeError) as error:
            raise ServerLost(str(error) or type(error).__name__) from error
        if rows is None:
            if self._settings.require_result_set:
                raise ServerRefused("query returned no result set(require_result_set = yes)")
            return []
        return rows

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()
        self._lookup.close()


def _is_on(text: str) -> bool:
    return text.lower() not in ("0", "off", "false", "no", "")


def _text(column: object) -> str | None:
    if column is None:
        return None
    return column_text(column if isinstance(column, bytes) else str(column).encode("utf-8", "surrogateescape"))


def _words(error: Exception) -> str:
    return str(error.args[-1]) if error.args else type(error).__name__


def _close(connection: Any) -> None:
    connection.close()


def open_mysql(
    name: str,
    parameters: ClientParameters,
    open_member: Callable[[str], Table],
    *,
    fold: bool = True,
    unicode: bool = True,
) -> MysqlTable:
    """Read the parameters; connects when first asked. Raises TableError."""
    settings = read_mysql_settings(parameters)
    sql = read_sql_settings(parameters)
    try:
        import asyncmy  # noqa: F401 - whether it is there
    except ImportError as error:
        raise TableError(f"{name}: MySQL tables need the package asyncmy: pip install 'posthouse[mysql]'") from error
    return MysqlTable(SqlLookup(name, sql, open_member, fold=fold, unicode=unicode), settings)
