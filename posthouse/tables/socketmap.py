"""socketmap: tables, a server asked in netstrings.

    socketmap:inet:host:port:name   socketmap:unix:/path:name
    netstring "name SPACE key" -> netstring "OK value" | "NOTFOUND " | "TEMP reason" | "TIMEOUT reason" | "PERM reason"

One connection per table, opened when first asked and again when it broke.

Standards: socketmap_table(5); https://cr.yp.to/proto/netstrings.txt.
"""

import asyncio

from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.table import Row, TableError, TableRetry
from posthouse.tables.warning import warn

TIMEOUT_SECONDS = 100.0
"""For connecting and for each answer, as Postfix's."""
LENGTH_DIGITS = 10
"""A netstring's length has no more digits than this."""
TRIES = 2
"""A connection that the server closed while idle is opened anew once."""


class SocketmapTable:
    """A connection to a server, and the map to ask for."""

    def __init__(self, name: str, place: str, host: str, port: str, mapping: str, reply_limit: int) -> None:
        """`host` empty: `port` is the path of a Unix socket."""
        self.name = name
        self.whole_key = True
        self._place = place
        self._host = host
        self._port = port
        self._mapping = mapping
        self._reply_limit = reply_limit
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def lookup(self, key: str) -> Row | None:
        """Ask the server."""
        payload = key_bytes(f"{self._mapping} {key}")
        async with self._turn:
            answer = await self._exchange(b"%d:%s," % (len(payload), payload))
        status, _, value = key_text(answer).partition(" ")
        if status == "OK":
            return Row(value, self.name, key)
        if status == "NOTFOUND":
            return None
        words = {"TEMP": "temporary", "TIMEOUT": "timeout", "PERM": "permanent"}.get(status)
        if words is None:
            self.close()
            warn(f"{self._place}: unexpected reply: {key_text(answer)}")
        else:
            warn(f"{self.name} socketmap server {words} error: {value}")
        raise TableRetry(f"table {self.name}: query error: {value}")

    async def _exchange(self, request: bytes) -> bytes:
        trouble = ""
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    if self._streams is None:
                        self._streams = await self._connect()
                    reader, writer = self._streams
                    writer.write(request)
                    await writer.drain()
                    return await self._netstring(reader)
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError) as error:
                trouble = getattr(error, "strerror", None) or str(error) or "timeout"
                warn(f"{self.name}: {'connect to' if self._streams is None else 'read from'} {self._place}: {trouble}")
                self.close()
        raise TableRetry(f"table {self.name}: query error: {trouble}")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host:
            return await asyncio.open_connection(self._host, self._port)
        return await asyncio.open_unix_connection(self._port)

    async def _netstring(self, reader: asyncio.StreamReader) -> bytes:
        digits = b""
        while (byte := await reader.readexactly(1)) != b":":
            digits += byte
            if not byte.isdigit() or len(digits) > LENGTH_DIGITS:
                raise OSError(0, "netstring format error")
        length = int(digits or b"0")
        if length > self._reply_limit:
            raise OSError(0, "netstring too large")
        data = await reader.readexactly(length + 1)
        if data[-1:] != b",":
            raise OSError(0, "netstring format error")
        return data[:-1]

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def open_socketmap(name: str, text: str, reply_limit: int) -> SocketmapTable:
    """From `inet:host:port:map` or `unix:path:map`. Raises TableError; connects when first asked."""
    place, colon, mapping = text.rpartition(":")
    kind, _, where = place.partition(":")
    if not colon or not mapping or kind not in ("inet", "unix") or not where:
        raise TableError("socketmap requires server:socketmap argument")
    if kind == "unix":
        return SocketmapTable(name, place, "", where, mapping, reply_limit)
    host, _, port = where.rpartition(":")
    return SocketmapTable(name, place, host.strip("[]") or "localhost", port, mapping, reply_limit)
