"""type:name to an open table.

open_now() opens and raises TableError with the words that postmap says after "fatal: ". open_table() never fails:
a table that cannot be opened warns and raises TableRetry at each lookup, as in a running Postfix; and
a table read from a file is opened anew when the file has changed.

Standards: DATABASE_README.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.tables.file_values import BadFiles, ReadValue, as_written
from posthouse.tables.table import Row, Table, TableError, TableRetry
from posthouse.tables.warning import complain, speaker, warn

CHECK_SECONDS = 0.05
"""How often a file is looked at for a change: often enough for people, rare enough for the hot path."""

KEYED = ("hash", "btree", "lmdb", "cdb")
TYPES = (
    *("btree", "cdb", "cidr", "environ", "fail", "hash", "inline", "internal", "ldap", "lmdb", "memcache", "mysql"),
    *("nis", "pcre", "pgsql", "pipemap", "proxy", "randmap", "regexp", "socketmap", "sqlite", "static", "tcp"),
    *("texthash", "unionmap", "unix"),
)
"""What can be opened."""
READ_ONLY = tuple(kind for kind in TYPES if kind not in KEYED)
SUSPENDING = ("ldap", "memcache", "mysql", "pgsql", "socketmap", "sqlite", "tcp")
"""What needs an event loop."""
KNOWN = ("dbm", "debug", "mongodb", "netinfo", "nisplus", "sdbm")
"""Postfix's other types, which are refused by name."""


@dataclass(frozen=True, slots=True)
class TableSettings:
    """The parameters that decide how tables behave."""

    smtputf8_enable: bool
    default_database_type: str
    socketmap_max_reply_size: int = 100000


@dataclass(frozen=True, slots=True)
class Opening:
    """How tables are opened."""

    fold: bool = True
    unicode: bool = True
    default_type: str = "hash"
    reply_limit: int = 100000
    """Longest socketmap reply."""
    warn_stale: bool = True
    substitution: bool = True
    """Whether $number may stand in the results of patterns; without, tables that anybody may write are refused too."""
    nul: bool | None = None
    """Of files of keys: whether only those that end in NUL are looked at, or only those that do not."""
    read_value: ReadValue = as_written
    """What a value of a table that is no database stands for."""
    configuration: Configuration | None = None
    """Where database clients find the parameters that stand in main.cf."""


def opening(configuration: Configuration) -> Opening:
    """As the configuration says."""
    settings = read_settings(TableSettings, configuration)
    return Opening(
        unicode=settings.smtputf8_enable,
        default_type=settings.default_database_type,
        reply_limit=settings.socketmap_max_reply_size,
        configuration=configuration,
    )


def split_spec(spec: str, default_type: str) -> tuple[str, str]:
    """(type, name) of `type:name`, or of a name alone."""
    kind, name = loose_split(spec, default_type)
    if not kind or not name:
        raise TableError(f'open dictionary: expecting "type:name" form instead of "{kind}:{name}"')
    return kind, name


def loose_split(spec: str, default_type: str) -> tuple[str, str]:
    """The same; either may be empty."""
    kind, colon, name = spec.partition(":")
    return (kind, name) if colon else (default_type, spec)


def open_now(spec: str, how: Opening) -> Table:
    """The table, or TableError."""
    if not how.unicode:
        return _open(spec, how)
    from posthouse.tables.utf8_table import Utf8Table

    table = _open(spec, how)
    return table if isinstance(table, Utf8Table) else Utf8Table(table)


def _open(spec: str, how: Opening) -> Table:
    kind, name = split_spec(spec, how.default_type)
    full = f"{kind}:{name}"
    if kind == "proxy":
        # One process asks for all here, so there is nothing to share: the table itself is opened.
        return open_now(name, how)
    if kind in KEYED:
        from posthouse.tables.keyed_file import open_keyed_file

        now = time.time() if how.warn_stale else None
        return open_keyed_file(full, kind, name, fold=how.fold, unicode=how.unicode, now=now, nul=how.nul)
    opener = OPENERS.get(kind)
    if opener is None:
        if kind in KNOWN:
            raise TableError(f"unsupported dictionary type: {kind}. This version of Posthouse does not have it")
        raise TableError(f"unsupported dictionary type: {kind}")
    try:
        return opener(full, name, how)
    except BadFiles as bad:
        raise TableError(str(bad)) from bad


