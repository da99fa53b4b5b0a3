"""memcache: tables: one memcached server, and behind it, if there is a `backup`, a table that lasts.

With a backup, what memcached does not have (or cannot say) is looked up there and stored in memcached when found; then
only the backup's silence is a failure. Listing is the backup's affair: memcached cannot.

Whoever reaches the server may write into it, so such a table is refused where results are commands, paths or user ids.

Standards: memcache_table(5).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from posthouse.tables.client_keys import ClientKeys
from posthouse.tables.client_parameters import ClientParameters
from posthouse.tables.memcached import PORT, MemcachedClient
from posthouse.tables.table import Row, Table, TableRetry
from posthouse.tables.template import Templates
from posthouse.tables.warning import warn

BLANKS = frozenset(" \t\n\v\f\r")
"""In a key they would end it, or the command."""
KEY_LIMIT = 250
"""Octets of a key: memcached refuses longer ones, so there is nothing to ask."""


@dataclass(frozen=True, slots=True)
class MemcacheSettings:
    """The parameters."""

    memcache: str
    backup: str
    flags: int
    ttl: int
    key_format: str
    domain: str
    data_size_limit: int
    line_size_limit: int
    max_try: int
    retry_pause: int
    timeout: int


def read_memcache_settings(parameters: ClientParameters) -> MemcacheSettings:
    """Raises TableError."""
    return MemcacheSettings(
        parameters.text("memcache", f"inet:localhost:{PORT}"),
        parameters.text("backup"),
        parameters.integer("flags", 0),
        parameters.integer("ttl", 3600),
        parameters.text("key_format", "%s"),
        parameters.text("domain"),
        parameters.integer("data_size_limit", 10240),
        parameters.integer("line_size_limit", 1024),
        parameters.integer("max_try", 2),
        parameters.integer("retry_pause", 1),
        parameters.integer("timeout", 2),
    )


class MemcacheTable:
    """The server, and the backup."""

    def __init__(
        self,
        name: str,
        settings: MemcacheSettings,
        open_member: Callable[[str], Table],
        *,
        fold: bool = True,
        unicode: bool = True,
    ) -> None:
        """Opens the backup. Raises TableError."""
        self.name = name
        self.whole_key = False
        self.takes_empty_key = True
        self.backup = settings.backup
        """type:name of the table behind, or ""."""
        self._settings = settings
        self._templates = Templates(name, name.partition(":")[2], [settings.key_format])
        self._keys = ClientKeys(settings.domain, open_member, fold=fold, unicode=unicode)
        self._backup = open_member(settings.backup) if settings.backup else None
        self._client = MemcachedClient(
            name,
            settings.memcache,
            timeout=settings.timeout,
            line_limit=settings.line_size_limit,
            data_limit=settings.data_size_limit,
            tries=settings.max_try,
            pause=settings.retry_pause,
        )

    async def lookup(self, key: str) -> Row | None:
        """The value that the server has for a key, or else the backup."""
        asked = await self._asked(key)
        if asked is None:
            return None
        try:
            value = await self._client.get(asked)
        except TableRetry:
            if self._backup is None:
                raise
            value = None
        if value is not None:
            return Row(value, self.name, asked) if value else None
        if self._backup is None:
            return None
        row = await self._backup.lookup(key)
        if row is not None:
            try:
                await self._client.set(asked, row.value, flags=self._settings.flags, ttl=self._settings.ttl)
            except TableRetry:
                pass  # the answer is known all the same
        return row

    async def delete(self, key: str) -> bool:
        """Whether the server had it; the backup is the caller's affair. Raises TableRetry."""
        asked = await self._asked(key)
        return asked is not None and await self._client.delete(asked)

    def items(self) -> Iterator[tuple[str, str]]:
        """What the backup holds."""
        items = getattr(self._backup, "items", None)
        if items is None:
            warn(f"database {self.name}: first/next support requires backup database")
            return
        yield from items()

    async def _asked(self, key: str) -> str | None:
        """The key as the server knows it, or None when it is not asked."""
        if not key:
            return None
        admitted = await self._keys.admit(key)
        asked = None if admitted is None else self._templates.query(admitted, str)
        if not asked or BLANKS & set(asked) or len(asked.encode("utf-8")) > KEY_LIMIT:
            return None
        return asked

    def close(self) -> None:
        """Close the connection, the backup and the tables of the domain list."""
        self._client.close()
        self._keys.close()
        if self._backup is not None:
            self._backup.close()
