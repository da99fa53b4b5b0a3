"""tcp: tables, a server asked line by line.

    get SPACE key NEWLINE     ->  200 SPACE value | 400 SPACE reason (try later) | 500 SPACE reason (not found)

Key and value are %-encoded. One connection per table, opened when first asked and again when it broke.

Standards: tcp_table(5).
"""

import asyncio
import os
import re
from urllib.parse import unquote_to_bytes

from posthouse.tables.fold import key_bytes, key_text
from posthouse.tables.table import Row, TableRetry
from posthouse.tables.warning import warn

TIMEOUT_SECONDS = 100.0
"""For connecting and for each answer, as Postfix's DICT_TCP_TMOUT."""
REPLY_LIMIT = 4096
"""Longest answer, line end included: the protocol's own limit."""
TRIES = 2
"""A connection that the server closed while idle is opened anew once."""

_TO_ENCODE = re.compile(rb"[%\x00-\x20\x7f-\xff]")


def encode(text: str) -> bytes:
    """The key as it travels: % and everything unprintable as %XX."""
    return _TO_ENCODE.sub(lambda match: b"%%%02x" % match[0][0], key_bytes(text))


class TcpTable:
    """A connection to host:port."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.whole_key = True
        self._address = address
        host, _, port = address.rpartition(":")
        self._host = host.strip("[]") or "localhost"
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def lookup(self, key: str) -> Row | None:
        """Ask the server."""
        async with self._turn:
            line = await self._exchange(b"get " + encode(key) + b"\n")
        code, _, rest = line.partition(b" ")
        if code == b"200":
            return Row(key_text(unquote_to_bytes(rest)), self.name, key)
        if code == b"500":
            return None
        if code != b"400":
            self.close()
            warn(f"read TCP map reply from {self._address}: bad status code: {key_text(line)}")
        raise TableRetry(f"table {self.name}: query error")

    async def _exchange(self, request: bytes) -> bytes:
        trouble = ""
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    if self._streams is None:
                        self._streams = await asyncio.open_connection(self._host, self._port, limit=REPLY_LIMIT)
                    reader, writer = self._streams
                    writer.write(request)
                    await writer.drain()
                    line = await reader.readuntil(b"\n")
                    return line.rstrip(b"\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError) as error:
                # asyncio has a text of its own for a refused connection.
                number = getattr(error, "errno", None)
                trouble = os.strerror(number) if number else str(error) or "timeout"
                if self._streams is None:
                    warn(f"connect to TCP map {self._address}: {trouble}")
                else:
                    warn(f"read TCP map reply from {self._address}: {trouble}")
                self.close()
        raise TableRetry(f"table {self.name}: query error: {trouble}")

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