def _texthash(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.memory import open_texthash

    return open_texthash(full, name, fold=how.fold, unicode=how.unicode, read_value=how.read_value)


def _inline(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.memory import open_inline

    return open_inline(full, name, fold=how.fold, unicode=how.unicode, read_value=how.read_value)


def _cidr(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.cidr import open_cidr

    return open_cidr(full, name, read_value=how.read_value)


def _regexp(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.regexp import open_regexp

    return open_regexp(full, name, substitution=how.substitution, read_value=how.read_value)


def _pcre(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.pcre import open_pcre

    return open_pcre(full, name, substitution=how.substitution, read_value=how.read_value)


def _static(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.fixed import StaticTable

    return StaticTable(full, name, how.read_value)


def _fail(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.fixed import FailTable

    return FailTable(full)


def _empty(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.fixed import EmptyTable

    if full.startswith("nis:"):
        warn("dict_nis_init: NIS domain name not set - NIS lookups disabled")
    return EmptyTable(full)


def _environ(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.fixed import EnvironTable

    return EnvironTable(full, fold=how.fold, unicode=how.unicode)


def _unix(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.fixed import UnixTable

    return UnixTable(full, name, fold=how.fold, unicode=how.unicode)


def _randmap(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.combined import RandomTable

    return RandomTable(full, name, read_value=how.read_value)


def _pipemap(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.combined import PipeTable, parse_members

    return PipeTable(
        full, [open_now(member, how) for member in parse_members(full, "pipemap", name, "type:name...", colon=True)]
    )


def _unionmap(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.combined import UnionTable, parse_members

    return UnionTable(
        full, [open_now(member, how) for member in parse_members(full, "unionmap", name, "type:name...", colon=True)]
    )


def _tcp(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.tcp import TcpTable

    return TcpTable(full, name)


def _socketmap(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.socketmap import open_socketmap

    return open_socketmap(full, name, how.reply_limit)


def _client(full: str, name: str, how: Opening) -> Table:
    from posthouse.tables.client_parameters import read_client_parameters

    kind = full.partition(":")[0]
    if kind == "memcache" and not how.substitution:
        raise TableError(f"{full} map is not allowed for security-sensitive data")
    parameters = read_client_parameters(name, how.configuration)

    def open_member(spec: str) -> Table:
        return open_now(spec, how)

    if kind == "memcache":
        from posthouse.tables.memcache import MemcacheTable, read_memcache_settings

        settings = read_memcache_settings(parameters)
        return MemcacheTable(full, settings, open_member, fold=how.fold, unicode=how.unicode)
    if kind == "ldap":
        from posthouse.tables.ldap import open_ldap

        return open_ldap(full, parameters, open_member, fold=how.fold, unicode=how.unicode)
    if kind == "mysql":
        from posthouse.tables.mysql import open_mysql

        return open_mysql(full, parameters, open_member, fold=how.fold, unicode=how.unicode)
    if kind == "pgsql":
        from posthouse.tables.pgsql import open_pgsql

        return open_pgsql(full, parameters, open_member, fold=how.fold, unicode=how.unicode)
    from posthouse.tables.sqlite import open_sqlite

    return open_sqlite(full, parameters, open_member, fold=how.fold, unicode=how.unicode)


OPENERS: dict[str, Callable[[str, str, Opening], Table]] = {
    "texthash": _texthash,
    "inline": _inline,
    "cidr": _cidr,
    "regexp": _regexp,
    "pcre": _pcre,
    "static": _static,
    "fail": _fail,
    "nis": _empty,
    "internal": _empty,
    "environ": _environ,
    "unix": _unix,
    "randmap": _randmap,
    "pipemap": _pipemap,
    "unionmap": _unionmap,
    "tcp": _tcp,
    "socketmap": _socketmap,
    **dict.fromkeys(("ldap", "memcache", "mysql", "pgsql", "sqlite"), _client),
}


class LivingTable:
    """A table as a service uses it: unavailable ones raise TableRetry, changed files are read anew."""

    __slots__ = ("_checked", "_clock", "_how", "_path", "_seen", "_table", "_trouble", "_warn", "name", "whole_key")

    def __init__(self, spec: str, how: Opening, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = spec
        self._how = how
        self._clock = clock
        self._path = source_file(spec, how.default_type)
        self._seen = _stamp(self._path)
        self._checked = clock()
        self._table: Table | None = None
        self._trouble = ""
        self._warn = speaker()
        self.whole_key = _kind(spec, how.default_type) in ("regexp", "pcre", "cidr", "tcp", "socketmap", "static")
        self._open()

    def _open(self) -> None:
        try:
            table = open_now(self.name, self._how)
        except TableError as error:
            if self._table is None:
                self._trouble = f"{self.name} is unavailable. {error}"
                complain(self._trouble, str(error))
            else:
                # The rows read before are better than none; master starts new workers to read what they cannot.
                self._warn(f"{self.name} has changed and cannot be opened anew, so its old content stays. {error}")
            return
        if self._table is not None:
            self._table.close()
        self._table, self._trouble = table, ""
        self.whole_key = table.whole_key

    async def lookup(self, key: str) -> Row | None:
        """The row for a key, or None. Raises TableRetry."""
        if self._path:
            now = self._clock()
            if now - self._checked >= CHECK_SECONDS:
                self._checked = now
                seen = _stamp(self._path)
                if seen != self._seen and (seen or self._table is None):
                    self._seen = seen
                    self._open()
        if self._table is None:
            self._warn(self._trouble)  # each time, as Postfix does: who reads the log later must find it
            raise TableRetry(self._trouble)
        return await self._table.lookup(key)

    def close(self) -> None:
        """Give back files and connections."""
        if self._table is not None:
            self._table.close()


def _kind(spec: str, default_type: str) -> str:
    kind, colon, name = spec.partition(":")
    if not colon:
        return default_type
    return _kind(name, default_type) if kind == "proxy" else kind


def source_file(spec: str, default_type: str) -> str:
    """The file whose change means that the table must be read anew; "" when there is none."""
    kind, colon, name = spec.partition(":")
    if not colon:
        kind, name = default_type, spec
    if kind == "proxy":
        return source_file(name, default_type)
    if kind in ("texthash", "cidr", "regexp", "pcre"):
        return "" if name.startswith("{") and kind != "texthash" else name
    return f"{name}.{'db' if kind in ('hash', 'btree') else kind}" if kind in KEYED else ""


def _stamp(path: str) -> tuple[int, int, int] | None:
    if not path:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def open_table(spec: str, configuration: Configuration, *, substitution: bool = True) -> Table:
    """A table for a service. Never fails: trouble comes as TableRetry at lookup, after one warning."""
    return LivingTable(spec, replace(opening(configuration), substitution=substitution))
