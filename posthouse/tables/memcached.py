"""The client side of memcached: one connection, three commands.

    get KEY                      ->  VALUE KEY FLAGS LENGTH, the data, END  |  END
    set KEY FLAGS TTL LENGTH, the data  ->  STORED
    delete KEY                   ->  DELETED  |  NOT_FOUND

The connection is opened when first asked and again after anything unexpected: a first failure is retried silently
after a pause, later ones warn. A server that takes no connection is not tried again.

Standards: memcached's protocol.txt; memcache_table(5), "MEMCACHE ERROR CONTROLS".
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.table import TableRetry
from posthouse.tables.warning import warn

T = TypeVar("T")

PORT = "11211"
SHOWN = 30
"""Characters of an answer that a warning repeats."""
IDLE_SECONDS = 30.0
"""A connection unused for longer is opened anew, as Postfix's client does."""

_VALUE = re.compile(rb"VALUE \S+ \S+ (\d{1,10})")


class _Failed(Exception):
    """One try failed; the text is a warning."""


class MemcachedClient:
    """A connection to `inet:host:port` or `unix:/path`."""

    def __init__(
        self, name: str, place: str, *, timeout: float, line_limit: int, data_limit: int, tries: int, pause: float
    ) -> None:
        """`name`: the table's, for warnings."""
        self._name = name
        self._place = place.removeprefix("inet:")
        self._timeout = timeout
        self._line_limit = line_limit
        self._data_limit = data_limit
        self._tries = tries
        self._pause = pause
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._used = 0.0
        self._turn = asyncio.Lock()

    async def get(self, key: str) -> str | None:
        """The value, or None. Raises TableRetry."""

        async def command() -> str | None:
            line = await self._command(b"get " + key_bytes(key) + b"\r\n")
            if line == b"END":
                return None
            match = _VALUE.fullmatch(line)
            if match is None or int(match[1]) > self._data_limit:
                shown = key_text(line[:SHOWN])
                raise _Failed(f"{self._source}: unexpected memcache server reply: {shown}")
            assert self._streams is not None
            try:
                data = await self._streams[0].readexactly(int(match[1]) + 2)
            except asyncio.IncompleteReadError as error:
                raise _Failed(f"{self._source}: EOF receiving memcache server reply") from error
            if data[-2:] != b"\r\n" or await self._line() != b"END":
                raise _Failed(f"{self._source}: unexpected memcache server reply: {key_text(data[-2:])}")
            return key_text(data[:-2])

        return await self._try(command)

    async def set(self, key: str, value: str, *, flags: int, ttl: int) -> None:
        """Store a value. What cannot be read back is not stored. Raises TableRetry."""
        data = key_bytes(value)
        if len(data) > self._data_limit:
            warn(
                f"database {self._name}: data for key {key} is too long (data_size_limit={self._data_limit})"
                " -- not stored"
            )
            return

        async def command() -> None:
            line = await self._command(b"set %s %d %d %d\r\n%s\r\n" % (key_bytes(key), flags, ttl, len(data), data))
            if line != b"STORED":
                raise _Failed(f"database {self._name}: update failed: {key_text(line[:SHOWN])}")

        await self._try(command)

    async def delete(self, key: str) -> bool:
        """Whether it was there. Raises TableRetry."""

        async def command() -> bool:
            line = await self._command(b"delete " + key_bytes(key) + b"\r\n")
            if line not in (b"DELETED", b"NOT_FOUND"):
                raise _Failed(f"database {self._name}: delete failed: {key_text(line[:SHOWN])}")
            return line == b"DELETED"

        return await self._try(command)

    @property
    def _source(self) -> str:
        return self._name.partition(":")[2]

    async def _try(self, command: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            for count in range(self._tries):
                if count:
                    await asyncio.sleep(self._pause)
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._connect()
                except (OSError, TimeoutError) as error:
                    trouble = os.strerror(error.errno) if error.errno else str(error) or "Connection timed out"
                    warn(f"connect to {self._place}: {trouble}")
                    self.close()
                    break
                try:
                    async with asyncio.timeout(self._timeout):
                        answer = await command()
                except (_Failed, OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
                    self.close()
                    if count:
                        warn(str(error) if isinstance(error, _Failed) else f"database {self._name}: I/O error")
                    continue
                except BaseException:
                    self.close()  # half an answer is still on its way
                    raise
                self._used = asyncio.get_running_loop().time()
                return answer
        raise TableRetry(f"table {self._name}: query error")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._streams is not None and (loop is not self._loop or loop.time() - self._used > IDLE_SECONDS):
            self.close()
        if self._streams is not None:
            return
        self._loop = loop
        limit = max(self._line_limit, 2)
        if self._place.startswith("unix:"):
            self._streams = await asyncio.open_unix_connection(self._place[len("unix:") :], limit=limit)
            return
        host, colon, port = self._place.rpartition(":")
        if not colon:
            host, port = port, PORT
        self._streams = await asyncio.open_connection(host.strip("[]") or "localhost", port, limit=limit)

    async def _command(self, data: bytes) -> bytes:
        assert self._streams is not None
        self._streams[1].write(data)
        await self._streams[1].drain()
        return await self._line()

    async def _line(self) -> bytes:
        assert self._streams is not None
        line = await self._streams[0].readuntil(b"\n")
        return line.rstrip(b"\r\n")

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._streams[1].close()
            self._streams = None
