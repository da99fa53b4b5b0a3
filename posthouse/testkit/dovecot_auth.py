"""Dovecot's authentication server, as far as smtpd asks it: PLAIN logins against a list.

Standards: RFC 4616; Dovecot's authentication protocol, version 1. No real server: it has one mechanism, and no delays.
"""

import asyncio
import base64
from dataclasses import dataclass, field

GREETING = b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tab\nDONE\n"


@dataclass(slots=True)
class DovecotAuth:
    """The server; start() and start_unix() serve it."""

    passwords: dict[str, str]
    asked: list[str] = field(default_factory=list)
    """Who tried."""

    async def start(self, port: int = 0) -> asyncio.Server:
        """Listen on loopback; the caller closes it."""
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def start_unix(self, path: str) -> asyncio.Server:
        """The same on a Unix socket."""
        return await asyncio.start_unix_server(self._serve, path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        try:
            while line := await reader.readline():
                words = line.decode().rstrip("\n").split("\t")
                if words[0] == "AUTH":
                    writer.write(self._answer(words[1], words[3:]))
        except ConnectionError:
            pass  # The instance was killed.
        finally:
            writer.close()

    def _answer(self, number: str, words: list[str]) -> bytes:
        response = next((word[5:] for word in words if word.startswith("resp=")), "")
        parts = base64.b64decode(response).decode().split("\0")
        name, password = parts[1:] if len(parts) == 3 else ("", "")
        self.asked.append(name)
        if self.passwords.get(name) == password:
            return f"OK\t{number}\tuser={name}\n".encode()
        return f"FAIL\t{number}\tuser={name}\n".encode()
