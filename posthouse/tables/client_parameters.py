"""The parameters of a database client: `name = value` in a file of its own, or in main.cf behind the table's name.

    mysql:/etc/postfix/users.cf     hosts = …            in that file, whose values are taken as they stand
    mysql:users                     users_hosts = …      in main.cf, where $name is expanded

Standards: mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5), memcache_table(5).
"""

from collections.abc import Mapping

from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.main_cf import read_main_cf
from posthouse.tables.table import TableError
from posthouse.tables.warning import warn

INTEGER_LIMIT = 1 << 31
"""Numbers are C's int."""


class ClientParameters:
    """Values by name. Each reader raises TableError in Postfix's words."""

    __slots__ = ("_configuration", "_values", "source")

    def __init__(
        self, source: str, values: Mapping[str, str] | None, configuration: Configuration | None = None
    ) -> None:
        """`values`: what the file says; None: main.cf has them."""
        self.source = source
        self._values = values
        self._configuration = configuration

    def _find(self, name: str) -> str | None:
        if self._values is not None:
            return self._values.get(name)
        full = f"{self.source}_{name}"
        if self._configuration is None or not self._configuration.is_set(full):
            return None
        try:
            return self._configuration.value(full)
        except ConfigError as error:
            raise TableError(error.text) from error

    def _shown(self, name: str) -> tuple[str, str]:
        """What a complaint begins with, and what it calls the parameter."""
        return (f"{self.source}: ", name) if self._values is not None else ("", f"{self.source}_{name}")

    def text(self, name: str, default: str = "", minimum: int = 0) -> str:
        """A string of at least so many characters."""
        found = self._find(name)
        value = default if found is None else found
        if len(value) < minimum:
            start, shown = self._shown(name)
            raise TableError(f"{start}bad string length {len(value)} < {minimum}: {shown} = {value}")
        return value

    def integer(self, name: str, default: int, minimum: int = 0) -> int:
        """A number; 0 is no minimum."""
        found = self._find(name)
        start, shown = self._shown(name)
        number = default
        if found is not None:
            digits = found.lstrip(" \t").removeprefix("-")
            if not (digits.isascii() and digits.isdigit()) or int(digits) >= INTEGER_LIMIT:
                raise TableError(f"{start}bad numerical configuration: {shown} = {found}")
            number = int(found)
        if minimum and number < minimum:
            raise TableError(f"{start}invalid {shown} parameter value {number} < {minimum}")
        return number

    def boolean(self, name: str, default: bool) -> bool:
        """yes or no, in any case."""
        found = self._find(name)
        if found is None:
            return default
        if found.lower() not in ("yes", "no"):
            start, shown = self._shown(name)
            raise TableError(f"{start}bad boolean configuration: {shown} = {found}")
        return found.lower() == "yes"


def read_client_parameters(source: str, configuration: Configuration | None) -> ClientParameters:
    """A source that begins with / or . is a file, another the beginning of names in main.cf. Raises TableError."""
    if source[0] not in "/.":
        return ClientParameters(source, None, configuration)
    try:
        file = read_main_cf(source)
    except ConfigError as error:
        for text in error.warnings:
            warn(text)
        raise TableError(error.text) from error
    for text in file.warnings:
        warn(text)
    return ClientParameters(source, {entry.name: entry.value for entry in file.entries})
